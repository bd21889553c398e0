"""The training loop: backpropagation through time, whole or truncated, saved as it goes."""

from ._atomic import atomic_write, to_json
from ._bptt import BPTT, detach, scan_tail, scan_window
from ._diverged import Diverged, what_to_try
from ._interrupt import Interrupted
from ._loop import fit
from ._monitor import Checkup, Monitor
from ._optim import pick_device
from ._options import TrainOptions, check_train_options
from ._protocols import Batches, History, Loss, Objective
from ._run import Run
from ._seed import seed
from ._treatment import apply_changes

__all__ = [
    "BPTT",
    "Batches",
    "Checkup",
    "Diverged",
    "History",
    "Interrupted",
    "Loss",
    "Monitor",
    "Objective",
    "Run",
    "TrainOptions",
    "apply_changes",
    "atomic_write",
    "check_train_options",
    "detach",
    "fit",
    "pick_device",
    "scan_tail",
    "scan_window",
    "seed",
    "to_json",
    "what_to_try",
]

"""The training loop: backpropagation through time, whole or truncated, saved as it goes."""

from ._atomic import atomic_write
from ._bptt import detach, scan_window
from ._loop import Batches, Diverged, History, Interrupted, Loss, Objective, fit, seed
from ._optim import pick_device
from ._options import TrainOptions, check_train_options
from ._run import Run

__all__ = [
    "Batches",
    "Diverged",
    "History",
    "Interrupted",
    "Loss",
    "Objective",
    "Run",
    "TrainOptions",
    "atomic_write",
    "check_train_options",
    "detach",
    "fit",
    "pick_device",
    "scan_window",
    "seed",
]

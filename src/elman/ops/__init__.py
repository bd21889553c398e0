"""One scan, whichever backend runs it: the choice of the backend is made here and nowhere else."""

from elman.kernels import (
    Call,
    Watch,
    Weights,
    Zoneout,
    check_batch_sizes,
    inside_torch,
    native_kernels,
    pointer_to,
    stack,
    tensors_of,
    with_tensors,
)

from ._choose import BACKENDS, BackendError, Choice, check_backend, choose, only, wanted
from ._dropout import dropout
from ._numbers import is_flag, is_integer, is_number, is_whole
from ._packed import (
    batch_sizes_of,
    gathered,
    lengths_of,
    scattered,
    stay_packed,
    times_and_rows,
)
from ._quick import infer_quickly, train_quickly
from ._reversed import reverse_rows
from ._scan import is_lowered, scan
from ._stream import open_stream

is_tracing = inside_torch.is_tracing

__all__ = [
    "BACKENDS",
    "BackendError",
    "Call",
    "Choice",
    "Watch",
    "Weights",
    "Zoneout",
    "batch_sizes_of",
    "check_backend",
    "check_batch_sizes",
    "choose",
    "dropout",
    "gathered",
    "infer_quickly",
    "is_flag",
    "is_integer",
    "is_lowered",
    "is_number",
    "is_tracing",
    "is_whole",
    "lengths_of",
    "native_kernels",
    "only",
    "open_stream",
    "pointer_to",
    "reverse_rows",
    "scan",
    "scattered",
    "stack",
    "stay_packed",
    "tensors_of",
    "times_and_rows",
    "train_quickly",
    "wanted",
    "with_tensors",
]

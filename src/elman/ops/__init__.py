"""One scan, whichever backend runs it: the choice of the backend is made here and nowhere else."""

from elman.kernels import Call, Weights

from ._choose import BACKENDS, BackendError, Choice, check_backend, choose
from ._scan import reverse_rows, scan

__all__ = [
    "BACKENDS",
    "BackendError",
    "Call",
    "Choice",
    "Weights",
    "check_backend",
    "choose",
    "reverse_rows",
    "scan",
]

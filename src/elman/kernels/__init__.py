"""How a cell runs over time: one file per backend, each with `unsupported(call)` and `scan(call)`.

Only `elman.ops` imports this package and chooses among the backends.
"""

from . import cpu, inside_torch, reference, stack, torch
from ._call import Call, Watch, Weights, Zoneout, segment_size, tensors_of, with_tensors
from ._fields import name_of, pointer_to
from ._machine import native_kernels
from ._segments import are_values_known
from ._sizes import check_batch_sizes
from .stream import Stream

__all__ = [
    "Call",
    "Stream",
    "Watch",
    "Weights",
    "Zoneout",
    "are_values_known",
    "check_batch_sizes",
    "cpu",
    "inside_torch",
    "name_of",
    "native_kernels",
    "pointer_to",
    "reference",
    "segment_size",
    "stack",
    "tensors_of",
    "torch",
    "with_tensors",
]

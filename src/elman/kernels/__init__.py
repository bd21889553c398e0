"""How a cell runs over time: one file per backend, each with `unsupported(call)` and `scan(call)`.

Only `elman.ops` imports this package and chooses among the backends.
"""

from . import cpu, reference, torch
from ._call import Call, Weights

__all__ = ["Call", "Weights", "cpu", "reference", "torch"]

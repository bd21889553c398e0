"""The words that a cell may use: arithmetic and these functions, element by element.

A cell written in them is a formula and nothing else: torch runs it as it stands, and a generator
can translate it.
"""

from torch import (
    Tensor,
    abs,
    cos,
    exp,
    log,
    log1p,
    maximum,
    minimum,
    relu,
    sigmoid,
    sin,
    sqrt,
    tanh,
    where,
    zeros_like,
)

Value = Tensor
"""One array per gate or state, (B, H) for a step."""

Values = tuple[Tensor, ...]

__all__ = [
    "Value",
    "Values",
    "abs",
    "cos",
    "exp",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "relu",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "where",
    "zeros_like",
]

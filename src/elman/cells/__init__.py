"""The mathematics: one file per cell, forward and backward, as straight-line formulas.

Each of the modules `rnn`, `gru`, `gru_reset_before` and `lstm` holds one cell; a schedule that
loops it over time is elsewhere. The functions `sigmoid`, `tanh`, … are the words that a cell may
use.
"""

from . import gru, gru_reset_before, lstm, rnn
from ._cell import Cell
from ._nonlinearity import NONLINEARITIES, Nonlinearity, nonlinearity
from ._vocabulary import (
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

__all__ = [
    "NONLINEARITIES",
    "Cell",
    "Nonlinearity",
    "abs",
    "cos",
    "exp",
    "gru",
    "gru_reset_before",
    "log",
    "log1p",
    "lstm",
    "maximum",
    "minimum",
    "nonlinearity",
    "relu",
    "rnn",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "where",
    "zeros_like",
]

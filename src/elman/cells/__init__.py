"""The mathematics: one file per cell, forward and backward, as straight-line formulas.

Each of the modules `rnn`, `gru`, `gru_reset_before` and `lstm` holds one cell; a schedule that
loops it over time is elsewhere.
"""

from . import gru, gru_reset_before, lstm, rnn
from ._cell import Cell
from ._nonlinearity import NONLINEARITIES, Nonlinearity, nonlinearity

__all__ = [
    "NONLINEARITIES",
    "Cell",
    "Nonlinearity",
    "gru",
    "gru_reset_before",
    "lstm",
    "nonlinearity",
    "rnn",
]

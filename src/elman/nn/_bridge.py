"""A vector as the states that layers start from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._check import check_recurrent
from ._recurrent import Recurrent
from ._shapes import widths_of


class Bridge(nn.Module):
    r"""Turns a vector v into the first states of recurrent layers: :math:`h_0 = \tanh(A v + a)`,
    and any further state (an LSTM's c) :math:`C v + c`.

    Args:
        size: features of the vector.
        layers: whose states they are.

    Shape:
        - vector: (B, size). Returns a tuple of (L * D, B, ·), one for each state of the cell.

    Raises:
        TypeError: the layers are none of `elman.nn`.

    Example:
        >>> import torch, elman
        >>> lstm = elman.nn.LSTM(3, 4, num_layers=2)
        >>> [tuple(s.shape) for s in elman.nn.Bridge(5, lstm)(torch.randn(7, 5))]
        [(2, 7, 4), (2, 7, 4)]
    """

    def __init__(self, size: int, layers: Recurrent) -> None:
        super().__init__()
        check_recurrent("Bridge", layers)
        self.stacked = layers.num_layers * layers.num_directions
        self.states = nn.ModuleList(
            nn.Linear(size, self.stacked * width) for width in widths_of(layers)
        )

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        """The states."""
        first, *others = [
            one(vector).unflatten(-1, (self.stacked, -1)).transpose(0, 1).contiguous()
            for one in self.states
        ]
        return (torch.tanh(first), *others)

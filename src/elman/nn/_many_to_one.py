"""Many to one: a sequence in, a vector out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.ops import dropout

from ._check import check_layers
from ._packed import pad_packed_sequence
from ._pooling import Pooling
from ._recurrent import Recurrent


class ManyToOne(nn.Module):
    r"""Recurrent layers over a whole sequence, pooled into one vector, and a linear output:
    :math:`o = V\, \mathrm{pool}_t(h_t) + c`.

    Args:
        layers: recurrent layers of `elman.nn`, not `batch_first`.
        outputs: features of the output, O.
        pooling: "last", "mean", "max" or "attention"; see `Pooling`.
        dropout: on the pooled vector.

    Shape:
        - x: (T, B, I); lengths: (B,) from 0 to T, T for each row if None; or x a PackedSequence,
          which has its own. Returns (B, O), V 0 + c for a row without steps.

    Raises:
        TypeError: the layers are none of `elman.nn`.
        ValueError: the layers are `batch_first`, or lengths are not one from 0 to T for each row.

    Example:
        >>> import torch, elman
        >>> model = elman.nn.ManyToOne(elman.nn.GRU(3, 4), 2, pooling="mean")
        >>> model(torch.randn(7, 5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, layers: Recurrent, outputs: int, *, pooling: str = "last", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_layers("ManyToOne", layers)
        width = layers.state_size * layers.num_directions
        self.layers, self.dropout = layers, dropout
        self.pooling = Pooling(pooling, width, layers.num_directions)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor | PackedSequence, lengths: Tensor | None = None) -> Tensor:
        """The outputs."""
        output, _ = self.layers(x, lengths=lengths)
        if isinstance(output, PackedSequence):
            output, lengths = pad_packed_sequence(output)
        return self.summarise(output, lengths)

    def summarise(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The outputs (B, O) for the layers' outputs (T, B, ·)."""
        if lengths is None:
            lengths = torch.full(output.shape[1:2], len(output))
        return self.head(dropout(self.pooling(output, lengths), self.dropout, self.training))

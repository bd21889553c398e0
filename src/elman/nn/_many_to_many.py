"""Many to many, aligned: a vector out for every vector in."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.ops import dropout

from ._check import check_recurrent
from ._recurrent import Recurrent


class ManyToMany(nn.Module):
    r"""Recurrent layers with a linear output at every step: :math:`o_t = V h_t + c`.

    Args:
        layers: recurrent layers of `elman.nn`.
        outputs: features of an output, O.
        dropout: on the layers' outputs.

    Shape:
        - x: (T, B, I), or (B, T, I) where the layers are `batch_first`, or a PackedSequence; hx,
          lengths and resets as the layers take them. Returns (T, B, O), laid out as x, and the
          final state.

    Raises:
        TypeError: the layers are none of `elman.nn`.

    Example:
        >>> import torch, elman
        >>> output, h = elman.nn.ManyToMany(elman.nn.GRU(3, 4), 2)(torch.randn(7, 5, 3))
        >>> output.shape, h.shape
        (torch.Size([7, 5, 2]), torch.Size([1, 5, 4]))
    """

    def __init__(self, layers: Recurrent, outputs: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        check_recurrent("ManyToMany", layers)
        self.layers, self.dropout = layers, dropout
        self.head = nn.Linear(layers.state_size * layers.num_directions, outputs)

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Any, Any]:
        """The outputs and the final state."""
        output, hx = self.layers(x, hx, lengths=lengths, resets=resets)
        if isinstance(output, PackedSequence):
            return output._replace(data=self.read_out(output.data)), hx
        return self.read_out(output), hx

    def read_out(self, output: Tensor) -> Tensor:
        """The outputs (…, O) for the layers' outputs."""
        return self.head(dropout(output, self.dropout, self.training))

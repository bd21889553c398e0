"""One to many: a vector starts a sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.ops import check_batch_sizes, dropout, times_and_rows

from ._bridge import Bridge
from ._check import check_layers, check_one_of
from ._recurrent import Recurrent

CONDITIONS = ("state", "input", "both")


class OneToMany(nn.Module):
    r"""A sequence from one vector v: it makes the first state, :math:`h_0 = \tanh(A v + a)`
    ("state"), is given beside the input at every step, :math:`[x_t, v]` ("input"), or both.

    While it is trained, the inputs are the steps of a known sequence, each the step before the one
    to be told (teacher forcing); afterwards `step` is given what it told last.

    Args:
        layers: recurrent layers of `elman.nn`, not bidirectional and not `batch_first`; with
            "input" and "both" their input has I + C features.
        conditions: features of the vector, C.
        outputs: features of an output, O.
        how: "state", "input" or "both".
        dropout: on the layers' outputs.

    Shape:
        - vector: (B, C); x: (T, B, I) with lengths (B,) from 0 to T, or a PackedSequence. Returns
          (T, B, O), packed where x is.

    Raises:
        TypeError: the layers are none of `elman.nn`.
        ValueError: the layers read from both ends or are `batch_first`, or `how` is not known.

    Reference:
        Vinyals et al. 2015, https://arxiv.org/abs/1411.4555 (a picture starts a sentence).

    Example:
        >>> import torch, elman
        >>> model = elman.nn.OneToMany(elman.nn.GRU(3, 4), 2, 3)
        >>> v, x = torch.randn(5, 2), torch.zeros(1, 5, 3)
        >>> told = []
        >>> state = model.start(v)
        >>> for _ in range(4):
        ...     output, state = model.step(v, x[0], state)
        ...     told.append(output)
        ...     x = output[None]
        >>> torch.stack(told).shape
        torch.Size([4, 5, 3])
    """

    def __init__(
        self,
        layers: Recurrent,
        conditions: int,
        outputs: int,
        *,
        how: str = "state",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_one_of("OneToMany", "how", how, CONDITIONS)
        check_layers("OneToMany", layers)
        if layers.num_directions > 1:
            raise ValueError(
                "OneToMany: the layers are bidirectional, and what comes later is not known yet;"
                " give layers of one direction."
            )
        self.layers, self.how, self.dropout = layers, how, dropout
        self.bridge = None if how == "input" else Bridge(conditions, layers)
        self.head = nn.Linear(layers.state_size, outputs)

    def start(self, vector: Tensor) -> tuple[Tensor, ...] | None:
        """The state before the first step; None for the layers' own."""
        return None if self.bridge is None else self.bridge(vector)

    def forward(
        self, vector: Tensor, x: Tensor | PackedSequence, lengths: Tensor | None = None
    ) -> Any:
        """The outputs for the steps of known sequences."""
        state = self._handed(self.start(vector))
        if not isinstance(x, PackedSequence):
            output, _ = self.layers(self._beside(vector, x), state, lengths=lengths)
            return self._told(output)
        if self.how != "state":
            x = x._replace(data=torch.cat([x.data, self._for_packed(vector, x)], -1))
        output, _ = self.layers(x, state, lengths=lengths)
        return output._replace(data=self._told(output.data))

    def step(
        self, vector: Tensor, x: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The output (B, O) for one step's input (B, I), and the state behind it."""
        output, hx = self.layers(self._beside(vector, x[None]), self._handed(state))
        return self.head(output[0]), hx if isinstance(hx, tuple) else (hx,)

    def _told(self, output: Tensor) -> Tensor:
        return self.head(dropout(output, self.dropout, self.training))

    @staticmethod
    def _for_packed(vector: Tensor, x: PackedSequence) -> Tensor:
        """The vector that belongs to each row of the data, (N, C)."""
        check_batch_sizes("OneToMany.forward", x.batch_sizes, len(x.data))
        _, row = times_and_rows(x.batch_sizes)
        batch = int(x.batch_sizes[0])
        if len(vector) != batch:
            raise ValueError(
                f"OneToMany.forward: vector has {len(vector)} rows and x {batch}; give as many."
            )
        if x.sorted_indices is not None:
            row = x.sorted_indices[row.to(x.sorted_indices.device)]
        return vector.index_select(0, row.to(vector.device))

    def _beside(self, vector: Tensor, x: Tensor) -> Tensor:
        if self.how == "state":
            return x
        return torch.cat([x, vector.expand(len(x), *vector.shape)], -1)

    @staticmethod
    def _handed(state: tuple[Tensor, ...] | None) -> Any:
        # layers with one state take it bare, as torch's do
        return state[0] if state is not None and len(state) == 1 else state

    def extra_repr(self) -> str:
        """How the vector comes in."""
        return f"how={self.how!r}"

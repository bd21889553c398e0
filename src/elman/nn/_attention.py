"""Attention: what of a memory a query wants to know."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._check import check_one_of, check_tensor
from ._lengths import split_lengths

ATTENTIONS = ("additive", "multiplicative")


class Attention(nn.Module):
    r"""A weighted mean of a memory's steps, the weights from how well each fits a query.

    With queries :math:`q_t` and a memory :math:`m_s`,

    .. math::
        a_{ts} = \mathrm{softmax}_s\, e_{ts}, \qquad c_t = \sum_s a_{ts} m_s,

    where :math:`e_{ts} = v^\top \tanh(W q_t + U m_s + b)` ("additive") or
    :math:`e_{ts} = q_t^\top U m_s / \sqrt{Q}` ("multiplicative"; without the root the weights of
    wide queries become 0 and 1 before they have learned where to look). Steps behind a row's end
    get no weight.

    Args:
        how: "additive" or "multiplicative".
        query_size: features of a query, Q.
        memory_size: features of a step of the memory, M.
        size: of the hidden layer of "additive"; Q if None.

    Shape:
        - query: (T, B, Q); memory: (S, B, M); lengths: (B,) from 0 to S.
        - Returns the contexts (T, B, M) and the weights (T, B, S), both zero for a row whose
          memory is without steps.

    Raises:
        TypeError: query or memory is no tensor, or lengths are no whole numbers.
        ValueError: `how` is not known, or lengths are not one from 0 to S for each row.

    Reference:
        Bahdanau, Cho & Bengio 2015, https://arxiv.org/abs/1409.0473 (additive);
        Luong, Pham & Manning 2015, https://arxiv.org/abs/1508.04025 (multiplicative); the root as
        in Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    Example:
        >>> import torch, elman
        >>> attention = elman.nn.Attention("additive", 4, 6)
        >>> context, weights = attention(
        ...     torch.randn(3, 2, 4), torch.randn(5, 2, 6), torch.tensor([5, 2])
        ... )
        >>> context.shape, bool(weights[:, 1, 2:].any())
        (torch.Size([3, 2, 6]), False)
    """

    def __init__(
        self, how: str, query_size: int, memory_size: int, size: int | None = None
    ) -> None:
        super().__init__()
        check_one_of("Attention", "how", how, ATTENTIONS)
        self.how = how
        if how == "additive":
            size = size or query_size
            self.query = nn.Linear(query_size, size, bias=False)
            self.key = nn.Linear(memory_size, size)
            self.score = nn.Linear(size, 1, bias=False)
        else:
            self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """What queries are compared with, (S, B, ·); worth keeping if they come one by one."""
        return self.key(memory)

    def forward(
        self, query: Tensor, memory: Tensor, lengths: Tensor, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The contexts and the weights."""
        check_tensor("Attention.forward", "query", query)
        check_tensor("Attention.forward", "memory", memory)
        lengths, empty = split_lengths("Attention.forward", lengths, memory, "the memory")
        keys = self.keys(memory) if keys is None else keys
        if self.how == "additive":
            hidden = torch.tanh(self.query(query)[:, None] + keys)
            # (T, S, B) to (B, T, S)
            score = self.score(hidden).squeeze(-1).permute(2, 0, 1)
        else:
            scaled = query.transpose(0, 1) * query.shape[-1] ** -0.5
            score = torch.bmm(scaled, keys.permute(1, 2, 0))
        behind = torch.arange(len(memory), device=memory.device) >= lengths[:, None]
        weights = score.masked_fill(behind[:, None], -torch.inf).softmax(-1)
        if empty is not None:
            weights = weights.masked_fill(empty[:, None, None], 0)
        context = torch.bmm(weights, memory.transpose(0, 1))
        return context.transpose(0, 1), weights.transpose(0, 1)

    def extra_repr(self) -> str:
        """How it scores."""
        return repr(self.how)

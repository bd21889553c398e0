"""A linear-chain conditional random field: tags of a sequence that fit each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._check import check_tensor
from ._lengths import split_lengths

# what a transition costs that cannot be; large, but its gradient is a number
_IMPOSSIBLE = -1e4
# the least sum of probabilities whose logarithm is taken, above what is no normal number
_LEAST = 1e-300


class CRF(nn.Module):
    r"""The probability of a sequence of tags, from scores of each tag at each step and of each
    transition between two.

    .. math::
        \log p(y) = s(y) - \log \sum_{y'} e^{s(y')}, \qquad
        s(y) = a_{y_1} + b_{y_T} + \sum_t e_{t, y_t} + \sum_{t > 1} A_{y_{t-1}, y_t}

    Args:
        tags: how many there are, K.
        allowed: transitions that may be, (K, K) booleans, [from, to]; all if None.
        first: tags that may be first, (K,) booleans; all if None.

    Shape:
        - emissions: (T, B, K); tags: (T, B); lengths: (B,) from 0 to T. The only sequence of no
          tags scores 0, so that a row without steps costs nothing.

    Raises:
        TypeError: emissions or tags are no tensor, or lengths are no whole numbers.
        ValueError: lengths are not one from 0 to T for each row.

    Reference:
        Lafferty, McCallum & Pereira 2001, "Conditional random fields", ICML.

    Example:
        >>> import torch, elman
        >>> crf = elman.nn.CRF(3)
        >>> emissions, lengths = torch.randn(5, 2, 3), torch.tensor([5, 2])
        >>> tags = crf.decode(emissions, lengths)
        >>> crf(emissions, tags, lengths).shape
        torch.Size([2])
    """

    def __init__(
        self, tags: int, *, allowed: Tensor | None = None, first: Tensor | None = None
    ) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        shape = (tags, tags)
        self.forbidden: Tensor
        self.forbidden_first: Tensor
        self.register_buffer("forbidden", torch.zeros(shape) if allowed is None else cost(allowed))
        self.register_buffer("forbidden_first", torch.zeros(tags) if first is None else cost(first))

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The negative log-likelihood of the tags of each row in nats, (B,)."""
        return self.log_partition(emissions, lengths) - self.score(emissions, tags, lengths)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """s(y), (B,); of what stands in the tags behind a row's end nothing is read."""
        check_tensor("CRF.score", "tags", tags)
        lengths, empty = _read("CRF.score", emissions, lengths)
        if not len(emissions):
            return emissions.sum((0, 2))
        steps, rows = tags.shape
        real = torch.arange(steps, device=tags.device)[:, None] < lengths
        if empty is not None:
            real = real & ~empty
        tags = tags.masked_fill(~real, 0)
        single = emissions.gather(-1, tags[:, :, None])[:, :, 0]
        between = (self.transitions + self.forbidden)[tags[:-1], tags[1:]]
        last = tags[lengths - 1, torch.arange(rows, device=tags.device)]
        score = (
            (self.start + self.forbidden_first)[tags[0]]
            + (single * real).sum(0)
            + (between * real[1:]).sum(0)
            + self.end[last]
        )
        return score if empty is None else score.masked_fill(empty, 0)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        r"""The logarithm of the sum over all sequences of tags, (B,).

        A step is a product of probabilities, of shape (B, K) and (K, K), in float64: a tag that is
        690 nats behind the likeliest of its step counts as so far behind.

        .. math::
            \alpha_t(j) = \log \sum_i e^{\alpha_{t-1}(i) - m} e^{A_{ij} - M_j} + m + M_j + e_{t, j},
            \qquad m = \max_i \alpha_{t-1}(i), \quad M_j = \max_i A_{ij}
        """
        lengths, empty = _read("CRF.log_partition", emissions, lengths)
        if not len(emissions):
            return emissions.sum((0, 2))
        transitions = (self.transitions + self.forbidden).double()
        highest = transitions.detach().amax(0)
        shares = (transitions - highest).exp()
        wide = emissions.double()
        added = wide + highest
        ahead = self.start + self.forbidden_first + wide[0]
        for step in range(1, len(emissions)):
            most = ahead.detach().amax(1, keepdim=True)
            moved = ((ahead - most).exp() @ shares).clamp_min(_LEAST).log() + most + added[step]
            ahead = torch.where((step < lengths)[:, None], moved, ahead)
        found = torch.logsumexp(ahead + self.end, 1).to(emissions.dtype)
        return found if empty is None else found.masked_fill(empty, 0)

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest tags, (T, B), zero behind a row's end; none for a row without steps.

        Reference:
            Viterbi 1967, IEEE Transactions on Information Theory 13.
        """
        lengths, empty = _read("CRF.decode", emissions, lengths)
        if not len(emissions):
            return lengths.new_zeros(emissions.shape[:2])
        transitions = self.transitions + self.forbidden
        best = self.start + self.forbidden_first + emissions[0]
        pointers: list[Tensor] = []
        for step in range(1, len(emissions)):
            moved, before = (best[:, :, None] + transitions).max(1)
            here = (step < lengths)[:, None]
            best = torch.where(here, moved + emissions[step], best)
            # behind the end every tag points at itself
            pointers.append(torch.where(here, before, torch.arange(len(self.start)).to(before)))
        tag = (best + self.end).argmax(1)
        tags = [tag]
        for before in reversed(pointers):
            tag = before.gather(1, tag[:, None])[:, 0]
            tags.append(tag)
        found = torch.stack(tags[::-1])
        real = torch.arange(len(found), device=found.device)[:, None] < lengths
        return found * (real if empty is None else real & ~empty)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The probability of each tag at each step, (T, B, K): the log-partition's gradient."""
        with torch.enable_grad():
            asked = emissions.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.log_partition(asked, lengths).sum(), asked)
        return found


def _read(where: str, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    check_tensor(where, "emissions", emissions)
    return split_lengths(where, lengths, emissions, "the emissions")


def cost(allowed: Tensor) -> Tensor:
    """0 where something may be, a large negative number where not."""
    return torch.where(allowed, 0.0, _IMPOSSIBLE)

"""The surprise of tokens under a large vocabulary, without a copy of the scores for every step of
its calculation.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# rows whose scores are turned into probabilities while they are in the cache
_ROWS = 128


def token_loss(features: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    """The mean of -log softmax(weight · feature + bias)[target], in nats.

    The same as torch's `linear` and `cross_entropy`, which keep the scores, their logarithms and
    both gradients, each of them (N, V): here one of them lives, the gradient of the scores. Under
    autocast the products are taken in its dtype.

    Args:
        features: (N, H).
        weight: (V, H).
        bias: (V,).
        target: (N,) int64, in [0, V).

    Returns:
        A scalar, float32 at least; it can be differentiated once.

    Example:
        >>> token_loss(torch.zeros(3, 2), torch.zeros(4, 2), torch.zeros(4), torch.arange(3))
        tensor(1.3863)
    """
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight, bias = features.to(dtype), weight.to(dtype), bias.to(dtype)
    if not torch.is_grad_enabled():
        return torch.cat(
            [_surprise(features, weight, bias, target, rows) for rows in _pieces(target)]
        ).mean()
    return _TokenLoss.apply(features, weight, bias, target)


def sampled_token_loss(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, candidates: int
) -> Tensor:
    r"""`token_loss` with an estimate of the softmax's sum, from some of the tokens: the half of
    `candidates` that comes first in the vocabulary, where the frequent ones stand; the targets of
    all rows; and as many as are left, a quarter at least, drawn from the rest without replacement.

    With :math:`s` the scores, :math:`A` the first tokens and the targets, :math:`S` the drawn ones
    and :math:`R` those that they were drawn from,

    .. math::
        \ell = \log \Big( \sum_{j \in A} e^{s_j} + \frac{|R|}{|S|} \sum_{j \in S} e^{s_j} \Big)
        - s_\mathrm{target},

    whose sum has the full softmax's as its mean over the draws. The draws come from torch's default
    generator.

    Args:
        features: (N, H).
        weight: (V, H).
        bias: (V,).
        target: (N,) int64, in [0, V).
        candidates: tokens whose scores are taken; the full loss where these are all.

    Returns:
        A scalar, as `token_loss` gives it.

    Reference:
        Jean et al. 2015, https://arxiv.org/abs/1412.2007 (training with a part of the vocabulary).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> sampled_token_loss(
        ...     torch.zeros(3, 2), torch.zeros(1000, 2), torch.zeros(1000), torch.arange(3), 100
        ... )
        tensor(6.9078)
    """
    ids, drawn, rest = _candidates(target, len(weight), candidates)
    if not rest:
        return token_loss(features, weight, bias, target)
    # the drawn ones stand for those that were not
    scale = torch.zeros(len(ids), dtype=bias.dtype, device=bias.device)
    scale[len(ids) - drawn :] = math.log(rest / drawn)
    place = torch.empty(len(weight), dtype=torch.int64, device=target.device)
    place[ids] = torch.arange(len(ids), device=target.device)
    return token_loss(features, weight.index_select(0, ids), bias[ids] + scale, place[target])


def _candidates(target: Tensor, tokens: int, candidates: int) -> tuple[Tensor, int, int]:
    """The tokens to score, how many at the end of them were drawn, and from how many."""
    first = min(candidates // 2, tokens)
    own = torch.zeros(tokens - first, dtype=torch.bool, device=target.device)
    own[target[target >= first] - first] = True
    rest = (~own).nonzero().flatten()
    drawn = max(candidates - first - (len(own) - len(rest)), candidates // 4)
    if drawn >= len(rest):
        return torch.arange(tokens, device=target.device), 0, 0
    sample = rest[torch.randperm(len(rest))[:drawn].to(rest.device)]
    start = torch.arange(first, device=target.device)
    ids = torch.cat([start, own.nonzero().flatten() + first, sample + first])
    return ids, drawn, len(rest)


def _pieces(target: Tensor) -> list[slice]:
    return [slice(i, i + _ROWS) for i in range(0, len(target), _ROWS)]


def _surprise(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    target: Tensor,
    rows: slice,
    probabilities: Tensor | None = None,
) -> Tensor:
    """-log p of the targets of some rows; their probabilities too, where there is room for them."""
    scores = torch.addmm(bias, features[rows], weight.t(), out=probabilities)
    aims, most = scores.gather(1, target[rows, None]), scores.amax(1, keepdim=True)
    shares = torch.softmax(scores, 1, out=scores)
    # the likeliest token's share is never so small that its logarithm is inexact
    wide = torch.promote_types(scores.dtype, torch.float32)
    return (most.to(wide) - shares.amax(1, keepdim=True).to(wide).log() - aims.to(wide)).flatten()


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, target: Tensor
    ) -> Tensor:
        dscores = features.new_empty(len(features), len(weight))
        pieces = [
            _surprise(features, weight, bias, target, rows, dscores[rows])
            for rows in _pieces(target)
        ]
        value = torch.cat(pieces).mean()
        # d(-log p)/d(score) = p - 1 at the target, p elsewhere
        row = torch.arange(len(target), device=target.device)
        dscores[row, target] -= 1
        ctx.save_for_backward(features, weight, dscores)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dvalue: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, weight, dscores = ctx.saved_tensors
        each = dvalue / len(features)
        wanted = ctx.needs_input_grad
        dfeatures = (dscores @ weight).mul_(each) if wanted[0] else None
        dweight = (dscores.t() @ features).mul_(each) if wanted[1] else None
        dbias = dscores.sum(0).mul_(each) if wanted[2] else None
        return dfeatures, dweight, dbias, None

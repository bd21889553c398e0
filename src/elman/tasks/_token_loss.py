"""The surprise of tokens under a large vocabulary, without a copy of the scores for every step of
its calculation.
"""

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

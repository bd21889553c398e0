"""A bound on the gradient that a state hands to the step before."""

from typing import Any

import torch
from torch import Tensor


def clip_gradient(state: Tensor, bound: float) -> Tensor:
    """The state (B, ·) itself; its gradient comes back with the norm of each row at most `bound`.

    Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063, section 3.2, at every step of
    the way back and for each row.
    """
    return _Clipped.apply(state, bound)


class _Clipped(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(state: Tensor, bound: float) -> Tensor:
        return state.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.bound = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        norm = torch.linalg.vector_norm(grad, dim=-1, keepdim=True)
        # so that the derivative at zero is a number
        return grad * (ctx.bound / norm.clamp(min=ctx.bound)), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0].clone()

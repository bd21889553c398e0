"""Torch's own kernels where they are the fastest, with the contracts of ours: their LSTM cannot be
differentiated twice, so the second derivative is the reference's.
"""

from typing import Any

import torch
from torch import Tensor

from elman.kernels import Call, tensors_of, with_tensors
from elman.kernels import torch as kernels_of_torch

from ._choose import States
from ._gradient import gradient_of_reference, of_call
from ._native import without_tensors
from ._reversed import in_time


def scan(call: Call) -> tuple[list[Tensor], States]:
    """Runs a call that torch's kernels support, eagerly."""
    tensors = tensors_of(call)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        output, *after = _TorchScan.apply(call, *tensors)
        return [output], tuple(after)
    return in_time(call, kernels_of_torch.scan)


class _TorchScan(torch.autograd.Function):
    """A graph of torch's kernels inside one node."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> Any:
        leaves = [
            None if t is None else t.detach().requires_grad_(need)
            for t, need in zip(tensors, ctx.needs_input_grad[1:], strict=True)
        ]
        with torch.enable_grad():
            (output,), after = in_time(with_tensors(call, leaves), kernels_of_torch.scan)
        ctx.call, made = without_tensors(call), (output, *after)
        ctx.set_materialize_grads(False)
        # what is saved is let go with the graph
        ctx.save_for_backward(*tensors, *leaves, *made)
        return tuple(one.detach() for one in made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        needed = ctx.needs_input_grad[1:]
        count, saved = len(needed), ctx.saved_tensors
        tensors, leaves, all_made = saved[:count], saved[count : 2 * count], saved[2 * count :]
        if torch.is_grad_enabled():
            return (None, *gradient_of_reference(of_call(ctx.call), tensors, grads, needed))
        # an output without steps hangs on nothing
        given = [
            (made, grad)
            for made, grad in zip(all_made, grads, strict=True)
            if grad is not None and made.requires_grad
        ]
        if not given:
            return (None, *(None for _ in needed))
        wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
        found = iter(
            torch.autograd.grad(
                [made for made, _ in given],
                wanted,
                [grad for _, grad in given],
                retain_graph=True,
                allow_unused=True,
            )
        )
        return (None, *(next(found) if need else None for need in needed))

"""Whole stacks of layers, or a cell, under autograd: one node for all of them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elman.kernels import Call, Weights, inside_torch, stack
from elman.kernels.stack import Stack

from ._changed import copied, keep_output, output_as_it_was
from ._gradient import by_reference, gradient_of_reference

States = tuple[Tensor, ...]


def differentiate(
    what: Stack, weights: Sequence[Sequence[Any]], input: Tensor, hx: Any
) -> tuple[Tensor, ...] | None:
    """Runs layers, or a cell, forward on the native kernels, with a gradient.

    Args:
        what: what to run; lengths, resets and batch sizes may be filled anew afterwards.
        weights: as for `stack.infer`.
        input: as there.
        hx: as there.

    Returns:
        The output, not of a cell, and the final states; None where `stack.train` gives None.
    """
    made = stack.train(what, weights, input, hx)
    if made is None:
        return None
    h, c = hx if isinstance(hx, tuple) else (hx, None)
    every = [one for some in weights for one in some]
    return inside_torch.apply_plainly(_StackScan, what, made, input, h, c, *every)


class _StackScan(torch.autograd.Function):
    """Plain eager training of all layers in one node."""

    @staticmethod
    def forward(ctx: Any, what: Stack, made: stack.Made, *tensors: Tensor | None) -> Any:
        output, states, saved, between = made
        ctx.what = _kept(what)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, keep_output(ctx, output), saved, between)
        return states if what[1] == stack.CELL else (output, *states)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, output, saved, between = ctx.saved_tensors
        what, needed = ctx.what, ctx.needs_input_grad[2:]
        if inside_torch.is_many(grads) or torch.is_grad_enabled():
            run = partial(_by_reference, what)
            with torch.enable_grad():
                return (None, None, *gradient_of_reference(run, tensors, grads, needed))
        output = output_as_it_was(ctx, output, lambda: stack.output_again(what, tensors))
        if what[1] == stack.CELL:
            # the new state is all that a cell puts out
            grads = (None, *grads)
        made = (output, saved, between)
        return (None, None, *stack.gradient(what, tensors, made, grads, needed))


def _kept(what: Stack) -> Stack:
    """The same for a gradient."""
    cell, kind, directions, cuts = what
    lengths, resets, batch_sizes = copied(*cuts)
    return cell, kind, directions, (lengths, resets, batch_sizes)


def _by_reference(what: Stack, tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """What `differentiate` gives, in terms that autograd and every transform go through.

    Args:
        what: what to run.
        tensors: as for `stack.gradient`.
    """
    x, h, c, *weights = tensors
    cell, kind, directions, (lengths, resets, batch_sizes) = what
    assert x is not None
    is_step = x.dim() == 2 and batch_sizes is None
    is_turned = x.dim() == 3 and kind == stack.LAYERS_BATCH_FIRST
    x = x.unsqueeze(0) if is_step else x.transpose(0, 1) if is_turned else x
    states = [s for s in (h, c) if s is not None]
    outputs: list[Tensor] = []
    after: list[States] = []
    for k, own in enumerate(stack.each_of(weights)):
        if outputs and k % directions == 0:
            x, outputs = torch.cat(outputs, -1), []
        first = tuple(s[k] if kind != stack.CELL else s for s in states)
        output, *last = by_reference(
            Call(
                cell,
                Weights(*own),
                x,
                first or None,
                lengths=lengths,
                resets=resets,
                reverse=k % directions == 1,
                batch_sizes=batch_sizes,
            )
        )
        outputs.append(output)
        after.append(tuple(last))
    if kind == stack.CELL:
        return after[0]
    x = torch.cat(outputs, -1)
    x = x.squeeze(0) if is_step else x.transpose(0, 1) if is_turned else x
    return (x, *(torch.stack(one) for one in zip(*after, strict=True)))

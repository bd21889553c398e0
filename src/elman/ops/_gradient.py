"""Gradients of gradients: by autograd through the reference."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels import Call, cpu, reference

from ._reversed import in_time

Tensors = Sequence[Tensor | None]


def gradient_of_reference(
    call: Call, tensors: Tensors, grads: Tensors, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of a scan as a graph of their own, which a second derivative goes through.

    Args:
        call: what was run.
        tensors: as `cpu.tensors_of` gives them.
        grads: of the output and the final states, None where there is none.
        needed: for each tensor whether its gradient is wanted.
    """
    with torch.enable_grad():
        (output,), after = in_time(cpu.with_tensors(call, tensors), reference.scan)
    results = [
        (y, g)
        for y, g in zip((output, *after), grads, strict=False)
        if g is not None and y.requires_grad
    ]
    return _gradients(results, tensors, needed)


def second_gradient(
    call: Call,
    tensors: Tensors,
    grads: Tensors,
    needed: Sequence[bool],
    second: Tensors,
    asked: Sequence[bool],
) -> list[Tensor | None]:
    """The gradient of `gradient_of_reference`.

    Args:
        call: what was run.
        tensors: as there.
        grads: as there.
        needed: as there.
        second: the gradient of each gradient that was needed.
        asked: for each of `tensors`, then of `grads`, whether its gradient is wanted.
    """
    # a tensor that nobody asks about still carries the graph of the first gradient
    given = [
        t if t is None or t.requires_grad or not need else t.detach().requires_grad_()
        for t, need in zip(tensors, needed, strict=True)
    ]
    with torch.enable_grad():
        found = gradient_of_reference(call, given, grads, needed)
    firsts = [one for one, need in zip(found, needed, strict=True) if need]
    results = [
        (one, g)
        for one, g in zip(firsts, second, strict=True)
        if one is not None and g is not None and one.requires_grad
    ]
    return _gradients(results, [*given, *grads], asked)


def _gradients(
    results: list[tuple[Tensor, Tensor]], tensors: Tensors, asked: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of the results, for the tensors that are asked about."""
    reached = [
        ask and t is not None and t.requires_grad for t, ask in zip(tensors, asked, strict=True)
    ]
    wanted = [t for t, is_reached in zip(tensors, reached, strict=True) if is_reached]
    if not results or not wanted:
        return [None] * len(tensors)
    found = iter(
        torch.autograd.grad(
            [y for y, _ in results],
            [t for t in wanted if t is not None],
            [g for _, g in results],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if is_reached else None for is_reached in reached]

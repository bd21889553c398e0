"""Gradients of gradients: through the reference, in terms that every transform goes through."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.kernels import Call, reference, with_tensors

from ._packed import in_padded
from ._reversed import in_time
from ._widened import in_float32

Tensors = Sequence[Tensor | None]
Results = Callable[[Tensors], tuple[Tensor, ...]]
"""Gives the output and the final states of tensors."""


def by_reference(call: Call) -> tuple[Tensor, ...]:
    """The output and the final states of a call, by the reference."""
    (output,), after = in_float32(call, _reference)
    return (output, *after)


def gradient_of_reference(
    results: Results, tensors: Tensors, grads: Tensors, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of a scan as a graph of their own, which a second derivative goes through.

    Args:
        results: what was run; by the reference, as `by_reference` does.
        tensors: what was given.
        grads: of the output and the final states, None where there is none.
        needed: for each tensor whether its gradient is wanted.
    """
    given = [i for i, g in enumerate(grads) if g is not None]

    def run(*wanted: Tensor) -> tuple[Tensor, ...]:
        found = results(_filled(tensors, needed, wanted))
        return tuple(found[i] for i in given)

    found = _pulled(run, _chosen(tensors, needed), [grads[i] for i in given])
    return _filled([None] * len(needed), needed, found)


def of_call(call: Call) -> Results:
    """What a call gives of other tensors, in the order of `tensors_of`."""
    return lambda tensors: by_reference(with_tensors(call, tensors))


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
    inputs = [*tensors, *grads]
    asked = [ask and t is not None for ask, t in zip(asked, inputs, strict=True)]
    given = [i for i, g in enumerate(second) if g is not None]

    def run(*wanted: Tensor) -> tuple[Tensor, ...]:
        whole = _filled(inputs, asked, wanted)
        count = len(tensors)
        found = gradient_of_reference(of_call(call), whole[:count], whole[count:], needed)
        firsts = [one for one in found if one is not None]
        return tuple(firsts[i] for i in given)

    found = _pulled(run, _chosen(inputs, asked), [second[i] for i in given])
    return _filled([None] * len(inputs), asked, found)


def _reference(call: Call) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    if call.batch_sizes is not None:
        return in_padded(call, _reference)
    return in_time(call, reference.scan)


def _pulled(
    run: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], grads: Tensors
) -> tuple[Tensor, ...]:
    """The gradients of the results back to the inputs."""
    if not inputs or not grads:
        return tuple(torch.zeros_like(one) for one in inputs)
    pull: Any = torch.func.vjp(run, *inputs)[1]
    return pull(tuple(grads))


def _chosen(tensors: Tensors, chosen: Sequence[bool]) -> list[Tensor]:
    return [t for t, take in zip(tensors, chosen, strict=True) if take and t is not None]


def _filled(
    tensors: Tensors, chosen: Sequence[bool], others: Sequence[Tensor]
) -> list[Tensor | None]:
    """The tensors with the chosen ones replaced."""
    each = iter(others)
    return [next(each) if take else t for t, take in zip(tensors, chosen, strict=True)]

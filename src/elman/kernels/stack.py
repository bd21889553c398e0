"""Whole stacks of layers, or a cell, on the native kernels: each way in one call."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell

from . import _flags, cpu

CELL, LAYERS, LAYERS_BATCH_FIRST = 0, _flags.LAYER, _flags.LAYER | _flags.BATCH_FIRST
"""What is run: a cell, or layers, whose sequences have the batch first."""

Cuts = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Lengths, (B,) int64; resets, (T, B) bool; batch sizes, as `Call` has them."""

# a tuple is the cheapest that a small step can pass on
Stack = tuple[Cell, int, int, Cuts]
"""What is run, but for its tensors: a cell of which `cpu.runs_as_it_is` is true; `CELL`, `LAYERS`
or `LAYERS_BATCH_FIRST`; D, the directions of each layer; the cuts."""

Made = tuple[Tensor, tuple[Tensor, ...], Tensor | None, Tensor | None]
"""The output, of a cell its first state; the final states; what is saved; what layers hand up."""

WEIGHTS = 6
"""How many weights a layer and direction has, as `Weights` orders them, absent ones counted."""

NO_CUTS: Cuts = (None, None, None)
"""Every row has all steps, and none begins anew."""


def infer(stack: Stack, weights: Sequence[Sequence[Any]], input: Tensor, hx: Any) -> Any:
    """Runs whole sequences forward without a gradient.

    Args:
        stack: what to run.
        weights: of each layer and direction, the lowest layer first, in the order of `Weights`.
        input: (T, B, I), (B, T, I), or (B, I), which is all that a cell takes; (N, I) where they
            come packed.
        hx: the state as layers take it, of (L * D, B, ·), or a cell, of (B, ·); zeros if None.

    Returns:
        Of layers the output and the state as it returns them, of a cell its states; None where a
        tensor is not plain, as it may be in the long way, or wants a gradient; and for a size or a
        length that does not fit.
    """
    return _run(stack, _flags.NO_GRADIENT if torch.is_grad_enabled() else 0, weights, input, hx)


def train(stack: Stack, weights: Sequence[Sequence[Any]], input: Tensor, hx: Any) -> Made | None:
    """The same, with what `gradient` needs; autograd sees nothing of it."""
    return _run(stack, _flags.SAVE, weights, input, hx)


def _run(stack: Stack, flags: int, weights: Any, input: Tensor, hx: Any) -> Any:
    cell, kind, directions, cuts = stack
    made = cpu.native.run_stack(
        *cpu.kernels_of(cell), cpu.threads(), flags | kind, directions, input, weights, hx, cuts
    )
    if isinstance(made, tuple):
        return made
    cpu.check_memory(made)
    return None


def gradient(
    stack: Stack,
    tensors: Sequence[Tensor | None],
    made: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the tensors that need one, None for the others.

    Args:
        stack: what was run.
        tensors: the input, two states, None for those that were not given, and the weights of each
            layer and direction one behind the other.
        made: the output, what is saved and what layers hand up, as `train` gives them.
        grads: of the output, None for a cell, and the final states; None where there is none.
        needed: for each tensor whether its gradient is wanted.

    Raises:
        TypeError: a tensor does not come back as autograd saved it.
        ValueError: it has no numbers in memory any more.
    """
    found = _run_back(stack, tensors, made, grads, needed)
    if not isinstance(found, list):
        # a gradient may be one number for all places; saved tensors may have been elsewhere
        grads, tensors, made = map(_plainly, (grads, tensors, made))
        found = _run_back(stack, tensors, made, grads, needed)
    if not isinstance(found, list):
        raise _not_as_saved(stack, (*tensors, *made, *grads))
    results: list[Tensor | None] = found
    first = results[0]
    if first is not None and first.dim() == 3 and stack[1] == LAYERS_BATCH_FIRST:
        results[0] = first.transpose(0, 1)
    return results


def output_again(stack: Stack, tensors: Sequence[Tensor | None]) -> Tensor:
    """The output that `train` gave.

    Args:
        stack: what was run.
        tensors: as for `gradient`.

    Raises:
        TypeError: as there.
        ValueError: as there.
    """
    tensors = _plainly(tensors)
    input, hx, weights = _arranged(tensors)
    made = infer(stack, weights, input, hx)
    if made is None:
        raise _not_as_saved(stack, tensors)
    return made[0]


def _run_back(
    stack: Stack,
    tensors: Sequence[Tensor | None],
    made: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> Any:
    cell, kind, directions, cuts = stack
    input, hx, weights = _arranged(tensors)
    found = cpu.native.run_stack_back(
        *cpu.kernels_of(cell), cpu.threads(), kind, directions, input, weights, hx, cuts,
        made, grads, needed,
    )  # fmt: skip
    cpu.check_memory(found)
    return found


def _arranged(tensors: Sequence[Tensor | None]) -> tuple[Any, Any, list[Any]]:
    """The input, the state and the weights as `infer` takes them."""
    input, h, c, *weights = tensors
    return input, h if c is None else (h, c), each_of(weights)


def each_of(weights: Sequence[Any]) -> list[Sequence[Any]]:
    """The weights of each layer and direction, of all of them one behind the other."""
    return [weights[k : k + WEIGHTS] for k in range(0, len(weights), WEIGHTS)]


def _plainly(tensors: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple(
        None if t is None else t.as_subclass(Tensor).resolve_neg().contiguous() for t in tensors
    )


def _not_as_saved(stack: Stack, tensors: Sequence[Tensor | None]) -> TypeError:
    cpu.check_saved(stack[0], tensors)
    return TypeError(
        f"{stack[0].name}: what the gradient reads has to come back as autograd saved it."
    )

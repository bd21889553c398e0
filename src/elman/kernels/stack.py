"""Whole stacks of layers, or a cell, on the native kernels: each way in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell

from . import _flags, cpu

WEIGHTS = 6
"""How many weights a layer and direction has, as `Weights` orders them, absent ones counted."""

Made = tuple[Tensor | None, tuple[Tensor, ...], Tensor | None, Tensor | None]
"""The output, None of a cell; the final states; what is saved; what layers hand up."""


@dataclass(slots=True)
class Stack:
    """What is run, but for its tensors.

    Args:
        cell: one of which `cpu.runs_as_it_is` is true.
        is_layer: whether it is for layers or for a cell.
        is_batch_first: whether the batch is the first of three dimensions.
        lengths: (B,) int64, or None.
        resets: (T, B) bool, or None.
        batch_sizes: as `Call` has them.
        directions: D, of each layer.
    """

    cell: Cell
    is_layer: bool
    is_batch_first: bool = False
    lengths: Tensor | None = None
    resets: Tensor | None = None
    batch_sizes: Tensor | None = None
    directions: int = 1


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
    made = cpu.native.run_stack(
        *cpu.kernels_of(stack.cell), cpu.threads(), flags | _flags_of(stack), stack.directions,
        input, weights, hx, (stack.lengths, stack.resets, stack.batch_sizes),
    )  # fmt: skip
    if isinstance(made, tuple):
        return made
    cpu.check_memory(made)
    return None


def _flags_of(stack: Stack) -> int:
    if stack.is_layer:
        return _BATCH_FIRST_LAYER if stack.is_batch_first else _flags.LAYER
    return 0


_BATCH_FIRST_LAYER = _flags.LAYER | _flags.BATCH_FIRST


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
        made: the output, of a cell its first state; what is saved; what layers hand up.
        grads: of the output, None for a cell, and the final states; None where there is none.
        needed: for each tensor whether its gradient is wanted.

    Raises:
        TypeError: a tensor does not come back as autograd saved it.
    """
    found = _run_back(stack, tensors, made, grads, needed)
    if not isinstance(found, list):
        # a gradient may be one number for all places; saved tensors may have been elsewhere
        grads, tensors, made = map(_plainly, (grads, tensors, made))
        found = _run_back(stack, tensors, made, grads, needed)
    if not isinstance(found, list):
        cpu.check_saved(stack.cell, (*tensors, *made, *grads))
        raise TypeError(
            f"{stack.cell.name}: what the gradient reads has to come back as autograd saved it."
        )
    results: list[Tensor | None] = found
    first = results[0]
    if first is not None and first.dim() == 3 and stack.is_batch_first:
        results[0] = first.transpose(0, 1)
    return results


def _run_back(
    stack: Stack,
    tensors: Sequence[Tensor | None],
    made: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> Any:
    input, h, c, *weights = tensors
    found = cpu.native.run_stack_back(
        *cpu.kernels_of(stack.cell), cpu.threads(), _flags_of(stack), stack.directions,
        input, each_of(weights), h if c is None else (h, c),
        (stack.lengths, stack.resets, stack.batch_sizes), made, grads, needed,
    )  # fmt: skip
    cpu.check_memory(found)
    return found


def each_of(weights: Sequence[Any]) -> list[Sequence[Any]]:
    """The weights of each layer and direction, of all of them one behind the other."""
    return [weights[k : k + WEIGHTS] for k in range(0, len(weights), WEIGHTS)]


def _plainly(tensors: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple(
        None if t is None else t.as_subclass(Tensor).resolve_neg().contiguous() for t in tensors
    )

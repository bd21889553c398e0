"""Plain calls of whole stacks, or a cell, by the shortest way: small ones cost more to arrange than
to compute.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell
from elman.kernels import cpu, inside_torch, stack
from elman.kernels import torch as kernels_of_torch
from elman.kernels.stack import Stack

from ._choose import (
    States,
    is_ever_faster_on_torch,
    is_faster_on_torch,
    is_faster_step_on_torch,
)
from ._stack import differentiate


def infer_quickly(what: Stack, weights: Sequence[Sequence[Any]], input: Tensor, hx: Any) -> Any:
    """Runs layers over whole sequences, or a cell, on the native kernels, without a gradient.

    Args:
        what: what to run; any cell.
        weights: of each layer and direction, the lowest layer first, in the order of `Weights`.
        input: (T, B, I), (B, T, I), or (B, I) for a single step, which is all that a cell takes;
            (N, I) where the sequences come packed.
        hx: the state as the layers take it, or a cell; zeros if None.

    Returns:
        Of layers the output and the state as it returns them, of a cell its states; or None where
        something about the call is not plain: a gradient is wanted, a transform, mode or autocast
        is on, a tensor is no common one or does not fit, or the native kernels do not run the cell.
        `scan` is the way then, with the same numbers.
    """
    if not _means_the_kernels(what, weights[0], input):
        return None
    return stack.infer(what, weights, input, hx)


def train_quickly(what: Stack, weights: Sequence[Sequence[Any]], input: Tensor, hx: Any) -> Any:
    """The same with a gradient, of one node for all layers."""
    if not _means_the_kernels(what, weights[0], input):
        return None
    made = differentiate(what, weights, input, hx)
    if made is None or what[1] == stack.CELL:
        return made
    output, *after = made
    return output, after[0] if len(after) == 1 else tuple(after)


def train_step_quickly(
    cell: Cell, weights: Sequence[Any], input: Tensor, hx: Any, backend: str
) -> States | None:
    """Runs one step of a cell with a gradient, on the native kernels or on torch's.

    Args:
        cell: the recurrence.
        weights: in the order of `Weights`.
        input: (B, I).
        hx: the state as the cell takes it, in its shape; zeros if None.
        backend: "auto" or "cpu".

    Returns:
        The new states, (B, ·) each, or None as from `infer_quickly`.
    """
    # sizes may be symbols while compiling
    if torch.compiler.is_compiling() or inside_torch.is_watched():
        return None
    dtype, hh = input.dtype, weights[1]
    if (
        backend == "auto"
        and hh.dtype is dtype
        and is_faster_step_on_torch(cell, dtype, hh.shape[1], input.shape[0])
        # a cell that is ever the faster there has one state
        and (hx is None or hx.dtype is dtype)
    ):
        return kernels_of_torch.step(cell, weights, input, None if hx is None else (hx,))
    return train_quickly((cell, stack.CELL, 1, stack.NO_CUTS), [weights], input, hx)


def _means_the_kernels(what: Stack, weights: Sequence[Any], input: Tensor) -> bool:
    """Whether the native kernels run a cell, the fastest, and nothing changes what a call means."""
    cell, kind, _, (lengths, resets, batch_sizes) = what
    dtype = input.dtype
    if (
        torch.compiler.is_compiling()
        or inside_torch.is_watched()
        or not cpu.runs_as_it_is(cell, dtype, weights[4])
    ):
        return False
    is_dense = lengths is None and resets is None and batch_sizes is None
    if is_dense and is_ever_faster_on_torch(cell, dtype):
        rows = input.shape[0 if kind == stack.LAYERS_BATCH_FIRST or input.dim() == 2 else 1]
        return not is_faster_on_torch(cell, dtype, weights[1].shape[1], rows)
    return True

"""Plain calls of one layer by the shortest way: small ones cost more to arrange than to compute."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell
from elman.kernels import Call, Weights, cpu, inside_torch
from elman.kernels import torch as kernels_of_torch

from ._choose import (
    States,
    is_ever_faster_on_torch,
    is_faster_on_torch,
    is_faster_step_on_torch,
)
from ._native import differentiate


def infer_quickly(
    cell: Cell,
    weights: Sequence[Sequence[Any]],
    input: Tensor,
    hx: Any,
    is_layer: bool,
    is_batch_first: bool = False,
    lengths: Tensor | None = None,
    batch_sizes: Tensor | None = None,
    directions: int = 1,
) -> Any:
    """Runs layers over whole sequences, or a cell, on the native kernels, without a gradient.

    Args:
        cell: the recurrence.
        weights: of each layer and direction, the lowest layer first, in the order of `Weights`.
        input: (T, B, I), (B, T, I), or (B, I) for a single step, which is all that a cell takes;
            (N, I) where the sequences come packed.
        hx: the state as the layers take it, or a cell; zeros if None.
        is_layer: whether it is for layers or for a cell.
        is_batch_first: whether the batch is the first of three dimensions.
        lengths: (B,) or None.
        batch_sizes: as `Call` has them.
        directions: D, of each layer.

    Returns:
        Of layers the output and the state as it returns them, of a cell its states; or None where
        something about the call is not plain: a gradient is wanted, a transform, mode or autocast
        is on, a tensor is no common one or does not fit, or the native kernels do not run the cell.
        `scan` is the way then, with the same numbers.
    """
    dtype = input.dtype
    if not _means_the_kernels(cell, dtype, weights[0]):
        return None
    if lengths is None and batch_sizes is None and is_ever_faster_on_torch(cell, dtype):
        rows = input.shape[0 if is_batch_first or input.dim() == 2 else 1]
        if is_faster_on_torch(cell, dtype, weights[0][1].shape[1], rows):
            return None
    return cpu.infer(
        cell, weights, input, hx, is_layer, is_batch_first, lengths, batch_sizes, directions
    )


def train_quickly(
    cell: Cell,
    weights: Sequence[Any],
    input: Tensor,
    state: States | None,
    is_batch_first: bool = False,
    lengths: Tensor | None = None,
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, States] | None:
    """Runs one layer over whole sequences on the native kernels, with a gradient.

    Args:
        cell: as for `infer_quickly`.
        weights: of the layer.
        input: (T, B, I) or (B, T, I); (N, I) where the sequences come packed.
        state: (1, B, ·) for each of the cell's states; zeros if None.
        is_batch_first: as for `infer_quickly`.
        lengths: as for `infer_quickly`.
        batch_sizes: as for `infer_quickly`; they say how the input is laid out.

    Returns:
        As `infer_quickly`, the new states as (1, B, ·).
    """
    if not _is_plain(cell, weights, input, state):
        return None
    is_turned = is_batch_first and batch_sizes is None
    x = input.transpose(0, 1) if is_turned else input
    if lengths is not None and not (
        _are_plain_lengths(lengths, x.shape[1]) and _lengths_fit(lengths, len(x))
    ):
        return None
    call = Call(
        cell, Weights(*weights), x, state, lengths=lengths, layered=True, batch_sizes=batch_sizes
    )
    made = _differentiated(call)
    if made is None:
        return None
    output, after = made
    return output.transpose(0, 1) if is_turned else output, after


def train_step_quickly(
    cell: Cell, weights: Sequence[Any], input: Tensor, state: States | None, backend: str
) -> States | None:
    """Runs one step of one layer with a gradient, on the native kernels or on torch's.

    Args:
        cell: as for `infer_quickly`.
        weights: of the layer.
        input: (B, I).
        state: (B, ·) for each of the cell's states; zeros if None.
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
        and (state is None or state[0].dtype is dtype)
    ):
        return kernels_of_torch.step(cell, weights, input, state)
    if not _is_plain(cell, weights, input, state):
        return None
    made = _differentiated(Call(cell, Weights(*weights), input.unsqueeze(0), state))
    return None if made is None else made[1]


def _differentiated(call: Call) -> tuple[Tensor, States] | None:
    """The output and the final states; None where another backend is the faster."""
    dtype, width, rows = call.input.dtype, call.weights.hh.shape[1], call.input.shape[1]
    is_dense = call.lengths is None and call.batch_sizes is None
    if is_dense and is_faster_on_torch(call.cell, dtype, width, rows):
        return None
    output, *after = differentiate(call)
    return output, tuple(after)


def _are_plain_lengths(lengths: Tensor, rows: int) -> bool:
    """Whether lengths are as the kernels read them, one for each row."""
    return (
        inside_torch.is_plain(lengths)
        and lengths.dtype is torch.int64
        and lengths.is_cpu
        and lengths.is_contiguous()
        and lengths.shape == (rows,)
    )


def _lengths_fit(lengths: Tensor, steps: int) -> bool:
    """Whether every row has from none to all of the steps."""
    if not len(lengths):
        return True
    least, most = lengths.aminmax()
    return int(least) >= 0 and int(most) <= steps


def _is_plain(
    cell: Cell, weights: Sequence[Any], input: Tensor, state: Sequence[Tensor] | None
) -> bool:
    """Whether a call means the native kernels, and its tensors are common ones of one dtype.

    Args:
        cell: as for `infer_quickly`.
        weights: as for `infer_quickly`.
        input: as for `infer_quickly`.
        state: as for `infer_quickly`.
    """
    return _means_the_kernels(cell, input.dtype, weights) and cpu.are_plain(
        input, *weights, *(state or ())
    )


def _means_the_kernels(cell: Cell, dtype: torch.dtype, weights: Sequence[Any]) -> bool:
    """Whether the native kernels run a cell, and nothing changes what a call means."""
    return (
        not torch.compiler.is_compiling()
        and not inside_torch.is_watched()
        and cpu.runs_as_it_is(cell, dtype, weights[4])
    )

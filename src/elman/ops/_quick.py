"""Plain inference by the shortest way: small calls cost more to arrange than to compute."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.cells import Cell
from elman.kernels import cpu, inside_torch

from ._choose import States, is_faster_on_torch

_PLAIN = (Tensor, torch.nn.Parameter)


def infer_quickly(
    cell: Cell,
    weights: Sequence[Tensor | None],
    input: Tensor,
    state: Sequence[Tensor] | None,
    output_shape: tuple[int, ...],
    is_batch_first: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, States] | None:
    """Runs one layer over whole sequences on the native kernels, without a gradient.

    Args:
        cell: the recurrence.
        weights: in the order of `Weights`.
        input: (T, B, I), (B, T, I), or (B, I) for a single step.
        state: (1, B, ·) for each of the cell's states; zeros if None.
        output_shape: the input's with R in place of I.
        is_batch_first: whether the batch is the first of three dimensions.
        lengths: (B,) or None.

    Returns:
        The output and the new states, or None where something about the call is not plain: a
        gradient is wanted, a transform, mode or autocast is on, a tensor is no common one, or the
        native kernels do not run the cell. `scan` is the way then, with the same numbers.
    """
    if (
        torch.compiler.is_compiling()
        or inside_torch.is_watched()
        or cell.native is None
        or not cpu.is_built()
        or not input.is_cpu
    ):
        return None
    needs_gradient, dtype = torch.is_grad_enabled(), input.dtype
    for tensor in (input, *weights, *(state or ())):
        if tensor is not None and (
            type(tensor) not in _PLAIN
            or tensor.dtype is not dtype
            or (needs_gradient and tensor.requires_grad)
            or not tensor.is_contiguous()
        ):
            return None
    rows = output_shape[0 if is_batch_first or len(output_shape) == 2 else 1]
    if lengths is None and is_faster_on_torch(cell, dtype, output_shape[-1], rows):
        return None
    if lengths is not None and not (
        type(lengths) is Tensor
        and lengths.dtype is torch.int64
        and lengths.is_cpu
        and lengths.is_contiguous()
        and lengths.shape == (input.shape[0 if is_batch_first else 1],)
    ):
        return None
    return cpu.infer(cell, weights, input, state, output_shape, is_batch_first, lengths)

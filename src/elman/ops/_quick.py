"""Plain calls of whole stacks, or a cell, by the shortest way: small ones cost more to arrange than
to compute.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.kernels import cpu, inside_torch, stack
from elman.kernels.stack import Stack

from ._choose import is_ever_faster_on_torch, is_faster_on_torch
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

"""What a native call reads has to be there: the sizes of its tensors, before their addresses."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from elman.cells import Cell

from ._call import Call, extent_of

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ho", "bias_ho")
_LETTERS = ("(G * H, I)", "(G * H, R)", "(G * H,)", "(G * H,)", "(R, H)", "(R,)")


def check_weights(cell: Cell, features: int, weights: Sequence[Tensor | None]) -> None:
    """Raises unless the weights fit the cell, the input and each other.

    Args:
        cell: the recurrence.
        features: I of the input.
        weights: in the order of `Weights`.

    Raises:
        ValueError: one of them has another shape.
    """
    ih, _, _, _, ho, _ = weights
    rows = 0 if ih is None else ih.shape[0] if ih.dim() else 0
    hidden = rows // len(cell.gates)
    fed_back = hidden if ho is None else ho.shape[0] if ho.dim() else 0
    rows = hidden * len(cell.gates)
    needed = (
        (rows, features), (rows, fed_back), (rows,), (rows,), (fed_back, hidden), (fed_back,)
    )  # fmt: skip
    for i, weight in enumerate(weights):
        if weight is not None and weight.shape != needed[i]:
            raise ValueError(
                f"{cell.name}: {_WEIGHTS[i]} has shape {tuple(weight.shape)}, expected {needed[i]},"
                f" {_LETTERS[i]}."
            )


def check_rows(call: Call, states: Sequence[Tensor | None]) -> None:
    """Raises unless states, lengths, resets and batch sizes fit the input.

    Args:
        call: whose lengths, resets and batch sizes they are.
        states: two before the first step, and two after a reset.

    Raises:
        ValueError: one of them has another shape.
    """
    if call.batch_sizes is not None:
        check_batch_sizes(call.cell.name, call.batch_sizes, len(call.input))
    steps, batch = extent_of(call, call.input)
    widths: Any = call.widths
    for i, state in enumerate(states):
        if state is not None:
            width = widths[i % 2]
            count = batch * width if i < 2 else width
            if state.numel() != count or state.shape[-1] != width:
                form = f"({batch}, {width})" if i < 2 else f"({width},)"
                raise _misfit(call, call.cell.states[i % 2], state, form)
    if call.lengths is not None and call.lengths.shape != (batch,):
        raise _misfit(call, "lengths", call.lengths, f"({batch},)")
    if call.resets is not None and call.resets.shape != (steps, batch):
        raise _misfit(call, "resets", call.resets, f"({steps}, {batch})")
    if call.batch_sizes is not None and call.input.dim() != 2:
        raise _misfit(call, "the packed input", call.input, "(N, I)")


def check_batch_sizes(where: str, batch_sizes: Tensor, count: int) -> None:
    """Raises ValueError unless they say how so many rows of data are laid out."""
    if batch_sizes.dim() != 1 or batch_sizes.is_floating_point() or batch_sizes.is_complex():
        raise ValueError(
            f"{where}: batch_sizes are {batch_sizes.dtype} of shape {tuple(batch_sizes.shape)};"
            " give whole numbers, one for each step."
        )
    # a mistake would take rows that are not there
    if (
        not len(batch_sizes)
        or int(batch_sizes[-1]) < 1
        or bool((batch_sizes[1:] > batch_sizes[:-1]).any())
    ):
        raise ValueError(
            f"{where}: batch_sizes are {batch_sizes.tolist()}; give numbers above zero that do not"
            " rise."
        )
    total = int(batch_sizes.sum())
    if total != count:
        raise ValueError(
            f"{where}: batch_sizes sum up to {total}, and the data have {count} rows; give as many."
        )


def _misfit(call: Call, name: str, tensor: Tensor, form: str) -> ValueError:
    return ValueError(f"{call.cell.name}: {name} has shape {tuple(tensor.shape)}, expected {form}.")

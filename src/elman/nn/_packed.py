"""Padded batches as PackedSequences and back, with quick gradients."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.ops import (
    batch_sizes_of,
    check_batch_sizes,
    gathered,
    lengths_of,
    scattered,
    times_and_rows,
)

from ._check import check_tensor
from ._lengths import check_lengths


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch, packed; `torch.nn.utils.rnn.pack_padded_sequence` with a quick gradient.

    The layers take a padded batch with `lengths=` as well, where rows without steps are allowed.

    Args:
        input: (T, B, ·), or (B, T, ·) with `batch_first`.
        lengths: (B,), whole numbers from 1 to T.
        batch_first: whether the batch comes first.
        enforce_sorted: whether the rows come longest first; else they are sorted here, and put
            back by `pad_packed_sequence`.

    Raises:
        TypeError: `lengths` are no whole numbers, or `input` is no tensor.
        ValueError: they are not one for each row, a row has no steps or more than there are, or
            they rise where they should not.

    Example:
        >>> import torch, elman
        >>> x = torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]])
        >>> elman.nn.pack_padded_sequence(x, [2, 3], batch_first=True, enforce_sorted=False).data
        tensor([3., 1., 4., 2., 5.])
    """
    where = "pack_padded_sequence"
    check_tensor(where, "input", input)
    if input.dim() < 2 or 0 in input.shape[:2]:
        form = "(B, T, ·)" if batch_first else "(T, B, ·)"
        raise ValueError(
            f"{where}: input has shape {tuple(input.shape)}; give {form} with a row and a step at"
            " least."
        )
    lengths = check_lengths(where, lengths, input.transpose(0, 1) if batch_first else input).cpu()
    if int(lengths.min()) < 1:
        raise ValueError(
            f"{where}: lengths[{int(lengths.argmin())}] is 0, and a packed row has a step at least;"
            " leave the row out, or give the layer the padded batch with lengths=."
        )
    order = inverse = None
    if not enforce_sorted:
        lengths, order = torch.sort(lengths, descending=True)
        inverse = torch.argsort(order).to(input.device)
    elif bool((lengths[1:] > lengths[:-1]).any()):
        raise ValueError(
            f"{where}: lengths are {lengths.tolist()}, which rise; sort the rows, longest first, or"
            " give enforce_sorted=False."
        )
    sizes = batch_sizes_of(lengths)
    time, row = times_and_rows(sizes)
    row = row if order is None else order[row]
    second = input.shape[1]
    places = row * second + time if batch_first else time * second + row
    data = gathered(input, places.to(input.device))
    return PackedSequence(data, sizes, None if order is None else order.to(input.device), inverse)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """A packed batch, padded; `torch.nn.utils.rnn.pad_packed_sequence` with a quick gradient.

    Torch's copies the gradient of the whole batch once for every length that its rows have.

    Args:
        sequence: as `torch.nn.utils.rnn.pack_padded_sequence` and the layers return it.
        batch_first: whether the batch comes first.
        padding_value: what stands behind the rows' ends.
        total_length: steps of the padded batch; those of the longest row if None.

    Returns:
        The rows in their original order, (T, B, ·), or (B, T, ·) with `batch_first`; and their
        lengths, (B,), on the CPU.

    Raises:
        ValueError: `total_length` is less than the longest row's, or `batch_sizes` do not say how
            the data are laid out.

    Example:
        >>> import torch, elman
        >>> x = torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]])
        >>> packed = torch.nn.utils.rnn.pack_padded_sequence(
        ...     x, torch.tensor([2, 3]), batch_first=True, enforce_sorted=False
        ... )
        >>> elman.nn.pad_packed_sequence(packed, batch_first=True)
        (tensor([[1., 2., 0.],
                [3., 4., 5.]]), tensor([2, 3]))
    """
    return pad(sequence, "pad_packed_sequence", batch_first, padding_value, total_length)[:2]


def in_order(states: tuple[Tensor, ...], order: Tensor | None) -> tuple[Tensor, ...]:
    """States, (·, B, ·), with their rows in this order; as they are if it is None."""
    return states if order is None else tuple(s.index_select(1, order) for s in states)


def pad(
    packed: PackedSequence,
    where: str,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `pad_packed_sequence`, and where every row of the data stands among those of the batch."""
    sizes, order = packed.batch_sizes, packed.sorted_indices
    check_batch_sizes(where, sizes, len(packed.data))
    time, row = times_and_rows(sizes)
    longest, batch = len(sizes), int(sizes[0])
    steps = longest if total_length is None else total_length
    if steps < longest:
        raise ValueError(
            f"{where}: total_length={steps} is less than the {longest} steps of the longest row;"
            " give as many at least."
        )
    lengths = lengths_of(sizes)
    if order is not None and packed.unsorted_indices is not None:
        lengths = lengths[packed.unsorted_indices.to(lengths.device)]
        row = order.to(row.device)[row]
    shape = (batch, steps) if batch_first else (steps, batch)
    places = (row * steps + time if batch_first else time * batch + row).to(packed.data.device)
    return scattered(packed.data, places, shape, padding_value), lengths, places

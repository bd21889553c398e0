"""Sequences that come packed, as torch's PackedSequence has them: run as they stand where the
native kernels do, else as a padded batch.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from elman.kernels import Call, cpu, inside_torch

from ._choose import wanted
from ._doors import Door, door

States = tuple[Tensor, ...]


def stay_packed(data: Tensor, backend: str) -> bool:
    """Whether plain calls with the data of a packed batch, (N, I), run them as they stand: eagerly,
    on the native kernels. Else a stack of layers had better pad them once for all of them.
    """
    return (
        not torch.compiler.is_compiling()
        and not inside_torch.is_watched()
        and wanted(backend) in ("auto", "cpu")
        and data.dtype in cpu.DTYPES
        and data.is_cpu
        and inside_torch.is_plain(data)
    )


def runs_packed(call: Call, backend: str) -> bool:
    """Whether a packed call runs as it stands."""
    return (
        stay_packed(call.input, backend)
        and door(call) is Door.EAGER
        and cpu.unsupported(call) is None
    )


def in_padded(
    call: Call, run: Callable[[Call], tuple[list[Tensor], States]]
) -> tuple[list[Tensor], States]:
    """Runs a packed call as a padded batch, and packs its sequences."""
    sizes = call.batch_sizes
    assert sizes is not None
    time, row = times_and_rows(sizes)
    places = (time * int(sizes[0]) + row).to(call.input.device)
    x = scattered(call.input, places, (len(sizes), int(sizes[0])))
    sequences, after = run(replace(call, input=x, lengths=lengths_of(sizes), batch_sizes=None))
    return [gathered(sequence, places) for sequence in sequences], after


def scattered(
    data: Tensor, places: Tensor, shape: tuple[int, int], padding_value: float = 0.0
) -> Tensor:
    """A batch of this shape, (*shape, ·), with rows of data, (N, ·), at these of its places."""
    padded = data.new_full((shape[0] * shape[1], *data.shape[1:]), padding_value)
    if inside_torch.is_transforming():
        # mapped data cannot be written into what is not mapped
        return padded.index_copy(0, places, data).unflatten(0, shape)
    return padded.index_copy_(0, places, data).unflatten(0, shape)


def gathered(sequence: Tensor, places: Tensor) -> Tensor:
    """The data, (N, ·), out of a batch."""
    return sequence.flatten(0, 1).index_select(0, places)


def lengths_of(batch_sizes: Tensor) -> Tensor:
    """The steps of each row, longest first."""
    rows = torch.arange(int(batch_sizes[0]), device=batch_sizes.device)
    return (rows < batch_sizes[:, None]).sum(0)


def batch_sizes_of(lengths: Tensor) -> Tensor:
    """How many rows each step has, of rows with one step at least, longest first."""
    time = torch.arange(int(lengths[0]), device=lengths.device)
    return (lengths > time[:, None]).sum(1)


def times_and_rows(batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) each: the step of every row of the data, and its place among the rows, longest first."""
    count, here = int(batch_sizes.sum()), batch_sizes.device
    time = torch.arange(len(batch_sizes), device=here)
    time = time.repeat_interleave(batch_sizes, output_size=count)
    first = batch_sizes.cumsum(0) - batch_sizes
    return time, torch.arange(count, device=here) - first[time]

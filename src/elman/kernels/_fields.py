"""A call as the native kernels take it: whole numbers in a row, addresses among them."""

from collections.abc import Sequence
from struct import Struct

import torch
from torch import Tensor

from elman import cells

from . import _user_cells
from ._call import Call, extent_of
from ._machine import Machine
from ._sizes import check_rows, check_weights

# native/call.h, struct Call: the same order
FIELDS = (
    "bytes", "threads", "T", "B", "I", "H", "R", "reverse", "cell", "activation",
    "input", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ho", "bias_ho",
    "input_t", "input_b", "state_0", "state_1", "initial_0", "initial_1", "lengths", "resets",
    "batch_sizes",
    "output", "output_t", "output_b", "final_0", "final_1", "saved", "checkpointed", "kept",
    "doutput", "doutput_t", "doutput_b", "dfinal_0", "dfinal_1", "dinput",
    "dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh", "dweight_ho", "dbias_ho",
    "dstate_0", "dstate_1", "dinitial_0", "dinitial_1",
    "dtotal_0", "dtotal_1", "dnorm_0", "dnorm_1", "gradient_clip",
)  # fmt: skip
# all whole numbers but the last
BACKWARD = Struct(f"{len(FIELDS) - 1}qd")
FORWARD = Struct(f"{FIELDS.index('doutput')}q")

BYTES = {torch.bfloat16: 2, torch.float32: 4, torch.float64: 8}
"""The dtypes that the kernels take, and the bytes of a number."""


def name_of(cell: cells.Cell) -> str:
    """What the native kernels call a cell."""
    return cell.native or _user_cells.native_name(cell)


def fields_of_saved(call: Call, saved: Tensor | None, held: list[Tensor]) -> tuple[int, int, int]:
    """`saved`, `checkpointed` and `kept`; see `address_of`."""
    at = address_of(saved, held)
    return (0, 1, at) if call.checkpointed else (at, 0, 0)


def pointer_to(tensor: Tensor) -> int:
    """Where a tensor's numbers stand.

    Raises:
        ValueError: it has none there: it is fake or a zero of autograd's, or its storage was freed.

    Example:
        >>> x = torch.zeros(2)
        >>> pointer_to(x) == x.data_ptr()
        True
    """
    at = tensor.data_ptr()
    if not at and tensor.numel():
        raise ValueError(
            f"a tensor of shape {tuple(tensor.shape)} has no numbers in memory: it is fake, or its"
            " storage was freed; give one that has."
        )
    return at


def address_of(tensor: Tensor | None, held: list[Tensor]) -> int:
    """Where a tensor's numbers stand, in a row; `held` keeps a copy alive if one was needed."""
    if tensor is None:
        return 0
    if not tensor.is_contiguous():
        tensor = tensor.contiguous()
        held.append(tensor)
    return pointer_to(tensor)


def addresses(tensors: Sequence[Tensor | None], held: list[Tensor]) -> list[int]:
    """The address of each; most are absent or stand in a row."""
    return [
        0 if t is None else pointer_to(t) if t.is_contiguous() else address_of(t, held)
        for t in tensors
    ]


def sequence(tensor: Tensor | None, held: list[Tensor]) -> tuple[int, int, int]:
    """A sequence's address and its strides in time and batch; those of a packed one are 0 and that
    of its rows.
    """
    if tensor is None:
        return 0, 0, 0
    if tensor.stride(-1) != 1 and tensor.shape[-1] != 1:
        tensor = tensor.contiguous()
        held.append(tensor)
    time = tensor.stride(0) if tensor.dim() > 2 else 0
    return pointer_to(tensor), time, tensor.stride(-2)


def fields_of(
    here: Machine,
    threads: int,
    call: Call,
    tensors: Sequence[Tensor | None],
    held: list[Tensor],
) -> list[int]:
    """What both passes hand to a machine's kernels first, in the order of `FIELDS`."""
    input, ih = tensors[0], tensors[1]
    if input is None or ih is None or tensors[2] is None:
        raise TypeError("a call has an input and two weights.")
    features = input.shape[-1]
    check_weights(call.cell, features, tensors[1:7])
    check_rows(call, tensors[7:])
    steps, batch = extent_of(call, input)
    address, time, row = sequence(input, held)
    cell = call.cell
    lengths, resets = call.lengths, call.resets
    if lengths is not None:
        lengths = lengths.detach().to("cpu", torch.int64)
        held.append(lengths)
    if resets is not None:
        resets = resets.detach().to("cpu", torch.bool).contiguous()
        held.append(resets)
    sizes = call.batch_sizes
    if sizes is not None:
        sizes = sizes.detach().to("cpu", torch.int64)
        held.append(sizes)
    others = addresses(tensors[1:], held)
    return [
        BYTES[input.dtype],
        threads,
        steps,
        batch,
        features,
        ih.shape[0] // len(cell.gates),
        tensors[2].shape[1],
        int(call.reverse),
        here.cells[name_of(cell)][0],
        here.activations[cell.output.name][0],
        address,
        *others[:6],
        time,
        row,
        *others[6:],
        address_of(lengths, held),
        address_of(resets, held),
        address_of(sizes, held),
    ]

"""The native kernels: any built-in cell on a CPU, with lengths and resets, forward and backward."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman import cells

from . import _flags, _memory, _user_cells
from ._call import Call, extent_of, tensors_of, with_tensors
from ._fields import (
    BACKWARD,
    BYTES,
    FORWARD,
    address_of,
    fields_of,
    fields_of_saved,
    name_of,
    pointer_to,
    sequence,
)
from ._machine import is_built, machine, native, threads
from ._records import saved_size

# the initial states, in the order of `tensors_of`
_INITIAL = (9, 10)
# the addresses of what nobody watches
_NOT_SEEN = [0, 0, 0, 0]
DTYPES = frozenset(BYTES)
"""The dtypes that the kernels take."""


def cell_named(name: str, output: str) -> cells.Cell:
    """The cell of a native name, with an output layer's nonlinearity."""
    if name.startswith("rnn_"):
        return cells.rnn.cell(name.removeprefix("rnn_"), output)
    if name.startswith("user_"):
        # the kernels know the step alone
        return replace(_user_cells.cell_of(name), output=cells.nonlinearity(output))
    return {"gru": cells.gru, "gru_reset_before": cells.gru_reset_before, "lstm": cells.lstm}[
        name
    ].cell


def unsupported(call: Call) -> str | None:
    """Why the native kernels cannot run the call; None if they can."""
    if not is_built():
        return "the native module is not installed (a compiler was missing, or ELMAN_NATIVE=0)"
    if call.only_on_reference is not None:
        return call.only_on_reference
    if call.traced:
        return "the native kernels keep only what the gradient needs"
    if call.input.device.type != "cpu":
        return f"the native kernels run on a CPU, the input is on {call.input.device.type}"
    if call.input.dtype not in BYTES:
        return (
            f"the native kernels take float32, float64 and bfloat16, not {_short(call.input.dtype)}"
        )
    dtype = call.input.dtype
    for tensor in tensors_of(call):
        if tensor is not None and tensor.dtype is not dtype:
            return "the native kernels take one dtype for input, weights and state"
        if tensor is not None and not tensor.is_cpu:
            return f"the input is on the CPU, a weight or a state on {tensor.device.type}"
    if call.cell.native is None:
        why = _not_compiled(call.cell)
        if why is not None:
            return why
    if call.weights.ho is not None and not call.cell.output.is_registered:
        return f"the nonlinearity {call.cell.output.name} is not built in"
    return None


def has_bfloat16() -> bool:
    """Whether the native kernels multiply bfloat16 as it is."""
    return is_built() and machine().bfloat16


@cache
def is_amd() -> bool:
    """Whether the processor is an AMD."""
    return is_built() and native.is_amd()


def only_in_float32(call: Call) -> str | None:
    """Why a call in bfloat16 that is supported runs by way of float32; None if it does not."""
    if not machine().bfloat16:
        return f"the kernels {machine().name} do not multiply bfloat16"
    if call.checkpointed:
        return "the pass is checkpointed"
    if call.gradient_clip is not None or call.watch is not None:
        return "the gradients of the states are watched or clipped"
    return None


def _not_compiled(cell: cells.Cell) -> str | None:
    """Why a cell of the user's own does not run natively; None if it does."""
    if torch.compiler.is_compiling():
        return f"the cell {cell.name} is the user's own, which torch.compile does not see through"
    try:
        _user_cells.native_name(cell)
    except _user_cells.NotCompiledError as error:
        return f"the cell {cell.name} is not built in, and was not compiled: {error}"
    return None


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check(status: int, call: Call) -> None:
    """Raises what a kernel answered."""
    if status == _flags.BAD_LENGTH:
        steps = call.input.shape[0]
        raise ValueError(f"lengths: a length is outside 0 … T = {steps}; give each row's own.")
    check_memory(status)


def check_memory(status: object) -> None:
    """Raises MemoryError where that is what a kernel answered."""
    if status == _flags.NO_MEMORY:
        raise MemoryError("the native kernels found no memory for their buffers.")


def forward(
    call: Call, tensors: Sequence[Tensor | None], save: bool, compact: bool = True
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """Runs a call forward.

    Args:
        call: what to run; its tensors are those of `tensors`.
        tensors: as `tensors_of` gives them.
        save: whether `backward` will be called.
        compact: whether what is saved has room for the steps of the rows alone; else for T * B,
            with zeros where nothing is saved.

    Returns:
        The output, (T, B, R) or, packed, (N, R); the final states; and what `backward` needs, None
        where that is nothing.
    """
    flags = _flags_of(call) | (_flags.SAVE if save else 0) | (0 if compact else _flags.WHOLE)
    made = native.scan(*kernels_of(call.cell), threads(), flags, tensors, _cuts_of(call))
    if isinstance(made, tuple):
        return made
    if made != _flags.NOT_PLAIN:
        _check(made, call)
    return _forward_by_fields(call, tensors, save, compact)


def _forward_by_fields(
    call: Call, tensors: Sequence[Tensor | None], save: bool, compact: bool
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """The same for tensors that are not plain."""
    input = call.input
    held: list[Tensor] = []
    # this looks at the sizes first: what is made below is as large as they say
    fields = fields_of(machine(), threads(), call, tensors, held)
    batch, widths = extent_of(call, input)[1], call.widths
    output = _memory.empty(input, *input.shape[:-1], widths[0])
    after = [input.new_empty(batch, width) for width in widths]
    numbers = saved_size(call, compact) if save else 0
    saved = _memory.empty(input, numbers) if numbers else None
    if saved is not None and not compact:
        saved.zero_()
    fields += (
        output.data_ptr(),
        batch * widths[0],
        widths[0],
        after[0].data_ptr(),
        after[1].data_ptr() if len(after) > 1 else 0,
        *fields_of_saved(call, saved, held),
    )
    _check(native.forward(machine().kernels, FORWARD.pack(*fields)), call)
    return output, after, saved


def _cuts_of(call: Call) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """What says where rows end and begin anew."""
    return call.lengths, call.resets, call.batch_sizes


def kernels_of(cell: cells.Cell) -> tuple[int, int, int]:
    """The addresses of this machine's kernels, of a cell and of its output's nonlinearity."""
    here = machine()
    return here.kernels, here.cells[name_of(cell)][0], here.activations[cell.output.name][0]


def _flags_of(call: Call) -> int:
    checkpointed = _flags.CHECKPOINTED if call.checkpointed else 0
    return checkpointed | (_flags.REVERSE if call.reverse else 0)


def runs_as_it_is(cell: cells.Cell, dtype: torch.dtype, ho: Tensor | None) -> bool:
    """Whether the kernels run a cell in a dtype, with or without an output layer."""
    if cell.native is None or not is_built():
        return False
    if ho is not None and not cell.output.is_registered:
        return False
    return dtype in BYTES and (dtype is not torch.bfloat16 or has_bfloat16())


def fields_of_step(call: Call, tensors: Sequence[Tensor | None], held: list[Tensor]) -> bytes:
    """A call of one step for `native.Stream`: its final states go where its first ones were."""
    rows, width = call.input.shape[1], call.widths[0]
    fields = fields_of(machine(), threads(), call, tensors, held)
    after = [0 if t is None else t.data_ptr() for t in tensors[7:9]]
    fields += (0, rows * width, width, *after, 0, 0, 0)
    return FORWARD.pack(*fields)


def backward(
    call: Call,
    tensors: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    needed: Any,
    output: Tensor,
    saved: Tensor | None,
) -> list[Tensor | None]:
    """The gradients of the tensors that need one, None for the others.

    Args:
        call: as for `forward`; its own tensors are not looked at, but lengths, resets and batch
            sizes are.
        tensors: as for `forward`.
        grads: of the output and the final states, None where there is none.
        needed: for each tensor whether its gradient is wanted.
        output: what `forward` gave.
        saved: what `forward` gave.
    """
    wanted: Any = needed
    if tensors[_INITIAL[0]] is not None:
        wanted = _wanted_of_initial(call, tensors, needed)
    watch, norms, vectors, seen = call.watch, None, None, _NOT_SEEN
    if watch is not None:
        norms, vectors, seen = _watched(with_tensors(call, tensors), watch.vectors)
    clip = call.gradient_clip or 0.0
    found = native.scan_back(
        *kernels_of(call.cell), threads(), _flags_of(call), tensors, _cuts_of(call),
        (output, saved), grads, wanted, seen, clip,
    )  # fmt: skip
    if not isinstance(found, list):
        whole = with_tensors(call, tensors)
        if found != _flags.NOT_PLAIN:
            _check(found, whole)
        found = [_room_for(*one) for one in zip(tensors, wanted, strict=True)]
        fields, _held = _fields_of_gradient(whole, tensors, grads, output, saved, found)
        status = native.backward(machine().kernels, BACKWARD.pack(*fields, *seen, clip))
        _check(status, whole)
    results: list[Tensor | None] = found
    if watch is not None and norms is not None:
        watch.seen(norms, vectors)
    for i in _INITIAL:
        one, initial = results[i], tensors[i]
        results[i] = None if one is None or initial is None else one.sum(0).to(initial.dtype)
    return results


def _room_for(tensor: Tensor | None, want: Any) -> Tensor | None:
    """Where a tensor's gradient goes, as `_wanted_of_initial` has it."""
    if tensor is None or want is None or want is False:
        return None
    return _memory.empty_like(tensor) if want is True else want


def _wanted_of_initial(
    call: Call, tensors: Sequence[Tensor | None], needed: Sequence[bool]
) -> list[Any]:
    """`needed` with room for each row's own gradient of a learned state that all rows share, in
    float32 at least.
    """
    wanted: list[Any] = list(needed)
    for i in _INITIAL:
        one, input = tensors[i], tensors[0]
        if needed[i] and one is not None and input is not None:
            dtype = torch.promote_types(one.dtype, torch.float32)
            wanted[i] = one.new_zeros(extent_of(call, input)[1], one.shape[-1], dtype=dtype)
    return wanted


def _fields_of_gradient(
    call: Call,
    tensors: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    output: Tensor,
    saved: Tensor | None,
    results: Sequence[Tensor | None],
) -> tuple[list[int], list[Tensor]]:
    """The fields of a backward call but the last ones, and the copies that they point to."""
    if saved is None and saved_size(call):
        raise ValueError("the native backward pass needs what the forward pass saved.")
    held: list[Tensor] = []
    # torch may leave a change of sign for later
    grads = [None if one is None else one.resolve_neg() for one in grads]
    held += [one for one in grads if one is not None]
    check_saved(call.cell, (call.input, *held, *tensors, output, saved))
    fields = fields_of(machine(), threads(), call, tensors, held)
    fields += [*sequence(output, held), 0, 0, *fields_of_saved(call, saved, held)]
    fields += sequence(grads[0], held)
    fields += [address_of(grads[1], held), address_of(grads[2], held) if len(grads) > 2 else 0]
    fields += [0 if one is None else one.data_ptr() for one in results]
    return fields, held


def check_saved(cell: cells.Cell, tensors: Sequence[Tensor | None]) -> None:
    """Raises TypeError where what a gradient reads is not of one dtype, that of the first, and
    ValueError where it has no numbers in memory.
    """
    first = tensors[0]
    for one in tensors:
        if one is not None:
            pointer_to(one)
        if one is not None and first is not None and one.dtype is not first.dtype:
            raise TypeError(
                f"{cell.name}: what the gradient reads is {one.dtype} and {first.dtype}; it has to"
                " come back in the type in which autograd saved it."
            )


def _watched(call: Call, with_vectors: bool) -> tuple[Tensor, tuple[Tensor, ...] | None, list[int]]:
    """Room for the norms of the states' gradients and for these themselves, and the addresses of
    two of each.
    """
    steps, batch = extent_of(call, call.input)
    states = len(call.cell.states)
    # every number is written, as float64; in the input's dtype the memory is had in half the time,
    # as a gradient's was just before
    numbers = 8 // BYTES[call.input.dtype]
    norms = call.input.new_empty(states, steps, numbers * batch)
    if not batch:
        norms = norms.double()
    vectors = None
    seen = [0, 0, norms.data_ptr(), norms.data_ptr() + steps * batch * 8 if states > 1 else 0]
    if with_vectors:
        vectors = tuple(call.input.new_zeros(steps, batch, width) for width in call.widths)
        seen[:states] = [one.data_ptr() for one in vectors]
    return norms, vectors, seen

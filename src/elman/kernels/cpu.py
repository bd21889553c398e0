"""The native kernels: any built-in cell on a CPU, with lengths and resets, forward and backward."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman import cells

from . import _memory, _user_cells
from ._call import Call, segment_size, tensors_of
from ._fields import (
    BACKWARD,
    BYTES,
    FORWARD,
    address_of,
    fields_of,
    fields_of_saved,
    name_of,
    sequence,
)
from ._machine import is_built, machine, native, threads
from ._sizes import check_weights

# native/call.h, enum Status
_BAD_LENGTH = 2
_NO_MEMORY = "the native kernels found no memory for their buffers."


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
    if call.weights.ho is not None:
        return "the output is fed back through a layer of its own"
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


def record_size(call: Call) -> int:
    """How many numbers a step of one sequence saves for the gradient."""
    here = machine()
    lanes = here.vector_bytes // BYTES[call.input.dtype]
    hidden = call.weights.ih.shape[0] // len(call.cell.gates)
    wide = (hidden + lanes - 1) // lanes * lanes
    _, saved = here.cells[name_of(call.cell)]
    size = (saved + len(call.cell.states) - 1) * wide
    if call.weights.ho is not None:
        size += wide
        if here.activations[call.cell.output.name][1]:
            size += (call.widths[0] + lanes - 1) // lanes * lanes
    size += wide if call.cell.two_products else 0
    # native/plan.h, record_size_of
    apart = call.input.dtype is torch.bfloat16 and size > 0 and size % 512 == 0
    return size + lanes if apart else size


def saved_size(call: Call, compact: bool = True) -> int:
    """How many numbers the forward pass keeps for the gradient; see `forward`."""
    steps, batch = call.input.shape[:2]
    if call.checkpointed:
        # the states that are not put out, before each segment but the first
        lanes = machine().vector_bytes // BYTES[call.input.dtype]
        wide = sum((width + lanes - 1) // lanes * lanes for width in call.widths[1:])
        return segment_size(steps) * batch * wide
    records = steps * batch
    if call.lengths is not None and compact:
        records = int(call.lengths.sum())
    return records * record_size(call)


def _check(status: int, call: Call) -> None:
    """Raises what a kernel answered."""
    if status == 0:
        return
    if status == _BAD_LENGTH:
        steps = call.input.shape[0]
        raise ValueError(f"lengths: a length is outside 0 … T = {steps}; give each row's own.")
    raise MemoryError(_NO_MEMORY)


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
        The output (T, B, R), the final states, and what `backward` needs; None where that is
        nothing.
    """
    input, held = call.input, []
    fields = fields_of(machine(), threads(), call, tensors, held)
    steps, batch = input.shape[:2]
    widths = call.widths
    output = _memory.empty(input, steps, batch, widths[0])
    rows = (1, batch) if call.layered else (batch,)
    after = [input.new_empty(*rows, width) for width in widths]
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
        *fields_of_saved(call, saved),
    )
    _check(native.forward(machine().kernels, FORWARD.pack(*fields)), call)
    return output, after, saved


def runs_as_it_is(cell: cells.Cell, dtype: torch.dtype, ho: Tensor | None) -> bool:
    """Whether the kernels run a built-in cell in a dtype, with or without an output layer."""
    if ho is not None and not cell.output.is_registered:
        return False
    return dtype in BYTES and (dtype is not torch.bfloat16 or (has_bfloat16() and ho is None))


def infer(
    cell: cells.Cell,
    weights: Sequence[Any],
    input: Tensor,
    state: Sequence[Tensor] | None,
    output_shape: tuple[int, ...],
    state_shapes: Sequence[tuple[int, ...]],
    is_batch_first: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """Runs whole sequences forward, for a cell of which `runs_as_it_is` is true; every tensor is of
    one dtype, on the CPU, and contiguous, the input in its last dimension at least.

    Args:
        cell: one that is built in.
        weights: in the order of `Weights`.
        input: (T, B, I), (B, T, I), or (B, I).
        state: (1, B, ·) or (B, ·) for each of the cell's states; zeros if None.
        output_shape: of the output, the input's with R in place of I.
        state_shapes: of the new states, as those of `state`.
        is_batch_first: whether the batch is the first of three dimensions.
        lengths: (B,) int64 or None.

    Returns:
        The output and the new states; None for a length that does not fit.
    """
    here, ih, hh = machine(), weights[0], weights[1]
    width = hh.shape[1]
    empty = _memory.empty
    if input.dim() == 2:
        steps, batch, time, row = 1, output_shape[0], 0, 1
        input_time, input_row = 0, input.stride(0)
        # nothing is large in a step
        empty = Tensor.new_empty
    elif is_batch_first:
        batch, steps, time, row = *output_shape[:2], 1, output_shape[1]
        input_row, input_time, _ = input.stride()
    else:
        steps, batch, time, row = *output_shape[:2], output_shape[1], 1
        input_time, input_row, _ = input.stride()
    features, hidden = input.shape[-1], ih.shape[0] // len(cell.gates)
    check_weights(cell, features, weights)
    # sizes one by one: torch reads a tuple in twice the time
    output = empty(input, *output_shape)
    two = len(cell.states) > 1
    after = [input.new_empty(*shape) for shape in state_shapes]
    first = (0, 0) if state is None else [s.data_ptr() for s in state]
    packed = FORWARD.pack(
        BYTES[input.dtype], threads(), steps, batch, features, hidden, width, 0,
        here.cells[name_of(cell)][0], here.activations[cell.output.name][0],
        input.data_ptr(),
        *[0 if w is None else w.data_ptr() for w in weights],
        input_time, input_row, first[0], first[1] if two else 0, 0, 0,
        0 if lengths is None else lengths.data_ptr(), 0,
        output.data_ptr(), time * width, row * width, after[0].data_ptr(),
        after[1].data_ptr() if two else 0, 0, 0, 0,
    )  # fmt: skip
    status = native.forward(here.kernels, packed)
    if status == _BAD_LENGTH:
        return None
    if status:
        raise MemoryError(_NO_MEMORY)
    return output, tuple(after)


def packed_step(call: Call, tensors: Sequence[Tensor | None], held: list[Tensor]) -> bytes:
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
        call: as for `forward`.
        tensors: as for `forward`.
        grads: of the output and the final states, None where there is none.
        needed: for each tensor whether its gradient is wanted.
        output: what `forward` gave.
        saved: what `forward` gave.
    """
    if saved is None and saved_size(call):
        raise ValueError("the native backward pass needs what the forward pass saved.")
    held: list[Tensor] = []
    # torch may leave a change of sign for later
    grads = [None if one is None else one.resolve_neg() for one in grads]
    fields = fields_of(machine(), threads(), call, tensors, held)
    fields += [*sequence(output, held), 0, 0, *fields_of_saved(call, saved)]
    fields += sequence(grads[0], held)
    fields += [address_of(grads[1], held), address_of(grads[2], held) if len(grads) > 2 else 0]
    results: list[Tensor | None] = []
    for i, (tensor, need) in enumerate(zip(tensors, needed, strict=True)):
        made = None
        if need and tensor is not None:
            if i in _INITIAL:
                dtype = torch.promote_types(tensor.dtype, torch.float32)
                made = tensor.new_zeros(call.input.shape[1], tensor.shape[-1], dtype=dtype)
            else:
                made = _memory.empty(tensor, *tensor.shape)
        fields.append(0 if made is None else made.data_ptr())
        results.append(made)
    watch, norms, vectors, seen = call.watch, None, None, [0] * 4
    if watch is not None:
        norms, vectors, seen = _watched(call, watch.vectors)
    packed = BACKWARD.pack(*fields, *seen, call.gradient_clip or 0.0)
    _check(native.backward(machine().kernels, packed), call)
    if watch is not None and norms is not None:
        watch.seen(norms, vectors)
    # a learned initial state is one for all rows
    for i in _INITIAL:
        made = results[i]
        results[i] = None if made is None else made.sum(0).to(call.input.dtype)
    return results


def _watched(call: Call, with_vectors: bool) -> tuple[Tensor, tuple[Tensor, ...] | None, list[int]]:
    """Room for the norms of the states' gradients and for these themselves, and the addresses of
    two of each.
    """
    steps, batch, _ = call.input.shape
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


# the initial states, in the order of `tensors_of`
_INITIAL = (9, 10)

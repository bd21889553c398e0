"""The native kernels: any built-in cell on a CPU, with lengths and resets, forward and backward."""

from collections.abc import Sequence
from struct import Struct
from typing import Any

import torch
from torch import Tensor

from elman import cells

from ._call import Call, tensors_of
from ._machine import Machine, is_built, machine, threads

try:
    from . import _native
except ImportError:
    _native: Any = None

# native/call.h, struct Call: the same order
_FIELDS = (
    "bytes threads T B I H R reverse cell activation"
    " input weight_ih weight_hh bias_ih bias_hh weight_ho bias_ho input_t input_b"
    " state_0 state_1 initial_0 initial_1 lengths resets output output_t output_b"
    " final_0 final_1 saved"
    " doutput doutput_t doutput_b dfinal_0 dfinal_1 dinput"
    " dweight_ih dweight_hh dbias_ih dbias_hh dweight_ho dbias_ho"
    " dstate_0 dstate_1 dinitial_0 dinitial_1"
).split()
_PACKED = Struct(f"{len(_FIELDS)}q")
_DTYPES = {torch.float32: 4, torch.float64: 8}
# native/call.h, enum Status
_BAD_LENGTH = 2


def native_name(call: Call) -> str | None:
    """What the native module calls a cell; None if it has not got it."""
    cell = call.cell
    if cell is cells.lstm.cell:
        return "lstm"
    if cell is cells.gru.cell:
        return "gru"
    if cell is cells.gru_reset_before.cell:
        return "gru_reset_before"
    if cell.f is not None and getattr(cell.step, "func", None) is cells.rnn.step:
        return f"rnn_{cell.f.name}" if _is_known(cell.f) else None
    return None


def cell_named(name: str, output: str) -> cells.Cell:
    """The cell of a native name, with an output layer's nonlinearity."""
    if name.startswith("rnn_"):
        return cells.rnn.cell(name.removeprefix("rnn_"), output)
    return {"gru": cells.gru, "gru_reset_before": cells.gru_reset_before, "lstm": cells.lstm}[
        name
    ].cell


def _is_known(f: cells.Nonlinearity) -> bool:
    return cells.NONLINEARITIES.get(f.name) is f


def unsupported(call: Call) -> str | None:
    """Why the native kernels cannot run the call; None if they can."""
    if not is_built():
        return "the native module is not installed (a compiler was missing, or ELMAN_NATIVE=0)"
    if call.traced:
        return "the native kernels keep only what the gradient needs"
    if call.input.device.type != "cpu":
        return f"the native kernels run on a CPU, the input is on {call.input.device.type}"
    if call.input.dtype not in _DTYPES:
        return f"the native kernels take float32 and float64, not {_short(call.input.dtype)}"
    for tensor in tensors_of(call):
        if tensor is not None and tensor.dtype != call.input.dtype:
            return "the native kernels take one dtype for input, weights and state"
    if native_name(call) is None:
        return f"the cell {call.cell.name} with this nonlinearity is not built in"
    if call.weights.ho is not None and not _is_known(call.cell.output):
        return f"the nonlinearity {call.cell.output.name} is not built in"
    return None


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def record_size(call: Call) -> int:
    """How many numbers a step of one sequence saves for the gradient."""
    here = machine()
    hidden = call.weights.ih.shape[0] // len(call.cell.gates)
    lanes = here.vector_bytes // _DTYPES[call.input.dtype]
    wide = (hidden + lanes - 1) // lanes * lanes
    _, saved = here.cells[str(native_name(call))]
    size = (saved + len(call.state) - 1) * wide
    if call.weights.ho is not None:
        size += wide
        if here.activations[call.cell.output.name][1]:
            size += (call.state[0].shape[-1] + lanes - 1) // lanes * lanes
    return size + wide if call.cell.two_products else size


class _Frame:
    """The fields of one call, by name; packed for the kernel."""

    def __init__(self, call: Call, tensors: Sequence[Tensor | None], here: Machine) -> None:
        input, ih = tensors[0], tensors[1]
        if input is None or ih is None:
            raise TypeError("a call has an input and weights.")
        steps, batch, features = input.shape
        gates = len(call.cell.gates)
        cell, _ = here.cells[str(native_name(call))]
        activation, _ = here.activations[call.cell.output.name]
        self.values = dict.fromkeys(_FIELDS, 0)
        self.held: list[Tensor] = []
        self.here = here
        hidden, size = ih.shape[0] // gates, call.state[0].shape[-1]
        self.values.update(
            bytes=_DTYPES[input.dtype],
            threads=threads(),
            T=steps,
            B=batch,
            I=features,
            H=hidden,
            R=size,
            reverse=int(call.reverse),
            cell=cell,
            activation=activation,
        )
        self.put("input", input, input.stride())
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ho", "bias_ho")
        names += ("state_0", "state_1", "initial_0", "initial_1")
        for name, tensor in zip(names, tensors[1:], strict=True):
            self.put(name, tensor)
        if call.lengths is not None:
            self.put("lengths", call.lengths.detach().to("cpu", torch.int64))
        if call.resets is not None:
            self.put("resets", call.resets.detach().to("cpu", torch.bool))

    def put(
        self, name: str, tensor: Tensor | None, strides: tuple[int, ...] | None = None
    ) -> None:
        """A tensor's address, and its strides in time and batch; it lives as long as the frame."""
        if tensor is None:
            return
        if strides is None:
            tensor = tensor.contiguous()
        elif strides[2] != 1 and tensor.shape[2] != 1:
            tensor = tensor.contiguous()
            strides = tensor.stride()
        if strides is not None:
            self.values[f"{name}_t"], self.values[f"{name}_b"] = strides[0], strides[1]
        self.held.append(tensor)
        self.values[name] = tensor.data_ptr()

    def run(self, which: str) -> None:
        """Calls the kernel."""
        packed = _PACKED.pack(*self.values.values())
        status = getattr(_native, which)(self.here.kernels, packed)
        if status == _BAD_LENGTH:
            steps = self.values["T"]
            raise ValueError(f"lengths: a length is outside 0 … T = {steps}; give each row's own.")
        if status != 0:
            raise MemoryError(f"the native {which} pass found no memory for its buffers.")


def forward(
    call: Call, tensors: Sequence[Tensor | None], save: bool, compact: bool = True
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """Runs a call forward.

    Args:
        call: what to run; its tensors are taken from `tensors`.
        tensors: as `tensors_of` gives them.
        save: whether `backward` will be called.
        compact: whether what is saved has room for the steps of the rows alone; else for T * B,
            with zeros where nothing is saved.

    Returns:
        The output (T, B, R), the final states, and what `backward` needs; None where that is
        nothing.
    """
    frame = _Frame(call, tensors, machine())
    input, state = call.input, call.state
    steps, batch = input.shape[:2]
    output = input.new_empty(steps, batch, state[0].shape[-1])
    after = [torch.empty_like(s, memory_format=torch.contiguous_format) for s in state]
    saved = None
    size = record_size(call) if save else 0
    if size:
        counted = call.lengths is not None and compact
        records = int(call.lengths.sum()) if counted else steps * batch
        saved = input.new_empty(records * size) if compact else input.new_zeros(records * size)
        frame.put("saved", saved)
    frame.put("output", output, output.stride())
    for i, one in enumerate(after):
        frame.put(f"final_{i}", one)
    frame.run("forward")
    return output, after, saved


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
    frame = _Frame(call, tensors, machine())
    frame.put("output", output, output.stride())
    size = record_size(call)
    if size and saved is None:
        raise ValueError("the native backward pass needs what the forward pass saved.")
    frame.put("saved", saved)
    doutput, *dafter = grads
    if doutput is not None:
        frame.put("doutput", doutput, doutput.stride())
    for i, one in enumerate(dafter):
        frame.put(f"dfinal_{i}", one)
    names = ("input", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ho", "bias_ho")
    names += ("state_0", "state_1", "initial_0", "initial_1")
    results: list[Tensor | None] = []
    batch = call.input.shape[1]
    for name, tensor, need in zip(names, tensors, needed, strict=True):
        made = None
        if need and tensor is not None:
            if name == "input" or name.startswith("state"):
                # written whole
                made = torch.empty_like(tensor, memory_format=torch.contiguous_format)
            elif name.startswith("initial"):
                made = tensor.new_zeros(batch, tensor.shape[-1])
            else:
                made = torch.zeros_like(tensor, memory_format=torch.contiguous_format)
            frame.put(f"d{name}", made)
        results.append(made)
    frame.run("backward")
    # a learned initial state is one for all rows
    for i in (9, 10):
        made = results[i]
        results[i] = None if made is None else made.sum(0)
    return results

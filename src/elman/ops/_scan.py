"""A whole sequence through one layer, in one direction."""

import torch
from torch import Tensor

from elman.kernels import Call, inside_torch, tensors_of, with_tensors
from elman.kernels import torch as kernels_of_torch

from ._choose import BackendError, States, backend_of, pick, wanted
from ._doors import Door, door
from ._native import scan as scan_natively
from ._packed import in_padded, runs_packed
from ._reversed import in_time
from ._torchs import scan as scan_by_torch


def scan(call: Call, *, backend: str = "auto") -> tuple[list[Tensor], States]:
    """Runs a cell over time.

    Args:
        call: the cell, its weights and the sequences; lengths and resets may be on any device.
        backend: "auto" takes the fastest backend that supports the call, another name forces one.

    Returns:
        The sequences, each (T, B, ·), or (N, ·) for a packed call: the output, and for a traced
        call the states and what the cell saves. Behind a row's end they are zero. Then the state
        after each row's own last step.

    Raises:
        BackendError: the forced backend cannot run the call.

    Example:
        >>> import torch
        >>> from elman.cells import gru
        >>> from elman.kernels import Call, Weights
        >>> weights = Weights(torch.randn(6, 3), torch.randn(6, 2))
        >>> call = Call(gru.cell, weights, torch.randn(5, 1, 3), (torch.zeros(1, 2),))
        >>> (output,), (h,) = scan(call)
        >>> output.shape
        torch.Size([5, 1, 2])
    """
    if call.batch_sizes is not None:
        if runs_packed(call, backend):
            return scan_natively(call, Door.EAGER)
        return in_padded(call, lambda padded: scan(padded, backend=backend))
    if is_lowered(call.input):
        device = call.input.device.type
        with torch.autocast(device, enabled=False):
            (output, *more), after = _run(_lowered(call, torch.get_autocast_dtype(device)), backend)
        if call.cell.name == "GRU":
            # torch's GRU mixes its state into every step as it came, so it gives that dtype back
            dtype = call.input.dtype if call.state is None else call.state[0].dtype
            output, after = output.to(dtype), tuple(a.to(dtype) for a in after)
        return [output, *more], after
    return _run(call, backend)


def is_lowered(input: Tensor) -> bool:
    """Whether autocast is on where a tensor is; it knows nothing of tensors without numbers."""
    device = input.device.type
    return device != "meta" and torch.is_autocast_enabled(device)


def _run(call: Call, backend: str) -> tuple[list[Tensor], States]:
    if (
        inside_torch.is_tracing()
        and wanted(backend) == "auto"
        and kernels_of_torch.unsupported(call) is None
    ):
        # what is recorded runs without this library then
        return in_time(call, kernels_of_torch.scan)
    way = door(call)
    if call.watch is not None and way is not Door.EAGER and torch.is_grad_enabled():
        raise BackendError(
            f"{call.cell.name}: the layer is watched, and runs under torch.compile, torch.func or a"
            " dispatch mode, which hand no gradient of a state on; run it eagerly while it is"
            " watched."
        )
    chosen = pick(call, backend)
    if chosen == "cpu":
        return scan_natively(call, way)
    if chosen == "torch" and wanted(backend) == "auto" and way is Door.EAGER:
        return scan_by_torch(call)
    return in_time(call, backend_of(chosen).scan)


def _lowered(call: Call, dtype: torch.dtype) -> Call:
    """The call in autocast's dtype, as torch's layers run under it; float64 stays."""

    def cast(tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or tensor.dtype == torch.float64 else tensor.to(dtype)

    lowered = with_tensors(call, [cast(tensor) for tensor in tensors_of(call)])
    w = lowered.weights
    w.norm_ih, w.norm_hh = cast(w.norm_ih), cast(w.norm_hh)
    for name in ("state", "initial"):
        states = getattr(lowered, name)
        setattr(lowered, name, states and tuple(map(cast, states)))
    return lowered

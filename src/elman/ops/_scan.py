"""A whole sequence through one layer, in one direction."""

from torch import Tensor

from elman.kernels import Call

from ._choose import States, backend_of, pick
from ._native import scan as scan_natively
from ._reversed import in_time


def scan(call: Call, *, backend: str = "auto") -> tuple[list[Tensor], States]:
    """Runs a cell over time.

    Args:
        call: the cell, its weights and the sequences; lengths and resets may be on any device.
        backend: "auto" takes the fastest backend that supports the call, another name forces one.

    Returns:
        The sequences, each (T, B, ·): the output, and for a traced call the states and what the
        cell saves. Behind a row's end they are zero. Then the state after each row's own last step.

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
    chosen = pick(call, backend)
    if chosen == "cpu":
        return scan_natively(call)
    return in_time(call, backend_of(chosen).scan)

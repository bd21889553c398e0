"""A stack of layers, one step at a time."""

from torch import bfloat16

from elman.kernels import Call, Stream, cpu

from ._choose import choose, wanted


def open_stream(calls: list[Call], backend: str = "auto") -> Stream | None:
    """The native kernels on layers whose state stays in the caller's memory.

    Args:
        calls: one for each layer, of one step; their states are overwritten by every step.
        backend: of the layer; "cpu" forces the native kernels.

    Returns:
        None where the native kernels cannot run them, or another backend is forced.

    Raises:
        BackendError: the native kernels are forced and cannot run them.

    Example:
        >>> import torch
        >>> from elman.cells import gru
        >>> from elman.kernels import Weights
        >>> weights = Weights(torch.randn(6, 3), torch.randn(6, 2))
        >>> h = torch.zeros(1, 2)
        >>> stream = open_stream([Call(gru.cell, weights, torch.empty(1, 1, 3), (h,))])
        >>> if stream is not None:
        ...     x, y = torch.randn(1, 3), torch.empty(1, 2)
        ...     stream.step(x.data_ptr(), y.data_ptr())
    """
    backend = wanted(backend)
    if backend == "cpu":
        for call in calls:
            choose(call, backend)
    # bfloat16 runs as float32, a call at a time
    is_native = backend in ("auto", "cpu") and calls[0].input.dtype is not bfloat16
    if not is_native or any(cpu.unsupported(call) for call in calls):
        return None
    return Stream(calls)

"""Layers that run one step at a time on the native kernels, their weights packed once."""

from torch import Tensor

from . import cpu
from ._call import Call, tensors_of
from ._machine import machine, native


class Stream:
    """A stack of layers whose state is the caller's memory.

    Args:
        calls: one for each layer, of one step, that `cpu` supports; a call's state, contiguous, is
            read and overwritten by every step. The weights are copied.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._held = [call.state for call in calls]
        copies: list[Tensor] = []
        packed = [cpu.fields_of_step(call, tensors_of(call), copies) for call in calls]
        stream = native.Stream(machine().kernels, packed)
        # from one address to another; from one plain tensor to another, or not at all
        self.step, self.take = stream.step, stream.take

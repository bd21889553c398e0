"""Large tensors that come back: the memory of one training step is that of the next one.

Fresh pages of the operating system cost as much to touch as what is computed into them; what is
under a megabyte is the allocator's affair.
"""

import ctypes
import math
import mmap
import threading

import torch
from torch import Tensor

# buffers of so many bytes and more are kept, and at most so many bytes that nobody uses
LARGE, KEPT = 1 << 20, 1 << 30

_lock = threading.Lock()
_free: list[mmap.mmap] = []


class _Lease:
    """A slab in use; it goes back when the last tensor on it is gone."""

    def __init__(self, slab: mmap.mmap) -> None:
        self.slab = slab

    def __del__(self) -> None:
        with _lock:
            _free.append(self.slab)
            while sum(map(len, _free)) > KEPT:
                _free.pop(0)


def empty(like: Tensor, *shape: int) -> Tensor:
    """A contiguous tensor of `like`'s dtype, not initialised.

    Args:
        like: a tensor on the CPU.
        shape: its sizes.
    """
    numbers = math.prod(shape)
    size = numbers * like.element_size()
    if size < LARGE or torch.are_deterministic_algorithms_enabled():
        # the allocator fills memory with NaN where that is asked for
        return like.new_empty(*shape)
    slab = _take(size)
    memory = (ctypes.c_char * size).from_buffer(slab)
    memory.lease = _Lease(slab)  # type: ignore[attr-defined]
    return torch.frombuffer(memory, dtype=like.dtype, count=numbers).view(shape)


def _take(size: int) -> mmap.mmap:
    """The smallest free slab that is large enough and not far too large, or a new one."""
    with _lock:
        fit = [slab for slab in _free if size <= len(slab) <= 2 * size]
        if fit:
            slab = min(fit, key=len)
            _free.remove(slab)
            return slab
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

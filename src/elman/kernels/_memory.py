"""Large tensors that come back: the memory of one training step is that of the next one.

Fresh pages of the operating system cost as much to touch as what is computed into them; what is
under a megabyte is the allocator's affair.
"""

import ctypes
import math
import mmap
import os
import threading
from collections import deque

import torch
from torch import Tensor

# buffers of so many bytes and more are kept, and at most so many bytes that nobody uses
LARGE, KEPT = 1 << 20, 1 << 30

_lock = threading.Lock()
_free: list[mmap.mmap] = []
_returned: deque[mmap.mmap] = deque()


def _after_fork() -> None:
    """Another thread may have held the lock, and is not there to give it back."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Lease:
    """A slab in use; it goes back when the last tensor on it is gone."""

    def __init__(self, slab: mmap.mmap) -> None:
        self.slab = slab

    def __del__(self) -> None:
        # the garbage collector may run this anywhere, also while this thread holds the lock
        _returned.append(self.slab)
        if _lock.acquire(blocking=False):
            try:
                _tidy()
            finally:
                _lock.release()


def _tidy() -> None:
    """Takes back what was returned, up to so many bytes; under the lock."""
    while _returned:
        _free.append(_returned.popleft())
    while sum(len(slab) for slab in _free) > KEPT:
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
    flat = torch.frombuffer(memory, dtype=like.dtype, count=numbers)
    # no view: autograd does not let one be changed in place where several outputs come of a node
    return like.new_empty(0).set_(flat.untyped_storage(), 0, shape)  # pyright: ignore


def empty_like(tensor: Tensor) -> Tensor:
    """A contiguous tensor of another one's dtype and sizes, not initialised."""
    if tensor.nbytes < LARGE and tensor.is_contiguous():
        # the shortest way
        return torch.empty_like(tensor)
    return empty(tensor, *tensor.shape)


def _take(size: int) -> mmap.mmap:
    """The smallest free slab that is large enough and not far too large, or a new one."""
    with _lock:
        _tidy()
        fit = [slab for slab in _free if size <= len(slab) <= 2 * size]
        if fit:
            slab = min(fit, key=len)
            _free.remove(slab)
            return slab
    try:
        return _map(size)
    except OSError:
        with _lock:
            _free.clear()
    try:
        return _map(size)
    except OSError:
        raise MemoryError(f"there is no memory for a tensor of {size:,} bytes.") from None


def _map(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

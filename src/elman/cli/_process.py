"""What a command may do to its own process, and a library may not to that of others."""

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager

# what a command imports makes so many objects, and hardly one of them becomes garbage
_IMPORTED = 500_000
# glibc's names for what mallopt sets, and the bytes: blocks up to so many come from the heap, of
# which so many are kept when they are free
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK, _KEPT = 64 << 20, 512 << 20
# torch keeps what it made for a thousand shapes of bfloat16 products, 0.7 MB each, and batches of
# many lengths have as many
_SHAPES = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}


@contextmanager
def own_process() -> Generator[None]:
    """Starts, steps and ends quicker than Python and the C library do by themselves."""
    _put_collector_off()
    _keep_memory()
    _keep_few_shapes()
    try:
        yield
    finally:
        # what is alive at the end is not looked through again, the process ends anyway
        gc.freeze()


def _put_collector_off() -> None:
    """Lets the garbage collector begin behind the imports: a quarter of the time that they take."""
    usual = gc.get_threshold()

    def begin(phase: str, info: dict[str, int]) -> None:
        gc.set_threshold(*usual)
        gc.callbacks.remove(begin)

    gc.callbacks.append(begin)
    gc.set_threshold(_IMPORTED)


def _keep_memory() -> None:
    """Keeps the memory of a training step for the next one: the system would clear its pages each
    time that they are given back and asked for, a twentieth of a large model's step.
    """
    # torch asks for large pages where the system gives them to those that ask; not yet imported
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    # as late as the command, which takes a hundred times as long to import
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        # another C library, which has its own ways
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)


def _keep_few_shapes() -> None:
    """Bounds what torch keeps for products' shapes, so that a training does not grow with them."""
    for name, shapes in _SHAPES.items():
        os.environ.setdefault(name, shapes)

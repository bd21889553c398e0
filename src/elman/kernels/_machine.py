"""Which native kernels this process runs; the one reader of their environment variable.

`ELMAN_CPU=avx2` forces an instruction set: it runs, or the first call is an error.
"""

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from . import _memory

# absent where it was installed without a compiler
native: Any = import_module("elman.kernels._native") if find_spec("elman.kernels._native") else None

# what reads tensors without Python's attributes; a torch that has it not takes the long way
if native is not None and hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
    native.open_tensors(
        torch.Tensor.__dlpack_c_exchange_api__,
        torch.Tensor,
        torch.nn.Parameter,
        _memory.LARGE,
        _memory.empty,
    )

VARIABLE = "ELMAN_CPU"

_forked = False


def _after_fork() -> None:
    """A parallel region in a forked child would wait for threads that are not there."""
    global _forked
    _forked = True
    if native is not None:
        native.stay_alone()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Machine:
    """The kernels of one instruction set.

    Args:
        name: the instruction set, as `ELMAN_CPU` names it.
        kernels: their address, for `native`.
        flags: what they were compiled with.
        bfloat16: whether they run bfloat16 as it is.
        vector_bytes: the size of a vector.
        cells: each cell's address, and how many values its step saves.
        activations: each nonlinearity's address, and whether its derivative reads the sum.
    """

    name: str
    kernels: int
    flags: str
    bfloat16: bool
    vector_bytes: int
    cells: dict[str, tuple[int, int]]
    activations: dict[str, tuple[int, int]]


def is_built() -> bool:
    """Whether the native module is installed."""
    return native is not None


def variants() -> list[str]:
    """The instruction sets that are built in and run on this machine, the widest first."""
    return native.variants() if is_built() else []


@cache
def machine(name: str | None = None) -> Machine:
    """The kernels of an instruction set: the named one, the one that `ELMAN_CPU` names, or the
    widest.

    Raises:
        ValueError: it is not built in, or does not run here; nothing else is taken instead.
    """
    able = variants()
    name = name or os.environ.get(VARIABLE) or able[0]
    if name not in able:
        raise ValueError(
            f"{VARIABLE}={name}: this machine runs the kernels {', '.join(able)}; name one of"
            " them, or unset it."
        )
    kernels = native.kernels(name)
    return Machine(
        name,
        kernels,
        native.flags(kernels),
        native.bfloat16(kernels),
        native.vector_bytes(kernels),
        native.cells(kernels),
        native.activations(kernels),
    )


def threads() -> int:
    """How many threads a kernel may use: torch's number, and one in a forked child."""
    return 1 if _forked else torch.get_num_threads()


def native_kernels() -> str:
    """Which native kernels run on this machine, in words.

    Example:
        >>> isinstance(native_kernels(), str)
        True
    """
    able = variants()
    if not able:
        return "not installed (built without a compiler, or with ELMAN_NATIVE=0)"
    return f"{machine().name} (of {', '.join(able)})"

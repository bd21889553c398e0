"""The one place that chooses a backend."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, bfloat16, dtype, float32
from torch.compiler import is_compiling

from elman import kernels
from elman.cells import Cell
from elman.kernels import Call, inside_torch

States = tuple[Tensor, ...]


class Backend(Protocol):
    """What a file of `elman.kernels` says of a call."""

    def unsupported(self, call: Call) -> str | None:
        """Why it cannot run the call; None if it can."""
        ...


class Runs(Backend, Protocol):
    """A backend that differentiates by torch's autograd and runs forwards in time."""

    def scan(self, call: Call) -> tuple[list[Tensor], States]:
        """Runs the call."""
        ...


_FASTEST_FIRST: dict[str, Backend] = {
    "cpu": kernels.cpu,
    "torch": kernels.torch,
    "reference": kernels.reference,
}

# Where torch's kernel was the faster for a whole batch, on one and two threads (`make bench`): from
# which H and B on. float32: a wide LSTM, whose weights do not stay in the second cache, but not on
# an AMD, where the third one is nearer. bfloat16: the processor multiplies it, and ours are told
# not to (`ELMAN_CPU=avx512`).
_TORCHS: dict[tuple[str | None, dtype], tuple[int, int]] = {
    ("lstm", float32): (400, 8),
    ("lstm", bfloat16): (1, 1),
    ("gru", bfloat16): (256, 8),
    ("rnn_tanh", bfloat16): (400, 8),
    ("rnn_relu", bfloat16): (400, 8),
}

BACKENDS = ("auto", *_FASTEST_FIRST)
"""What a layer's `backend` may be."""


class BackendError(RuntimeError):
    """A forced backend cannot run the call."""


@dataclass(frozen=True)
class Choice:
    """Which backend runs a call, and why not the others.

    Args:
        backend: the name of the chosen backend.
        reasons: for each of the other backends, why it was not chosen.
        wider: why it runs in bfloat16 by way of float32; None if it does not.
    """

    backend: str
    reasons: dict[str, str]
    wider: str | None = None


def check_backend(backend: str, where: str) -> None:
    """Raises ValueError if there is no backend of that name."""
    if backend not in BACKENDS:
        raise ValueError(
            f"{where}: backend={backend!r} is not known; give one of {', '.join(BACKENDS)}."
        )


# what `only` puts in place of an open choice: each thread, and each task of an event loop, has its
# own; and all of them together, which is what torch.compile can read
_forced: ContextVar[str] = ContextVar("forced", default="auto")
_everywhere: list[str] = []


@contextmanager
def only(backend: str) -> Generator[None]:
    """Within it, layers that leave the choice open (`backend="auto"`) take this backend, or raise.

    Args:
        backend: one of `BACKENDS`.

    Raises:
        ValueError: there is no backend of that name.

    Example:
        >>> import torch, elman
        >>> with elman.ops.only("reference"):
        ...     elman.explain(elman.nn.GRU(3, 4), torch.randn(5, 2, 3)).choices[0].backend
        'reference'
    """
    check_backend(backend, "only")
    token = _forced.set(backend)
    _everywhere.append(backend)
    try:
        yield
    finally:
        _everywhere.remove(backend)
        _forced.reset(token)


def wanted(backend: str) -> str:
    """A layer's backend, or the one that `only` puts in place of an open choice."""
    if backend != "auto" or not _everywhere:
        return backend
    return _everywhere[-1] if is_compiling() else _forced.get()


def choose(call: Call, backend: str = "auto") -> Choice:
    """Chooses the fastest backend that supports the call, or the forced one.

    Raises:
        BackendError: the forced backend does not support the call; it never falls back in silence.
    """
    backend = wanted(backend)
    check_backend(backend, call.cell.name)
    reasons = {name: one.unsupported(call) for name, one in _FASTEST_FIRST.items()}
    able = [name for name, reason in reasons.items() if reason is None]
    if backend != "auto" and reasons[backend] is not None:
        raise BackendError(
            f'{call.cell.name}: backend="{backend}" cannot run this call: {reasons[backend]}. '
            f'Use backend="{able[0]}", or "auto".'
        )
    chosen = pick(call, backend)
    slower = f"slower than {chosen}" if backend == "auto" else f"{chosen} is forced"
    others = {name: reason or slower for name, reason in reasons.items() if name != chosen}
    low = chosen == "cpu" and call.input.dtype is bfloat16
    return Choice(chosen, others, kernels.cpu.only_in_float32(call) if low else None)


def pick(call: Call, backend: str = "auto") -> str:
    """The name of the backend that `choose` chooses, without the reasons."""
    backend = wanted(backend)
    if backend == "auto":
        if _is_faster_on_torch(call):
            return "torch"
        for name, one in _FASTEST_FIRST.items():
            if one.unsupported(call) is None:
                return name
    if _FASTEST_FIRST[backend].unsupported(call) is not None:
        # raises with the reason
        return choose(call, backend).backend
    return backend


def _is_faster_on_torch(call: Call) -> bool:
    """Whether torch's kernel wins, in plain eager calls."""
    return (
        is_faster_on_torch(
            call.cell, call.input.dtype, call.weights.hh.shape[1], call.input.shape[1]
        )
        and call.weights.ho is None
        and call.lengths is None
        and call.resets is None
        and call.input.is_cpu
        and not is_compiling()
        and not inside_torch.is_watched()
        and kernels.torch.unsupported(call) is None
    )


def is_ever_faster_on_torch(cell: Cell, dtype: dtype) -> bool:
    """Whether there may be a batch of which `is_faster_on_torch` is true."""
    return (cell.native, dtype) in _TORCHS


def is_faster_on_torch(cell: Cell, dtype: dtype, hidden: int, rows: int) -> bool:
    """Whether a whole batch through the cell is the faster on torch's kernel."""
    least = _TORCHS.get((cell.native, dtype))
    if least is None or hidden < least[0] or rows < least[1]:
        return False
    if dtype is bfloat16:
        return not kernels.cpu.has_bfloat16() and inside_torch.multiplies_bfloat16()
    return not kernels.cpu.is_amd()


def backend_of(name: str) -> Runs:
    """A backend that is not native."""
    return kernels.torch if name == "torch" else kernels.reference

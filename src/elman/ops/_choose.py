"""The one place that chooses a backend."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from elman import kernels
from elman.kernels import Call

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
    """

    backend: str
    reasons: dict[str, str]


def check_backend(backend: str, where: str) -> None:
    """Raises ValueError if there is no backend of that name."""
    if backend not in BACKENDS:
        raise ValueError(
            f"{where}: backend={backend!r} is not known; give one of {', '.join(BACKENDS)}."
        )


def choose(call: Call, backend: str = "auto") -> Choice:
    """Chooses the fastest backend that supports the call, or the forced one.

    Raises:
        BackendError: the forced backend does not support the call; it never falls back in silence.
    """
    check_backend(backend, call.cell.name)
    reasons = {name: one.unsupported(call) for name, one in _FASTEST_FIRST.items()}
    able = [name for name, reason in reasons.items() if reason is None]
    if backend != "auto" and reasons[backend] is not None:
        raise BackendError(
            f'{call.cell.name}: backend="{backend}" cannot run this call: {reasons[backend]}. '
            f'Use backend="{able[0]}", or "auto".'
        )
    chosen = able[0] if backend == "auto" else backend
    slower = f"slower than {chosen}" if backend == "auto" else f"{chosen} is forced"
    others = {name: reason or slower for name, reason in reasons.items() if name != chosen}
    return Choice(chosen, others)


def pick(call: Call, backend: str = "auto") -> str:
    """The name of the backend that `choose` chooses, without the reasons."""
    if backend == "auto":
        for name, one in _FASTEST_FIRST.items():
            if one.unsupported(call) is None:
                return name
    return choose(call, backend).backend


def backend_of(name: str) -> Runs:
    """A backend that is not native."""
    return kernels.torch if name == "torch" else kernels.reference

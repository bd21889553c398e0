"""Watching the gradient of the states while a model trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from elman.nn import Recurrent

if TYPE_CHECKING:
    from pathlib import Path

    from ._diagnosis import Diagnosis


class Place(NamedTuple):
    """One layer and direction of a model.

    Args:
        module: the name of the recurrent module in the model; empty if it is the model.
        layer: its layer, from 0.
        direction: 0 forward, 1 reverse.
    """

    module: str
    layer: int
    direction: int

    def __str__(self) -> str:
        name = f"{self.module} layer {self.layer}" if self.module else f"layer {self.layer}"
        return name + (" reverse" if self.direction else "")


class Seen:
    """What one backward pass saw in one layer and direction; the rows of a PackedSequence stand
    longest first.

    Args:
        letters: those of the states.
        norms: of the states' gradients, (S, T, B), in the bytes of float64 numbers.
        vectors: the gradients themselves, or None.
    """

    # nothing is computed here: a training sees far more than is looked at
    __slots__ = ("_letters", "_norms", "_vectors")

    def __init__(
        self, letters: tuple[str, ...], norms: Tensor, vectors: tuple[Tensor, ...] | None
    ) -> None:
        self._letters, self._norms, self._vectors = letters, norms, vectors

    @property
    def _all_norms(self) -> Tensor:
        return self._norms.view(torch.float64)

    @property
    def norms(self) -> dict[str, Tensor]:
        """For each state the norm of its gradient after each step, (T, B) float64; zeros behind a
        row's end.
        """
        return dict(zip(self._letters, self._all_norms, strict=True))

    @property
    def vectors(self) -> dict[str, Tensor] | None:
        """For each state its gradients themselves, (T, B, ·), or None."""
        if self._vectors is None:
            return None
        return dict(zip(self._letters, self._vectors, strict=True))

    @property
    def first_not_finite(self) -> int | None:
        """The latest step whose gradient is not finite, the first one that the gradient meets on
        its way back; None if all are finite.
        """
        bad = ~np.isfinite(self._all_norms.cpu().numpy()).all((0, 2))
        return int(np.flatnonzero(bad)[-1]) if bad.any() else None


class Flow:
    """The gradient of the states of a model's recurrent layers, as `watch` gives it.

    Args:
        model: a module with recurrent layers of `elman.nn`.
        vectors: whether to keep the gradients themselves.

    Attributes:
        last: what the newest backward pass saw, by `Place`. Of a layer that was called many times,
            as in a loop over `step`, the earliest call stays, which the pass comes to last.
        history: for each step that `note` was called for: its number, and the norms by time, the
            root of the mean square over the batch, by `Place`.
    """

    def __init__(self, model: nn.Module, *, vectors: bool = False) -> None:
        self.model, self.vectors = model, vectors
        self.last: dict[Place, Seen] = {}
        self.history: list[tuple[int, dict[Place, Any]]] = []
        self._before: list[Any] = []
        self._layers = self._found()
        if not self._layers:
            raise ValueError(
                f"watch: {type(model).__name__} has no recurrent layer of elman.nn;"
                " elman.nn.convert makes them of torch's."
            )

    def _found(self) -> dict[str, Recurrent]:
        named = self.model.named_modules()
        return {name: one for name, one in named if isinstance(one, Recurrent)}

    def __enter__(self) -> Self:
        for name, layer in self._layers.items():
            self._before.append(layer.watch)
            layer.watch = _Watcher(self, name, layer)
        return self

    def __exit__(self, *_: object) -> None:
        # a watch within a watch sees alone for a while
        for layer in reversed(self._layers.values()):
            layer.watch = self._before.pop()

    @property
    def layers(self) -> dict[str, Recurrent]:
        """The recurrent modules that are watched, by name."""
        return self._layers

    def follow(self) -> None:
        """Looks anew which recurrent modules the model has: others may have come in their places
        within the watch.
        """
        is_watching = bool(self._before)
        if is_watching:
            self.__exit__()
        self._layers = self._found()
        if is_watching:
            self.__enter__()

    def note(self, step: int) -> None:
        """Keeps the norms of the newest backward pass in the history, as a training step's."""
        self.history.append((step, {place: mean_norms(seen) for place, seen in self.last.items()}))

    def state(self) -> list[Any]:
        """The history as tensors and plain values, for a checkpoint."""
        return [
            [step, [[list(place), torch.from_numpy(one)] for place, one in norms.items()]]
            for step, norms in self.history
        ]

    def load(self, state: list[Any]) -> None:
        """Sets what `state` gave."""
        self.history = [
            (step, {Place(*place): one.cpu().numpy() for place, one in norms})
            for step, norms in state
        ]

    def report(self, *args: Any, **kwargs: Any) -> Diagnosis:
        """The diagnosis in words; the arguments are those of `diagnose` behind the model."""
        from ._diagnosis import diagnose

        return diagnose(self.model, *args, **kwargs)

    def plot(self, folder: str | Path) -> list[Path]:
        """Draws what was seen into a folder; see `plot_flow`."""
        from ._pictures import plot_flow

        return plot_flow(self, folder)


class _Watcher:
    """Gives the eye of each layer and direction of a module."""

    def __init__(self, flow: Flow, name: str, layer: Recurrent) -> None:
        letters = layer.cell.states
        self._eyes = [
            [_Eye(flow, Place(name, number, way), letters) for way in range(layer.num_directions)]
            for number in range(layer.num_layers)
        ]

    def __call__(self, number: int, direction: int) -> _Eye:
        return self._eyes[number][direction]

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # a copy of a layer, in memory or in a file, is another one, which nobody watches
        return type(None), ()


class _Eye:
    """Watches one layer and direction."""

    def __init__(self, flow: Flow, place: Place, letters: tuple[str, ...]) -> None:
        self._flow, self._place, self._letters = flow, place, letters
        self.vectors = flow.vectors

    def seen(self, norms: Tensor, vectors: tuple[Tensor, ...] | None) -> None:
        """Takes what was seen."""
        self._flow.last[self._place] = Seen(self._letters, norms, vectors)


def mean_norms(seen: Seen) -> Any:
    """The norm of the whole state's gradient by time, (T,): the root of the mean square over the
    rows that have the step.
    """
    squares = sum(n.square() for n in seen.norms.values())
    assert isinstance(squares, Tensor)
    there = (squares > 0).sum(1).clamp(min=1)
    return (squares.sum(1) / there).sqrt().cpu().numpy()


def watch(model: nn.Module, *, vectors: bool = False) -> Flow:
    r"""Watches the gradient of the states of a model's recurrent layers, within a `with`.

    Every backward pass within it hands out :math:`\|\partial L / \partial h_t\|` (and
    :math:`\|\partial L / \partial c_t\|`) for each layer, direction, step and sequence, from inside
    the pass itself. Layers that would run on torch's kernels run on ours meanwhile, as torch's hand
    out nothing; where they are forced, the call raises. A pass keeps one call of a layer, the
    earliest that it went through: give a layer whole sequences rather than call its `step` in a
    loop. Copies of the model, and what is saved of it, are not watched.

    Args:
        model: a module with layers of `elman.nn` in it, or such a layer.
        vectors: whether to keep the gradients themselves, not their norms alone.

    Raises:
        ValueError: there is no such layer in the model.
        elman.ops.BackendError: (at a call) the layer runs compiled, transformed, or on a forced
            backend that hands nothing out.

    Reference:
        Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(3, 4)
        >>> with elman.diagnostics.watch(gru) as flow:
        ...     output, _ = gru(torch.randn(7, 2, 3))
        ...     output[-1].sum().backward()
        >>> (seen,) = flow.last.values()
        >>> seen.norms["h"].shape
        torch.Size([7, 2])
    """
    return Flow(model, vectors=vectors)

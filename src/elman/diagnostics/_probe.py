"""How far a loss at the end reaches back through time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.nn import Recurrent, Trace
from elman.ops import is_whole

from ._flow import Place, Seen, watch


@dataclass(frozen=True)
class Probe:
    r"""The gradient of a loss at each sequence's end, by lag.

    Args:
        norms: by layer and direction, :math:`\|\partial L_T / \partial s_{T-k}\|` for the whole
            state s at lag k = 0, 1, …, (K, B); NaN where a sequence is shorter.
        finite: whether all of it is finite.
    """

    norms: dict[Place, Any]
    finite: bool

    @property
    def jacobian(self) -> dict[Place, Any]:
        """The root of the mean square over sequences by lag, (K,): without a loss the Frobenius
        norm of the product of Jacobians from the last layer's final state.
        """
        return {place: np.sqrt(np.nanmean(one**2, axis=1)) for place, one in self.norms.items()}

    @property
    def furthest(self) -> Any:
        """The norms (K, B) of the layer that carries the gradient furthest, each layer's in units
        of its own at lag 0: a loss reaches an input by way of any layer.
        """
        return max(
            (relative(one) for one in self.norms.values()),
            key=lambda one: _weight(one),
        )


def _weight(curve: Any) -> float:
    logs = np.log(np.maximum(curve, 1e-300))
    return float(np.nanmean(logs)) if np.isfinite(curve).any() else -np.inf


def relative(norms: Any) -> Any:
    """Each sequence's norms in units of the first lag's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return norms / norms[:1]


def probe(
    model: nn.Module,
    *args: Any,
    loss: Callable[[Any], Tensor] | None = None,
    directions: int = 4,
    seed: int = 0,
    **kwargs: Any,
) -> Probe:
    r"""Sends a loss at the end of each sequence back through a model, and measures how it fares.

    The model runs in evaluation mode; its parameters, their gradients and torch's random numbers
    stay as they are.

    Args:
        model: a module with layers of `elman.nn`, or such a layer.
        args: what it is called with, sequences held out from training.
        loss: the loss from what the model gives, a sum over sequences of a term at each one's end;
            None for :math:`v \cdot h_T` with random directions v ~ N(0, I) of the last recurrent
            layer's final state, whose mean square is the squared Frobenius norm of the product of
            Jacobians :math:`\partial h_T / \partial s_t`.
        directions: how many random directions, if there is no loss.
        seed: of the directions.
        kwargs: what else the model is called with.

    Raises:
        ValueError: the model has no recurrent layer of `elman.nn`, or no parameter with a gradient,
            no sequence has a step, or there is no direction.

    Example:
        >>> import torch, elman
        >>> probed = elman.diagnostics.probe(elman.nn.LSTM(3, 4), torch.randn(9, 2, 3))
        >>> [one.shape for one in probed.norms.values()]
        [(9, 2)]
    """
    run = partial(model, *args, **kwargs)
    return probe_run(model, run, loss=loss, directions=directions, seed=seed)


def probe_run(
    model: nn.Module,
    run: Callable[[], Any],
    *,
    loss: Callable[[Any], Tensor] | None = None,
    directions: int = 4,
    seed: int = 0,
) -> Probe:
    """As `probe`, with the model's call spelled out: `run()` calls it."""
    if not is_whole(directions):
        raise ValueError(f"probe: directions={directions!r}; give a whole number above zero.")
    parameters = learning(model, "probe")
    generator = torch.Generator().manual_seed(int(seed))
    many = directions if loss is None else 1
    squares: dict[Place, Any] = {}
    finite, has_steps = True, False
    with evaluating(model), watch(model) as flow, Ends(model) as ends, torch.enable_grad():
        for _ in range(many):
            found = run()
            if loss is None:
                v = torch.randn(ends.final.shape, generator=generator, dtype=torch.float64)
                value = (ends.final * v.to(ends.final)).sum()
            else:
                value = loss(found)
            torch.autograd.grad(value, parameters, allow_unused=True)
            for place, seen in flow.last.items():
                norms, there = _by_lag(seen, place, ends)
                finite = finite and bool(np.isfinite(norms[there]).all())
                has_steps = has_steps or bool(there.any())
                squares[place] = squares.get(place, 0) + norms**2
    if not has_steps:
        raise ValueError("probe: no sequence has a step; give sequences that have some.")
    return Probe({place: np.sqrt(one / many) for place, one in squares.items()}, finite)


def learning(model: nn.Module, where: str) -> list[nn.Parameter]:
    """The parameters that ask for a gradient.

    Raises:
        ValueError: there is none.
    """
    found = [p for p in model.parameters() if p.requires_grad]
    if not found:
        raise ValueError(f"{where}: no parameter of the model asks for a gradient.")
    return found


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """The model in evaluation mode for a while, part by part as it was afterwards."""
    modes = {one: one.training for one in model.modules()}
    random = torch.get_rng_state()
    model.eval()
    try:
        yield
    finally:
        for one, mode in modes.items():
            one.training = mode
        torch.set_rng_state(random)


class Ends:
    """Notes the final state of the last recurrent layer that ran, and the lengths and the order of
    the rows of all.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self.lengths: dict[str, Any] = {}
        self._orders: dict[str, Tensor | None] = {}
        self.final = torch.empty(0)

    def __enter__(self) -> Self:
        for name, one in self._model.named_modules():
            if isinstance(one, Recurrent):
                self._handles.append(
                    one.register_forward_hook(self._noting(name, one), with_kwargs=True)
                )
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def as_given(self, module: str, watched: Tensor) -> Tensor:
        """What was watched in a module, (T, B) or (T, B, ·), with its rows in their order: those of
        a PackedSequence run longest first.
        """
        order = self._orders[module]
        return watched if order is None else watched[:, order.to(watched.device)]

    def _noting(self, name: str, layer: Recurrent) -> Callable[..., None]:
        def note(_: Any, args: Any, kwargs: Any, found: Any) -> None:
            output, hx = found
            h = hx[0] if isinstance(hx, tuple) else hx
            self.final = h.reshape(h.shape[0], -1, h.shape[-1])[-layer.num_directions :]
            self.lengths[name], self._orders[name] = kwargs.get("lengths"), None
            if isinstance(output, PackedSequence):
                _, self.lengths[name] = pad_packed_sequence(output)
                self._orders[name] = output.unsorted_indices

        return note


def _by_lag(seen: Seen, place: Place, ends: Ends) -> tuple[Any, Any]:
    """The norms (K, B) of the whole state by lag from each sequence's own end, and where there are
    any.
    """
    squares: Any = sum(n.square() for n in seen.norms.values())
    norms = ends.as_given(place.module, squares.sqrt()).cpu().numpy()
    steps, rows = norms.shape
    lengths = ends.lengths[place.module]
    time, there = time_at(np.arange(steps)[:, None], steps, rows, lengths, place.direction)
    row = np.arange(rows)[None]
    return np.where(there, norms[time, row], np.nan), there


def time_at(lag: Any, steps: int, rows: int, lengths: Any, direction: int) -> tuple[Any, Any]:
    """The steps so far from each row's end, and where there is such a step; 0 where there is none.

    Args:
        lag: steps back, a number or (K, 1) for many.
        steps: of the longest row.
        rows: how many.
        lengths: of the rows, or None where all have as many steps.
        direction: 0 forward, 1 reverse, which ends at the first step.
    """
    ends = np.full(rows, steps) if lengths is None else np.asarray(lengths)
    there = lag < ends
    return np.where(there, lag if direction else ends - 1 - lag, 0), there


def traced_run(model: nn.Module, run: Callable[[], Any]) -> dict[str, tuple[list[Trace], Any]]:
    """Every recurrent module's states and gates, and the lengths, in a call of the model."""
    found: dict[str, tuple[list[Trace], Any]] = {}
    handles: list[Any] = []

    def tracing(name: str, layer: Recurrent) -> Callable[..., None]:
        def note(_: Any, args: Any, kwargs: Any, made: Any) -> None:
            traces = layer.trace(*args, **kwargs)
            lengths = kwargs.get("lengths")
            if isinstance(made[0], PackedSequence):
                _, lengths = pad_packed_sequence(made[0])
            found[name] = traces, lengths

        return note

    for name, one in model.named_modules():
        if isinstance(one, Recurrent):
            handles.append(one.register_forward_hook(tracing(name, one), with_kwargs=True))
    try:
        with evaluating(model), torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found

"""Pictures of gradients through time; readable in black and white."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._measures import alive, range_of
from ._reach import GONE, median_curve

if TYPE_CHECKING:
    from elman.nn import Recurrent, Trace

    from ._diagnosis import Diagnosis
    from ._flow import Flow, Place
    from ._probe import Probe

_LINES = ("-", "--", ":", "-.")
_LEAST = 1e-12


def plot_reach(probed: Probe, path: str | Path, diagnosis: Diagnosis | None = None) -> None:
    """Draws the gradient's norm against the lag, a line for each layer and direction, on a
    logarithmic scale; the fitted rate and what the data needs beside it.

    Args:
        probed: what `probe` gave.
        path: the PNG to write.
        diagnosis: what `diagnose` made of it, or None.

    Example:
        >>> import tempfile, torch, elman
        >>> probed = elman.diagnostics.probe(elman.nn.GRU(3, 4), torch.randn(9, 2, 3))
        >>> plot_reach(probed, tempfile.mkdtemp() + "/reach.png")
    """
    figure, axes = _figure()
    least = GONE
    for n, (place, norms) in enumerate(probed.norms.items()):
        with np.errstate(divide="ignore", invalid="ignore"):
            curve = median_curve(norms / norms[:1])
        grey = 0.6 * n / max(len(probed.norms) - 1, 1)
        # what is smaller is not drawn
        curve = np.where(curve >= _LEAST, curve, np.nan)
        least = np.nanmin([least, *curve])
        axes.plot(curve, _LINES[n % 4], color=str(grey), label=str(place))
    axes.axhline(GONE, color="0.7", linewidth=0.8)
    axes.annotate("1 %", (0, GONE), xytext=(2, 2), textcoords="offset points", fontsize=8)
    if diagnosis is not None and np.isfinite(diagnosis.reach.rate):
        lags = np.arange(diagnosis.reach.steps)
        with np.errstate(over="ignore", under="ignore"):
            fitted = diagnosis.reach.rate ** lags.astype(float)
        fitted = np.where((fitted >= _LEAST) & (fitted <= 1 / _LEAST), fitted, np.nan)
        label = f"fitted, {diagnosis.reach.rate:.3g} a step"
        axes.plot(lags, fitted, color="0.75", linewidth=3, zorder=0, label=label)
        if diagnosis.needed is not None:
            axes.axvline(diagnosis.needed, color="k", linewidth=0.8)
            axes.annotate(
                "the answer lies here", (diagnosis.needed, 1), xytext=(-4, 4), ha="right",
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(bottom=least / 5)
    axes.set_xlabel("lag (steps back from the end)")
    axes.set_ylabel("gradient norm (of that at the end)")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def plot_history(flow: Flow, place: Place, path: str | Path) -> None:
    """Draws the gradient's norm over training: optimiser steps across, steps before the end of the
    window up.

    Args:
        flow: with a history, as a watched training makes it.
        place: the layer and direction.
        path: the PNG to write.

    Raises:
        ValueError: nothing was noted.
    """
    noted = [(step, norms[place]) for step, norms in flow.history if place in norms]
    if not noted:
        raise ValueError("plot_history: no step was noted; train with a watch, or call flow.note.")
    lags = max(len(norms) for _, norms in noted)
    grid = np.full((lags, len(noted)), np.nan)
    for n, (_, norms) in enumerate(noted):
        by_lag = norms if place.direction else norms[::-1]
        grid[: len(by_lag), n] = by_lag
    from matplotlib.colors import LogNorm

    figure, axes = _figure()
    top = np.nanmax(grid) if np.nanmax(grid) > 0 else 1.0
    least = max(np.nanmin(grid), top * 1e-8) if np.nanmin(grid) < top else top * 1e-8
    span = (0, max(noted[-1][0], 1), 0, lags)
    image = axes.imshow(
        np.clip(grid, least, None), aspect="auto", origin="lower", cmap="gray", extent=span,
        norm=LogNorm(least, top), interpolation="nearest",
    )  # fmt: skip
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel("lag (steps back from the end)")
    axes.set_title(f"{place} (hatched: no sequence is so long)", fontsize=9)
    # white is the largest gradient, not none
    axes.patch.set(hatch="////", edgecolor="0.6")
    figure.colorbar(image, label="gradient norm (of the loss)")
    _save(figure, path)


def plot_gates(
    layer: Recurrent, traces: list[Trace], path: str | Path, lengths: Any = None
) -> None:
    """Draws a histogram of each gate's values; what lies within 2 % of the limits is saturated.

    Args:
        layer: the layer.
        traces: what `layer.trace` gave.
        path: the PNG to write.
        lengths: (B,), or None where every sequence has T steps.

    Example:
        >>> import tempfile, torch, elman
        >>> gru = elman.nn.GRU(3, 4)
        >>> plot_gates(gru, gru.trace(torch.randn(9, 2, 3)), tempfile.mkdtemp() + "/gates.png")
    """
    first = traces[0]
    gates = list(first.gates) if layer.cell.f is None else ["h"]
    figure, several = _figure(len(gates))
    for axes, name in zip(np.atleast_1d(several), gates, strict=True):
        every = [t.gates[name] if layer.cell.f is None else t.output for t in traces]
        values = np.concatenate(
            [alive(layer, one.detach(), lengths).cpu().numpy().ravel() for one in every]
        )
        span = range_of(layer, name) or (float(values.min()), float(values.max()) + 1e-9)
        each = np.full(len(values), 100 / max(len(values), 1))
        axes.hist(values, bins=50, range=span, weights=each, color="0.4")
        axes.set_xlabel(f"value of {name}")
    np.atleast_1d(several)[0].set_ylabel("units and steps (%)")
    _save(figure, path)


def plot_states(states: Any, path: str | Path, tokens: list[str] | None = None) -> None:
    """Draws one sequence's hidden states over time as a heat map, its tokens under it.

    Args:
        states: (T, H).
        path: the PNG to write.
        tokens: T words or characters, or None.

    Example:
        >>> import tempfile, torch
        >>> plot_states(torch.rand(5, 8), tempfile.mkdtemp() + "/states.png", list("hello"))
    """
    values = np.asarray(states.detach().cpu() if hasattr(states, "detach") else states, dtype=float)
    figure, axes = _figure()
    top = max(float(np.abs(values).max()), 1e-9)
    image = axes.imshow(
        values.T, aspect="auto", cmap="gray", vmin=-top, vmax=top, interpolation="nearest"
    )
    axes.set_xlabel("step")
    if tokens is not None and len(tokens) <= 80:
        axes.set_xticks(range(len(tokens)), [one if one.strip() else "␣" for one in tokens])
        axes.tick_params(axis="x", labelsize=7, length=0)
        axes.set_xlabel("token")
    axes.set_ylabel("unit")
    figure.colorbar(image, label="state h")
    _save(figure, path)


def plot_unrolled(norms: Any, path: str | Path, tokens: list[str] | None = None) -> None:
    """Draws the network unrolled over a short sequence; the wider an arrow back, the larger the
    gradient that reaches the step.

    Args:
        norms: (T,), the gradient's norm at each step, at most 40 of them.
        path: the PNG to write.
        tokens: T words or characters, or None.

    Raises:
        ValueError: there are more steps than fit.

    Example:
        >>> import tempfile, numpy as np
        >>> plot_unrolled(0.6 ** np.arange(8.0)[::-1], tempfile.mkdtemp() + "/unrolled.png")
    """
    norms = np.asarray(norms, dtype=float)
    if len(norms) > 40:
        raise ValueError(f"plot_unrolled: {len(norms)} steps; give at most 40, the last ones.")
    shown = norms / max(float(norms.max()), 1e-300)
    figure, axes = _figure()
    figure.set_size_inches(max(4.8, 0.45 * len(norms)), 2.0)
    for t, one in enumerate(shown):
        axes.scatter(t, 0, s=160, color="white", edgecolors="k", zorder=2)
        axes.annotate("h", (t, 0), ha="center", va="center", fontsize=8, zorder=3)
        if t + 1 < len(shown):
            # a width for what arrives: 1 % is still a hair
            width = 6 * max(0.0, 1 + np.log10(max(one, 1e-9)) / 3)
            axes.plot([t, t + 1], [0, 0], color="k", linewidth=max(width, 0.1), zorder=1)
        axes.annotate(f"{one:.0%}" if one >= 0.01 else "<1%", (t, 0.5), ha="center", fontsize=6)
        if tokens is not None:
            axes.annotate(tokens[t], (t, -0.6), ha="center", fontsize=8)
    axes.set_ylim(-1, 1)
    axes.set_xlim(-0.7, len(shown) - 0.3)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_xlabel("step; above: its gradient of the loss (% of the largest)", fontsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _save(figure, path)


def plot_attention(weights: Any, source: list[str], target: list[str], path: str | Path) -> None:
    """Draws where a decoder looked in the source while it wrote each token of the target.

    Args:
        weights: (T, S), each row adds up to 1.
        source: the S tokens that were read.
        target: the T tokens that were written.
        path: the PNG to write.

    Raises:
        ValueError: the tokens are not as many as the weights.

    Example:
        >>> import tempfile, numpy
        >>> path = tempfile.mkdtemp() + "/attention.png"
        >>> plot_attention(numpy.eye(2), ["ja", "!"], ["yes", "!"], path)
    """
    weights = np.asarray(weights)
    if weights.shape != (len(target), len(source)):
        raise ValueError(
            f"plot_attention: weights of shape {weights.shape} for {len(target)} tokens written and"
            f" {len(source)} read; give (T, S)."
        )
    figure, axes = _figure()
    figure.set_size_inches(2 + 0.32 * len(source), 1.6 + 0.26 * len(target))
    shown = axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    # a blank has no ink
    axes.set_xticks(range(len(source)), [one if one.strip() else "␣" for one in source])
    axes.tick_params(axis="x", rotation=60, labelsize=9)
    axes.set_yticks(range(len(target)), [one if one.strip() else "␣" for one in target], fontsize=9)
    axes.set_xlabel("read")
    axes.set_ylabel("written")
    figure.colorbar(shown, label="weight")
    _save(figure, path)


def _figure(columns: int = 1) -> tuple[Any, Any]:
    """A figure without pyplot, whose state is the whole process's, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 if columns < 3 else 8.0, 4.0 if columns == 1 else 2.6),
                    layout="constrained")  # fmt: skip
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: str | Path) -> None:
    figure.savefig(path, dpi=150, format="png")


def plot_flow(flow: Flow, folder: str | Path) -> list[Path]:
    """Draws what a flow holds into a folder: the newest gradient by time for each layer, and the
    history of the training.

    Returns:
        The pictures' paths.

    Raises:
        ValueError: no backward pass was seen.
    """
    from ._flow import mean_norms

    if not flow.last:
        raise ValueError("plot_flow: no backward pass was seen; call backward within the watch.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = _figure()
    for n, (place, seen) in enumerate(flow.last.items()):
        norms = np.maximum(mean_norms(seen), 1e-300)
        grey = 0.6 * n / max(len(flow.last) - 1, 1)
        axes.plot(norms, _LINES[n % 4], color=str(grey), label=str(place))
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("gradient norm (of the loss)")
    axes.legend(frameon=False, fontsize=8)
    made = [folder / "gradient.png"]
    _save(figure, made[0])
    if flow.history:
        for n, place in enumerate(flow.history[-1][1]):
            made.append(folder / (f"history-{n}.png" if n else "history.png"))
            plot_history(flow, place, made[-1])
    return made

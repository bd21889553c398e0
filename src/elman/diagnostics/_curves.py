"""The picture of a loss."""

from pathlib import Path
from typing import Any

import numpy as np


def plot_losses(metrics: list[dict[str, Any]], path: str | Path, unit: str = "nats") -> None:
    """Draws the training and the validation loss against the optimiser steps, as PNG.

    Args:
        metrics: records with "step" and "loss" or "validation_loss", as a run's `metrics.jsonl`
            holds them.
        path: the picture to write.
        unit: the loss's unit, for the axis.

    Raises:
        ValueError: there is no training loss among the records.

    Example:
        >>> import tempfile
        >>> records = [{"step": s, "loss": 1 / s} for s in range(1, 9)]
        >>> plot_losses(records, tempfile.mkdtemp() + "/loss.png")
    """
    # the figure is made without pyplot, whose state is the whole process's
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    train = _curve(metrics, "loss")
    if train.shape[1] == 0:
        raise ValueError("plot_losses: no record has a training loss; train at least one step.")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*train, color="0.8", linewidth=0.8, label="training, each step")
    axes.plot(train[0], _smooth(train[1]), color="0.45", linewidth=1.2, label="training, smoothed")
    validation = _curve(metrics, "validation_loss")
    if validation.shape[1]:
        axes.plot(*validation, "k--o", markersize=4, linewidth=1.2, label="validation")
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(f"loss ({unit})")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, format="png")


def _curve(metrics: list[dict[str, Any]], name: str) -> Any:
    """Steps and values, (2, N)."""
    points = [(m["step"], m[name]) for m in metrics if m.get(name) is not None]
    return np.array(points, dtype=float).reshape(-1, 2).T


def _smooth(values: Any) -> Any:
    """The mean over a running window of a fiftieth of the curve."""
    width = max(1, len(values) // 50)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - width, 0)
    return (sums[stop] - sums[start]) / (stop - start)

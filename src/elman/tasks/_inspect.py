"""Looking at the gradient through time of a trained model, on sequences of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from elman.diagnostics import (
    Diagnosis,
    Need,
    Place,
    diagnose_run,
    need,
    plot_gates,
    plot_history,
    plot_reach,
    plot_states,
    plot_unrolled,
    probe_run,
    traced_run,
)
from elman.nn import Recurrent
from elman.ops import only
from elman.train import History, atomic_write, to_json

# sequences that are looked at, and sequences that are asked how far back their answer lies
ROWS, ASKED = 16, 500
# steps of them that are looked at, the last ones
LONGEST = 2000
# kinds of tokens that are told apart where sequences are asked, and steps of them
_KINDS, _STEPS = 32, 1000
# steps that a picture of the unrolled network, and one of the states, has room for
_UNROLLED, _SHOWN = 20, 60


@dataclass(frozen=True)
class Sample:
    """Sequences to look at a model with.

    Args:
        run: runs the model on them.
        need: how far back their answer lies; None where the data is too little to tell.
        window: steps that gradients flow through in training; None for all.
        tokens: of the first sequence, as people read them; None for numbers.
        layers: the name of the recurrent layers that read these tokens, which are drawn; None
            where there are no others.
    """

    run: Callable[[], Any]
    need: Need | None = None
    window: int | None = None
    tokens: list[str] | None = None
    layers: str | None = None

    @property
    def needed(self) -> int | None:
        """How far back the answer lies, in steps."""
        return None if self.need is None else self.need.lag


def need_of_examples(inputs: list[Any], targets: Any, *, are_tokens: bool) -> Need | None:
    """How far back labelled sequences have their answer; None where there are too few to tell.

    Args:
        inputs: arrays (T_i, I), or (T_i,) of tokens.
        targets: class numbers, or (N, O) numbers.
        are_tokens: whether the sequences are tokens.
    """
    few = [np.asarray(one)[-_STEPS:] for one in inputs[:ASKED]]
    if are_tokens:
        commonest = np.bincount(np.concatenate(few)).argsort()[::-1][:_KINDS]
        few = [(one[:, None] == commonest).astype(np.float64) for one in few]
    lengths = np.array([len(one) for one in few])
    x = np.zeros((lengths.max(), len(few), few[0].shape[1]))
    for row, one in enumerate(few):
        x[: len(one), row] = one
    return asked(x, np.asarray(targets)[: len(few)], lengths)


def asked(x: Any, y: Any, lengths: Any) -> Need | None:
    """What `need` finds; None where there are too few sequences to tell."""
    try:
        return need(x, y, lengths=lengths)
    except ValueError:
        return None


def inspect_into(module: nn.Module, sample: Sample, folder: Path | None) -> Diagnosis:
    """The diagnosis; with a folder its pictures and `diagnosis.json` in it.

    A training under `elman.ops.only("torch")` is looked at too: by kernels that hand out the
    gradients of the states.
    """
    with only("auto"):
        return _inspected(module, sample, folder)


def _inspected(module: nn.Module, sample: Sample, folder: Path | None) -> Diagnosis:
    found = diagnose_run(module, sample.run, needed=sample.needed, window=sample.window)
    if folder is None:
        return found
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    probed = probe_run(module, sample.run)
    plot_reach(probed, plots / "reach.png", found)
    layers = {n: one for n, one in module.named_modules() if isinstance(one, Recurrent)}
    for name, (traces, lengths) in traced_run(module, sample.run).items():
        if sample.layers not in (None, name):
            continue
        plot_gates(layers[name], traces, plots / "gates.png", lengths)
        end = len(traces[0].output) if lengths is None else int(lengths[0])
        tokens = None if sample.tokens is None else sample.tokens[:end][-_SHOWN:]
        shown = traces[-1].output[:end, 0][-_SHOWN:]
        plot_states(shown, plots / "states.png", tokens)
        newest = probed.norms[Place(name, traces[0].layer, 0)][:end, 0][:_UNROLLED][::-1]
        last = None if tokens is None else tokens[-len(newest) :]
        plot_unrolled(newest, plots / "unrolled.png", last)
    atomic_write(folder / "diagnosis.json", (to_json(found.to_json()) + "\n").encode())
    return found


def draw_history(history: History, folder: Path) -> None:
    """Draws the gradients that a watched training saw, training step by lag."""
    if history.flow is None or not history.flow.history:
        return
    for number, place in enumerate(history.flow.history[-1][1]):
        name = f"gradient-history-{number}.png" if number else "gradient-history.png"
        plot_history(history.flow, place, folder / "plots" / name)

"""The problems of long_memory.py: sequences whose answer lies a known number of steps back."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

import elman
from elman.train import Loss

_SYMBOLS, _RECALLED = 8, 10


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        name: "adding", "copy", "sequential MNIST" or "permuted MNIST".
        steps: of a sequence, or of the gap of the copy problem.
        rows: sequences in a batch.
        budget: optimiser steps.
        chance: the loss of an answer without memory; for MNIST the accuracy of guessing.
        solved: the loss below which it counts as solved; for MNIST the accuracy above.
        needed: how far back the answer lies, in steps; None where the data is asked.
        carried: the numbers that have to be carried so far at once; None for a single answer.
        lr: the learning rate at its highest.
    """

    name: str
    steps: int
    rows: int
    budget: int
    chance: float
    solved: float
    needed: int | None
    carried: int | None = None
    lr: float = 1e-3

    @property
    def title(self) -> str:
        """As the table has it."""
        return self.name if self.is_mnist else f"{self.name}, T = {self.steps}"

    @property
    def is_mnist(self) -> bool:
        """Whether the figure is an accuracy."""
        return "MNIST" in self.name

    def is_solved(self, figure: float) -> bool:
        """Whether a figure solves it."""
        return figure > self.solved if self.is_mnist else figure < self.solved


def adding(steps: int, budget: int, lr: float = 1e-3) -> Problem:
    """Two of the numbers are marked; their sum is asked for at the end (Hochreiter & Schmidhuber
    1997). Saying 1 always costs 0.167.
    """
    rows = 50 if steps <= 200 else 32
    return Problem("adding", steps, rows, budget, 0.167, 0.01, None, lr=lr)


def copy_memory(steps: int, budget: int) -> Problem:
    """Ten symbols, a gap, and the ten again. Guessing costs 10 ln 8 / (T + 20)."""
    chance = _RECALLED * float(np.log(_SYMBOLS)) / (steps + 2 * _RECALLED)
    # one symbol out of eight is seven numbers
    carried = _RECALLED * (_SYMBOLS - 1)
    return Problem("copy", steps, 32, budget, chance, 0.1 * chance, steps + _RECALLED, carried)


def mnist(permuted: bool, budget: int, lr: float = 3e-3) -> Problem:
    """Handwritten digits, a pixel a step."""
    name = "permuted MNIST" if permuted else "sequential MNIST"
    return Problem(name, 784, 100, budget, 0.1, 0.8, None, lr=lr)


class Network(nn.Module):
    """A recurrent layer and a linear output, at the last step or at every one."""

    def __init__(self, layer: Any, problem: Problem) -> None:
        super().__init__()
        outputs = {"adding": 1, "copy": _SYMBOLS + 1}.get(problem.name, 10)
        self.layers, self.head = layer, nn.Linear(layer.hidden_size, outputs)
        self.everywhere = problem.name == "copy"

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, O) for copying, else (B, O)."""
        output, _ = self.layers(x)
        return self.head(output if self.everywhere else output[-1])


class Data:
    """Batches of a problem, from its seed; the same for every network."""

    def __init__(self, problem: Problem, seed: int, folder: Path | None) -> None:
        self.problem, self.seed = problem, seed
        self.images: dict[bool, tuple[Tensor, Tensor]] = {}
        if problem.is_mnist:
            assert folder is not None
            order = torch.arange(784)
            if problem.name.startswith("permuted"):
                order = torch.randperm(784, generator=torch.Generator().manual_seed(92916))
            for held, part in ((False, "train"), (True, "t10k")):
                pixels = _idx(folder / f"{part}-images-idx3-ubyte.xz").reshape(-1, 784)
                labels = _idx(folder / f"{part}-labels-idx1-ubyte.xz").astype(np.int64)
                images = torch.from_numpy(pixels.astype(np.float32) / 255)[:, order]
                self.images[held] = images, torch.from_numpy(labels)

    @property
    def inputs(self) -> int:
        """Features of a step."""
        return {"adding": 2, "copy": _SYMBOLS + 2}.get(self.problem.name, 1)

    def __len__(self) -> int:
        return self.problem.budget

    def needed(self) -> int:
        """How far back the answer lies."""
        if self.problem.needed is not None:
            return self.problem.needed
        x, y = self.batch(2000, 7 if self.problem.name == "adding" else 0, held=True)
        answers = y[:, 0] if self.problem.name == "adding" else y
        lag = elman.diagnostics.need(x.numpy(), answers.numpy()).lag
        assert lag is not None
        return lag

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches, each from its own number."""
        for number in range(start, self.problem.budget):
            yield self.batch(self.problem.rows, number, held=False)

    def batch(self, rows: int, number: int, *, held: bool) -> tuple[Tensor, Tensor]:
        """A batch (T, B, I) and its answers."""
        steps = self.problem.steps
        random = torch.Generator().manual_seed(self.seed * 10**8 + number * 2 + held)
        if self.problem.is_mnist:
            images, labels = self.images[held]
            each = len(images) // rows
            order = torch.Generator().manual_seed(self.seed * 1000 + number // each)
            chosen = torch.randperm(len(images), generator=order)[number % each * rows :][:rows]
            return images[chosen].T[:, :, None].contiguous(), labels[chosen]
        if self.problem.name == "adding":
            values, marks = torch.rand(steps, rows, generator=random), torch.zeros(steps, rows)
            for half in (0, steps // 2):
                at = torch.randint(half, half + steps // 2, (rows,), generator=random)
                marks[at, torch.arange(rows)] = 1.0
            return torch.stack([values, marks], -1), (values * marks).sum(0)[:, None]
        # 0 is the blank, the last token says that it is time
        tokens = torch.zeros(steps + 2 * _RECALLED, rows, dtype=torch.int64)
        shown = torch.randint(1, _SYMBOLS + 1, (_RECALLED, rows), generator=random)
        tokens[:_RECALLED] = shown
        tokens[steps + _RECALLED - 1] = _SYMBOLS + 1
        answers = torch.zeros_like(tokens)
        answers[-_RECALLED:] = shown
        return nn.functional.one_hot(tokens, _SYMBOLS + 2).float(), answers


class Objective:
    """The loss of a problem."""

    def __init__(self, module: Network, problem: Problem) -> None:
        self.module, self.problem = module, problem

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean squared error, or the cross entropy."""
        x, y = batch
        said = self.module(x)
        if self.problem.name == "adding":
            return Loss(mse_loss(said, y), len(y))
        return Loss(cross_entropy(said.flatten(0, -2), y.flatten()), y.numel())


def figure_of(network: Network, data: Data) -> float:
    """The loss on held-out sequences, or the accuracy on the test images."""
    problem = data.problem
    with torch.inference_mode():
        if not problem.is_mnist:
            batch = data.batch(1000 if problem.steps <= 200 else 300, 0, held=True)
            return float(Objective(network, problem).loss(batch, None).value)
        images, labels = data.images[True]
        found = [network(part.T[:, :, None].contiguous()).argmax(-1) for part in images.split(500)]
        return float((torch.cat(found) == labels).double().mean())


def _idx(path: Path) -> Any:
    """The numbers of an idx file."""
    with lzma.open(path) as file:
        content = file.read()
    shape = np.frombuffer(content, ">i4", content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def layer_of(name: str, inputs: int, hidden: int, needed: int) -> Any:
    """The recurrent layer of a row of the table."""
    remedies = elman.diagnostics.remedies
    if name.startswith("GRU"):
        layer = elman.nn.GRU(inputs, hidden, init="recurrent")
    elif name.startswith("LSTM"):
        layer = elman.nn.LSTM(inputs, hidden, init="recurrent")
    else:
        how = "relu" if name == "IRNN" else "tanh"
        layer = elman.nn.RNN(inputs, hidden, init="recurrent", nonlinearity=how)
    if name == "IRNN":
        remedies.identity(layer)
    if name == "orthogonal RNN":
        remedies.keep_orthogonal(layer)
    if name.endswith("chrono"):
        remedies.chrono(layer, needed)
    return layer

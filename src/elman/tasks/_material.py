"""What a language model learns from: texts, or music."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elman.train import Run

from ._adapting import Adaptation
from ._inspect import Sample


@dataclass(frozen=True)
class Given:
    """What was given to learn from or to be measured on.

    Args:
        content: a path or texts; or pieces of music.
        told: where it comes from, in words.
        column: the column of a table, named or guessed; None for what is no table.
    """

    content: Any
    told: str
    column: str | None = None


@dataclass(frozen=True)
class Study:
    """What a training is made of.

    Args:
        objective: the network and its loss.
        batches: the data.
        measure: the figures on what is held out; None where nothing is.
        sample: the sequences to look at the gradient with; if told to, how far back their answer
            lies.
        results: what is noted of the trained model.
    """

    objective: Any
    batches: Any
    measure: Callable[[], dict[str, float]] | None
    sample: Callable[[bool], Sample]
    results: Callable[[], dict[str, Any]]


class Material(ABC):
    """How a language model reads, learns, is measured and goes on; abstract.

    Args:
        model: the `LanguageModel`, with its options and with what it has learned.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.module_.parameters()).device

    @abstractmethod
    def given(self, X: Any, column: str | None, where: str) -> Given:
        """Takes what came in, or refuses it."""

    @abstractmethod
    def digest(self, given: Given) -> str:
        """Tells whether two runs had the same."""

    @abstractmethod
    def study(
        self, given: Given, held: Given | None, scratch: Path, seed: int, run: Run | None
    ) -> Study:
        """Prepares a training; what is held out is a part of what was given, if `held` is None, and
        what `run` has written already holds.
        """

    @abstractmethod
    def network(self) -> nn.Module:
        """The network, with fresh weights, on its device."""

    @abstractmethod
    def evaluate(self, given: Given, adaptation: Adaptation | None) -> dict[str, float]:
        """How well the model does."""

    @abstractmethod
    def sample(self, given: Given) -> Sample:
        """Sequences to look at the model with."""

    @abstractmethod
    def stream(
        self, prompt: Any, *, length: int, temperature: float, top_k: Any, top_p: Any, seed: Any
    ) -> Iterator[Any]:
        """The prompt and what goes on from it, piece by piece."""

    @abstractmethod
    def joined(self, pieces: Iterator[Any]) -> Any:
        """What `stream` gave as one."""

    @abstractmethod
    def fitted(self) -> dict[str, Any]:
        """What was learned besides the weights, as JSON."""

    @abstractmethod
    def write(self, run: Run) -> None:
        """Writes the files that hold what was learned besides the weights."""

    @abstractmethod
    def restore(self, run: Run) -> None:
        """Reads what `write` wrote."""

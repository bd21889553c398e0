"""What a training is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, NamedTuple, Protocol, Self

from torch import Tensor, nn

from ._snapshot import copied


class Loss(NamedTuple):
    """The loss of one batch.

    Args:
        value: the mean loss, a scalar that carries the graph.
        weight: how many terms the mean is over.
        carry: the state for the next batch, cut from the graph; None where batches are independent.
        items: what the progress line counts.
    """

    value: Tensor
    weight: float
    carry: Any = None
    items: int = 0


class Objective(Protocol):
    """What is trained: a module, and the loss of a batch."""

    module: nn.Module

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The loss of a batch, given the state that the batch before handed on."""
        ...


class Batches(Protocol):
    """The data, in an order that depends on a seed and the epoch alone."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch from the `start`-th on."""
        ...


@dataclass
class Progress:
    """Where a training stands; all of it is in a checkpoint.

    Attributes:
        judged: the step of the newest evaluation.
        best: the weights with the lowest validation loss.
        best_changed: what remedies had changed about the network that they are of; None where an
            older checkpoint does not tell.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    skipped: int = 0
    strikes: int = 0
    best_loss: float = inf
    best_step: int = 0
    without_gain: int = 0
    judged: int = -1
    gave_up: bool = False
    carry: Any = None
    best: dict[str, Tensor] | None = None
    best_changed: dict[str, str] | None = None

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """What a checkpoint holds; an older one holds more, or less."""
        return cls(**{one.name: state[one.name] for one in fields(cls) if one.name in state})

    def judge(self, loss: float, weights: dict[str, Tensor], changed: dict[str, str]) -> None:
        """Takes an evaluation's loss, and copies of the weights if there was no lower one.

        Args:
            loss: the validation loss at this step.
            weights: that it is of.
            changed: what remedies have changed about the network.
        """
        self.judged = self.step
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.without_gain = loss, self.step, 0
            self.best, self.best_changed = copied(weights), changed
        else:
            self.without_gain += 1

    def forget_best(self) -> None:
        """As if nothing had been evaluated: what the best weights are of is not known."""
        self.best, self.best_loss, self.best_step, self.without_gain = None, inf, 0, 0


@dataclass
class History:
    """What happened in a training.

    Args:
        records: the lines of `metrics.jsonl`: training losses and evaluations by step, remedies and
            what they were for.
        steps: optimiser steps done.
        skipped: steps that were not taken because the loss or the gradient was not finite.
        best_loss: the lowest validation loss; infinite without evaluations.
        best_step: the step it was found at.
        changed: what remedies changed about the network, for `apply_changes`.
        diagnosis: the last look at the gradient through time, as plain numbers and words; None
            without one.
        gave_up: whether the training ended early as it was beyond help.
        flow: the `elman.diagnostics.Flow` that watched the training; None if nothing did.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    skipped: int = 0
    best_loss: float = inf
    best_step: int = 0
    changed: dict[str, str] = field(default_factory=dict)
    diagnosis: dict[str, Any] | None = None
    gave_up: bool = False
    flow: Any = None

"""The training loop."""

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ._checkpoint import load_checkpoint, random_states, save_checkpoint, set_random_states
from ._optim import load_schedule_state, make_optimizer, make_schedule, schedule_state
from ._options import TrainOptions, check_train_options
from ._progress import ProgressLine
from ._run import Run

_STRIKES = 3


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


class Diverged(RuntimeError):
    """Three steps in a row had a loss or gradient that is not finite."""


class Interrupted(KeyboardInterrupt):
    """The training was interrupted from the keyboard; the text says what was saved and how to go
    on.
    """


@dataclass
class Progress:
    """Where a training stands; all of it is in a checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    skipped: int = 0
    strikes: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    without_gain: int = 0
    done: bool = False
    carry: Any = None
    best: dict[str, Tensor] | None = None


@dataclass
class History:
    """What happened in a training.

    Args:
        records: the lines of `metrics.jsonl`: training losses and evaluations by step.
        steps: optimiser steps done.
        skipped: steps that were not taken because the loss or the gradient was not finite.
        best_loss: the lowest validation loss; infinite without evaluations.
        best_step: the step it was found at.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    skipped: int = 0
    best_loss: float = float("inf")
    best_step: int = 0


Evaluate = Callable[[], dict[str, float]]


def fit(
    objective: Objective,
    batches: Batches,
    *,
    options: TrainOptions,
    evaluate: Evaluate | None = None,
    run: Run | None = None,
    progress: bool = False,
    unit: str = "sequences",
) -> History:
    """Trains a module.

    Every step checks that the loss and the gradient's norm are finite; a step where they are not
    is skipped and counted, and three in a row end the training with the last good weights in
    place. With a run folder the training is saved as it goes, and a training that was cut off at
    any moment goes on from there to the same weights, bit for bit, as one that was not.

    Args:
        objective: the module and its loss.
        batches: the data.
        options: see `TrainOptions`.
        evaluate: gives the validation figures, "loss" among them (lower is better).
        run: the run folder to save to and to go on from.
        progress: whether to show a live line on a terminal.
        unit: what the live line counts.

    Returns:
        What happened; the module holds the weights.

    Raises:
        ValueError: an option cannot be.
        Diverged: three steps in a row were not finite.
        Interrupted: the keyboard interrupted it; with a run folder everything was saved.

    Example:
        >>> import torch
        >>> class Mean:
        ...     module = torch.nn.Linear(1, 1)
        ...     def loss(self, batch, carry):
        ...         return Loss((self.module(batch) ** 2).mean(), len(batch))
        >>> class Ones:
        ...     def __len__(self): return 4
        ...     def epoch(self, epoch, start=0): yield from [torch.ones(2, 1)] * (4 - start)
        >>> fit(Mean(), Ones(), options=TrainOptions(epochs=2)).steps
        8
    """
    check_train_options(options, "fit")
    trainer = _Trainer(objective, batches, options, evaluate, run)
    trainer.restore()
    with ProgressLine(trainer.total_steps, unit) as line:
        trainer.train(line if progress else None)
    return trainer.history()


class _Trainer:
    """The parts of a training, and its one loop."""

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        options: TrainOptions,
        evaluate: Evaluate | None,
        run: Run | None,
    ) -> None:
        self.objective, self.module = objective, objective.module
        self.batches, self.options, self.evaluate, self.run = batches, options, evaluate, run
        each = -(-len(batches) // options.accumulate)
        self.total_steps = each * options.epochs
        if options.max_steps is not None:
            self.total_steps = min(self.total_steps, options.max_steps)
        self.optimizer = make_optimizer(self.module, options)
        self.schedule = make_schedule(self.optimizer, options, self.total_steps)
        self.at = Progress()
        self.records: list[dict[str, Any]] = []
        self.saved = time.monotonic()
        self.norm = 0.0
        self.interrupted = False

    def train(self, line: ProgressLine | None) -> None:
        """Runs from where the training stands to its end."""
        self.module.train()
        with self.deferred_interrupt():
            while not self.at.done:
                self.train_epoch(line)
        if self.options.keep_best and self.at.best is not None:
            self.module.load_state_dict(self.at.best)
        self.module.eval()

    @contextmanager
    def deferred_interrupt(self) -> Generator[None]:
        """Lets a Ctrl-C wait for the end of the step, where the training can be saved; a second
        one does not wait.
        """
        if threading.current_thread() is not threading.main_thread():
            # only the main thread may set signal handlers, and only it is interrupted
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def note(*_: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def train_epoch(self, line: ProgressLine | None) -> None:
        """The rest of an epoch: batch after batch, a step after every `accumulate` of them."""
        at, weight, total, items = self.at, 0.0, 0.0, 0
        for batch in self.batches.epoch(at.epoch, at.batch):
            loss = self.objective.loss(batch, at.carry)
            (loss.value * loss.weight).backward()
            weight, items = weight + loss.weight, items + loss.items
            total += float(loss.value.detach()) * loss.weight
            at.carry, at.batch = loss.carry, at.batch + 1
            if at.batch % self.options.accumulate and at.batch < len(self.batches):
                continue
            self.step(total / weight, weight)
            if line is not None:
                line.show(at.epoch + 1, at.step, total / weight, items)
            weight, total, items = 0.0, 0.0, 0
            self.after_step()
            if at.done:
                return
        at.epoch, at.batch, at.carry = at.epoch + 1, 0, None
        self.after_epoch()

    def step(self, loss: float, weight: float) -> None:
        """Clips and steps; skips a step that is not finite."""
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        for p in parameters:
            if p.grad is not None:
                p.grad /= weight
        bound = self.options.clip_norm
        norm = clip_grad_norm_(parameters, bound if bound is not None else float("inf"))
        self.norm = float(norm)
        if not (isfinite(loss) and isfinite(self.norm)):
            self.strike(loss)
        else:
            if self.options.clip_value is not None:
                clip_grad_value_(parameters, self.options.clip_value)
            self.optimizer.step()
            self.at.strikes = 0
            if not isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step()
        self.optimizer.zero_grad()
        self.at.step += 1
        self.record({"loss": loss, "norm": self.norm, "lr": self.optimizer.param_groups[0]["lr"]})

    def strike(self, loss: float) -> None:
        """Counts a step that is not finite; the third in a row ends the training."""
        at = self.at
        at.skipped, at.strikes, at.carry = at.skipped + 1, at.strikes + 1, None
        if at.strikes < _STRIKES:
            return
        if self.run is not None:
            # no step was taken since the loss was last finite: these are the last good weights
            self.run.save_weights(self.module.state_dict())
        raise Diverged(
            f"training: the loss ({loss:g}) or the gradient norm ({self.norm:g}) was not finite"
            f" {_STRIKES} times in a row, at step {at.step + 1} with lr={self.options.lr:g} and"
            f" clip_norm={self.options.clip_norm}; the last good weights are kept."
            " Try a lower lr, a smaller clip_norm, or look for extreme values in the data."
        )

    def after_step(self) -> None:
        """Evaluates, stops and saves where it is time."""
        at, every = self.at, self.options.evaluate_every
        last = at.step >= self.total_steps
        if last or (every is not None and at.step % every == 0):
            self.judge()
        at.done = at.done or last
        if self.interrupted:
            self.save()
            raise Interrupted(self.interruption())
        if time.monotonic() - self.saved >= self.options.checkpoint_seconds:
            self.save()

    def after_epoch(self) -> None:
        """Evaluates, stops and saves at the end of an epoch."""
        if self.options.evaluate_every is None:
            self.judge()
        self.at.done = self.at.done or self.at.epoch >= self.options.epochs
        self.save()

    def judge(self) -> None:
        """Evaluates, keeps the best weights, and stops when patience is over."""
        if self.evaluate is None:
            return
        kept = random_states()
        self.module.eval()
        with torch.no_grad():
            figures = self.evaluate()
        self.module.train()
        # an evaluation, whatever it draws, leaves the training as it was
        set_random_states(kept)
        at, loss = self.at, figures["loss"]
        self.record({f"validation_{name}": value for name, value in figures.items()})
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(loss)
        if loss < at.best_loss:
            at.best_loss, at.best_step, at.without_gain = loss, at.step, 0
            at.best = {name: one.detach().clone() for name, one in self.module.state_dict().items()}
        else:
            at.without_gain += 1
        patience = self.options.patience
        at.done = at.done or (patience is not None and at.without_gain >= patience)

    def record(self, figures: dict[str, Any]) -> None:
        """Notes figures of this step."""
        record = {"step": self.at.step, "epoch": self.at.epoch, **figures}
        self.records.append(record)
        if self.run is not None:
            self.run.append(record)

    def save(self) -> None:
        """Writes a checkpoint."""
        self.saved = time.monotonic()
        if self.run is None:
            return
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": schedule_state(self.schedule),
            "progress": vars(self.at),
            "records": len(self.records),
            "random": random_states(),
        }
        save_checkpoint(self.run.checkpoints, self.at.step, state)

    def restore(self) -> None:
        """Goes on from the run's newest checkpoint."""
        if self.run is None:
            return
        state = load_checkpoint(self.run.checkpoints)
        if state is None:
            self.run.cut_metrics(0)
            return
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        load_schedule_state(self.schedule, state["schedule"])
        self.at = Progress(**state["progress"])
        set_random_states(state["random"])
        self.run.cut_metrics(state["records"])
        self.records = self.run.metrics()

    def interruption(self) -> str:
        """What an interruption leaves behind."""
        if self.run is None:
            return (
                f"interrupted at step {self.at.step}; nothing was saved, as there is no run folder."
            )
        return (
            f"interrupted at step {self.at.step}; {self.run.path} holds the training so far:"
            " the same command goes on from there."
        )

    def history(self) -> History:
        """What happened."""
        at = self.at
        return History(self.records, at.step, at.skipped, at.best_loss, at.best_step)


def seed(random_state: Any) -> int:
    """Seeds torch and gives the seed for the order of the data.

    Args:
        random_state: an int, None (draws one), or a NumPy RandomState or Generator (draws from it).

    Example:
        >>> seed(3)
        3
    """
    if random_state is None:
        number = torch.seed() % 2**31
    elif hasattr(random_state, "randint"):
        number = int(random_state.randint(2**31 - 1))
    elif hasattr(random_state, "integers"):
        number = int(random_state.integers(2**31 - 1))
    else:
        number = int(random_state)
    torch.manual_seed(number)
    return number

"""The training loop, step by step."""

from contextlib import ExitStack, nullcontext
from math import inf, isfinite
from typing import Any

from torch import autocast, bfloat16
from torch.nn.utils import clip_grad_value_

from ._average import Average
from ._checkpoint import Checkpoints, load_checkpoint, random_states, set_random_states
from ._course import check_course, course
from ._diverged import STRIKES, Diverged, divergence
from ._evaluate import Evaluate, evaluated
from ._interrupt import Interrupt, interruption
from ._monitor import Checkup, Monitor
from ._optim import clip_norm, make_optimizer
from ._options import TrainOptions
from ._progress import ProgressLine
from ._protocols import Batches, History, Objective, Progress
from ._remedy import Remedies
from ._run import Run
from ._schedule import Schedule
from ._snapshot import copied, is_finite

# steps between copies of good weights
_KEPT_EVERY = 100


class Trainer:
    """The parts of a training, and its one loop."""

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        options: TrainOptions,
        evaluate: Evaluate | None,
        run: Run | None,
        checkup: Checkup,
    ) -> None:
        self.objective, self.module = objective, objective.module
        self.batches, self.options, self.evaluate, self.run = batches, options, evaluate, run
        each = -(-len(batches) // options.accumulate)
        self.total_steps = each * options.epochs
        if options.max_steps is not None:
            self.total_steps = min(self.total_steps, options.max_steps)
        self.course = course(options, len(batches))
        self.optimizer = make_optimizer(self.module, options)
        self.schedule = Schedule(self.optimizer, options, self.total_steps)
        self.at = Progress()
        self.records: list[dict[str, Any]] = []
        # the numbers among them that JSON has not: which record's, name and value
        self.not_finite: list[Any] = []
        self.checkpoints: Checkpoints | None = None
        if run is not None:
            self.checkpoints = Checkpoints(run.checkpoints, options.checkpoint_seconds)
        self.norm = 0.0
        self.interrupt = Interrupt()
        self.device = next(self.module.parameters()).device
        # the last good weights, until there are remedies, which keep them themselves
        self.good = copied(self.module.state_dict())
        self.average = Average(self.module, options.average)
        self.monitor: Monitor | None = None
        self.remedies: Remedies | None = None
        if options.watch or options.give_up or options.remedy == "auto":
            self.monitor = Monitor(self.module, checkup, self.total_steps)
        if options.remedy == "auto":
            self.remedies = Remedies(
                self.module,
                self.optimizer,
                self.record,
                change_cells=options.change_cell,
                renew=self.renew,
            )

    def renew(self) -> Any:
        """An optimiser and schedule for other parameters, at the step where the training stands."""
        self.optimizer = make_optimizer(self.module, self.options)
        self.schedule = Schedule(self.optimizer, self.options, self.total_steps)
        self.schedule.skip(self.at.step)
        self.good = copied(self.module.state_dict())
        return self.optimizer

    @property
    def is_over(self) -> bool:
        """Whether the training is at its end: it was long enough, or patience is over, or hope."""
        at, options = self.at, self.options
        was_long = at.step >= self.total_steps or at.epoch >= options.epochs
        return was_long or at.without_gain >= (options.patience or inf) or at.gave_up

    def train(self, line: ProgressLine | None) -> None:
        """Runs from where the training stands to its end."""
        self.module.train()
        # what was left by something before, such as a training that diverged, is no part of a step
        self.optimizer.zero_grad()
        with ExitStack() as stack:
            stack.enter_context(self.interrupt.deferred())
            if self.monitor is not None:
                stack.enter_context(self.monitor)
                if self.at.step == 0:
                    self.look()
            while not self.is_over:
                self.train_epoch(line)
            # one that came behind the last step
            self.heed()
        at = self.at
        if not self.options.keep_best or at.best is None:
            self.module.load_state_dict(self.average.weights)
        elif self.remedies is None or at.best_changed is None:
            self.module.load_state_dict(at.best)
        else:
            self.remedies.become(at.best_changed, at.best)
        self.module.eval()

    def train_epoch(self, line: ProgressLine | None) -> None:
        """The rest of an epoch: batch after batch, a step after every `accumulate` of them."""
        at, weight, total, items = self.at, 0.0, 0.0, 0
        for batch in self.batches.epoch(at.epoch, at.batch):
            with autocast(self.device.type, bfloat16, self.options.precision == "bfloat16"):
                loss = self.objective.loss(batch, at.carry)
            # a batch alone needs no weight
            share = float(loss.weight) if self.options.accumulate > 1 else 1.0
            (loss.value * share).backward()
            weight, items = weight + share, items + loss.items
            total += float(loss.value.detach()) * share
            at.carry, at.batch = loss.carry, at.batch + 1
            if at.batch % self.options.accumulate and at.batch < len(self.batches):
                continue
            # batches of no terms at all are a step of nothing, not of nothing by nothing
            weight = weight or 1.0
            self.step(total / weight, weight)
            if line is not None:
                said = "" if self.monitor is None else self.monitor.text()
                line.show(at.epoch + 1, at.step, total / weight, items, said)
            weight, total, items = 0.0, 0.0, 0
            self.look()
            self.after_step()
            if self.is_over:
                return
        if at.batch % self.options.accumulate and at.batch < len(self.batches):
            raise ValueError(
                f"fit: epoch {at.epoch} gave {at.batch} batches where their len is"
                f" {len(self.batches)}, which ends within a step of accumulate="
                f"{self.options.accumulate}; make the two the same."
            )
        at.epoch, at.batch, at.carry = at.epoch + 1, 0, None
        self.after_epoch()

    def step(self, loss: float, weight: float) -> None:
        """Clips and steps; goes back, or skips a step that is not finite."""
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        for p in parameters:
            if p.grad is not None and weight != 1.0:
                p.grad /= weight
        bound = inf if self.options.clip_norm is None else self.options.clip_norm
        self.norm = clip_norm(parameters, bound)
        finite = isfinite(loss) and isfinite(self.norm)
        if self.monitor is not None:
            self.monitor.note(self.at.step, self.norm > bound)
        if self.remedies is not None and self.remedies.stepped(
            self.at.step, loss if finite else float("nan")
        ):
            self.at.skipped, self.at.carry = self.at.skipped + 1, None
            self.average.restart()
            if self.remedies.is_at_an_end:
                self.diverge(loss)
        elif not finite:
            self.strike(loss)
        else:
            self.take_step(parameters)
        self.optimizer.zero_grad()
        self.at.step += 1
        lr = self.optimizer.param_groups[0]["lr"] * self.rate
        self.record({"loss": loss, "norm": self.norm, "lr": lr})

    @property
    def rate(self) -> float:
        """What remedies multiply the schedule's learning rates with."""
        return 1.0 if self.remedies is None else self.remedies.rate

    def take_step(self, parameters: list[Any]) -> None:
        """The optimiser's step, and the schedule's."""
        if self.options.clip_value is not None:
            clip_grad_value_(parameters, self.options.clip_value)
        if self.at.step % _KEPT_EVERY == 0 and self.remedies is None:
            self.good = copied(self.module.state_dict())
        with nullcontext() if self.remedies is None else self.remedies.stepping():
            self.optimizer.step()
        self.average.update()
        self.at.strikes = 0
        self.schedule.step()

    def look(self) -> None:
        """Probes the gradient through time where it is time, and treats what is found."""
        at, monitor = self.at, self.monitor
        if monitor is None or not monitor.is_due(at.step):
            return
        batch = next(iter(self.batches.epoch(0)))
        found = monitor.look(at.step, lambda: self.objective.loss(batch, None))
        seen = {"reach": found.reach.lag, "rate": found.reach.rate, "width": found.width}
        self.record({"diagnosis": found.kind, **seen})
        if self.remedies is not None and self.remedies.look(at.step, found):
            self.average.restart()
            monitor.flow.follow()
        if self.options.give_up and monitor.is_beyond_help:
            at.gave_up = True

    def strike(self, loss: float) -> None:
        """Counts a step that is not finite; the third in a row ends the training."""
        at = self.at
        at.skipped, at.strikes, at.carry = at.skipped + 1, at.strikes + 1, None
        if at.strikes >= STRIKES:
            self.diverge(loss)

    def diverge(self, loss: float) -> None:
        """Ends the training with the last good weights."""
        # no step was taken since the loss was last finite, but that step may have been too far
        if not is_finite(self.module):
            self.module.load_state_dict(self.good)
        if self.run is not None:
            self.run.save_weights(self.module.state_dict())
        rate = None if self.remedies is None else self.rate
        said = divergence(
            loss, self.norm, self.at.step + 1, self.options, rate=rate, saved=self.run is not None
        )
        raise Diverged(said, self.history())

    def after_step(self) -> None:
        """Evaluates, stops and saves where it is time."""
        at, every = self.at, self.options.evaluate_every
        if at.step >= self.total_steps or (every is not None and at.step % every == 0):
            self.judge()
        self.heed()
        if self.checkpoints is not None and self.checkpoints.is_due:
            self.save()

    def heed(self) -> None:
        """Saves and ends where the keyboard interrupted."""
        if self.interrupt.came:
            self.save()
            raise interruption(self.at.step, None if self.run is None else self.run.path)

    def after_epoch(self) -> None:
        """Evaluates, stops and saves at the end of an epoch."""
        if self.options.evaluate_every is None:
            self.judge()
        self.save()

    def judge(self) -> None:
        """Evaluates, and keeps the best weights."""
        at = self.at
        if self.evaluate is None or at.judged == at.step:
            return
        figures = evaluated(self.module, self.average, self.evaluate)
        self.record({f"validation_{name}": value for name, value in figures.items()})
        self.schedule.judge(figures["loss"])
        changed = {} if self.remedies is None else dict(self.remedies.changed)
        at.judge(figures["loss"], self.average.weights, changed)

    def record(self, figures: dict[str, Any]) -> None:
        """Notes figures of this step."""
        record = {"step": self.at.step, "epoch": self.at.epoch, **figures}
        for name, value in record.items():
            if isinstance(value, float) and not isfinite(value):
                self.not_finite.append([len(self.records), name, value])
        self.records.append(record)
        if self.run is not None:
            self.run.append(record)

    def save(self) -> None:
        """Writes a checkpoint."""
        if self.checkpoints is None:
            return
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state(),
            "progress": vars(self.at),
            "records": len(self.records),
            "not_finite": self.not_finite,
            "random": random_states(),
            "good": None if self.remedies is not None else self.good,
            "remedies": None if self.remedies is None else self.remedies.state(),
            "average": self.average.state(),
            "monitor": None if self.monitor is None else self.monitor.state(),
            "course": self.course,
        }
        self.checkpoints.save(self.at.step, state)

    def restore(self) -> None:
        """Goes on from the run's newest checkpoint."""
        if self.run is None:
            return
        state = load_checkpoint(self.run.checkpoints, self.device)
        if state is None:
            self.run.cut_metrics(0)
            return
        # an older checkpoint holds none
        check_course(self.run.path, state.get("course", {}), self.course)
        self.at = Progress.of(state["progress"])
        self.at.gave_up = self.at.gave_up and self.options.give_up
        if self.remedies is not None and state.get("remedies") is not None:
            self.remedies.load(state["remedies"])
            if self.monitor is not None:
                self.monitor.flow.follow()
            if self.remedies.has_changed_network and self.at.best_changed is None:
                self.at.forget_best()
        if self.monitor is not None and state.get("monitor") is not None:
            self.monitor.load(state["monitor"])
        self.module.load_state_dict(state["module"])
        # an older checkpoint holds none, and one of a training with remedies
        self.good = state.get("good") or copied(self.module.state_dict())
        self.average.load(state.get("average"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load(state["schedule"])
        set_random_states(state["random"])
        self.run.cut_metrics(state["records"])
        self.records, self.not_finite = self.run.metrics(), state.get("not_finite", [])
        for which, name, value in self.not_finite:
            # after a power cut the file may lack what the checkpoint knows
            if which < len(self.records):
                self.records[which][name] = value

    def history(self) -> History:
        """What happened."""
        at = self.at
        newest = None if self.monitor is None else self.monitor.diagnosis
        found = None if newest is None else newest.to_json()
        return History(
            self.records,
            at.step,
            at.skipped,
            at.best_loss,
            at.best_step,
            {} if self.remedies is None else self.remedies.changed,
            found,
            at.gave_up,
            None if self.monitor is None else self.monitor.flow,
        )

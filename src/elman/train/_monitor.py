"""The gradient through time, looked at while a model trains."""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import nn

from elman.diagnostics import Diagnosis, Flow, diagnose_run, is_on_its_way, watch
from elman.ops import is_whole

from ._options import plain_number

# probes in a training, and the part of it after which its course is judged
_PROBES, _JUDGED_AFTER = 40, 0.2
# the training steps in the history of what was watched, at most
_NOTED = 2 * _PROBES


@dataclass(frozen=True)
class Checkup:
    """How a training is looked at.

    Args:
        run: runs the module forward on held-out sequences; None takes the first batch.
        needed: how far back the answer lies; None if it is not known.
        carried: how many numbers of it have to be carried at once; None if it is not known.
        window: steps that gradients flow through; None for all.
        every: optimiser steps between probes; None for a twentieth of the training.
    """

    run: Callable[[], Any] | None = None
    needed: int | None = None
    carried: int | None = None
    window: int | None = None
    every: int | None = None


class Monitor:
    """Watches a module's backward passes, and probes it every few steps.

    Args:
        module: what is trained.
        checkup: what to look at.
        total_steps: of the training.

    Attributes:
        flow: the watch.
        diagnosis: the newest; None before the first probe.
        found: every diagnosis of this monitor's own, by step.
    """

    def __init__(self, module: nn.Module, checkup: Checkup, total_steps: int) -> None:
        self.module, self.total_steps = module, total_steps
        numbers = ("needed", "carried", "window", "every")
        plain = {name: plain_number(getattr(checkup, name)) for name in numbers}
        self.checkup = replace(checkup, **plain)
        every = self.checkup.every
        if every is not None and not is_whole(every):
            raise ValueError(f"Checkup: every={every!r}; give a whole number above zero, or None.")
        self.flow: Flow = watch(module)
        self.every = every or max(1, total_steps // _PROBES)
        self.diagnosis: Diagnosis | None = None
        self.found: dict[int, Diagnosis] = {}
        # the reaches of all the training, also of its part before a checkpoint
        self._lags: dict[int, int | None] = {}
        self._clipped: deque[bool] = deque(maxlen=100)
        # probes between training steps that are noted
        self._apart = 1
        self._run = self.checkup.run
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.flow)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def is_due(self, step: int) -> bool:
        """Whether a probe belongs before this step."""
        return step % self.every == 0

    def look(self, step: int, run: Callable[[], Any]) -> Diagnosis:
        """Probes the module; `run` runs it on a batch, for where nothing was held out."""
        self._run = self._run or run
        asked = self.checkup
        self.diagnosis = diagnose_run(
            self.module,
            self._run,
            needed=asked.needed,
            carried=asked.carried,
            window=asked.window,
            directions=1,
        )
        self.found[step] = self.diagnosis
        self._lags[step] = self.diagnosis.reach.lag
        return self.diagnosis

    def note(self, step: int, clipped: bool) -> None:
        """Takes a training step: what its backward pass saw, and whether its gradient was
        clipped. Where there are too many in the history, every second one stays.
        """
        self._clipped.append(clipped)
        if step % (self.every * self._apart):
            return
        self.flow.note(step)
        if len(self.flow.history) > _NOTED:
            del self.flow.history[1::2]
            self._apart *= 2

    @property
    def clipped_share(self) -> float:
        """The share of the newest steps whose gradient was clipped."""
        return sum(self._clipped) / max(len(self._clipped), 1)

    @property
    def is_beyond_help(self) -> bool:
        """Whether a fifth of the training has passed, the gradient does not arrive where the answer
        lies, and is not on its way there.
        """
        if self.diagnosis is None or self.diagnosis.can_learn is not False:
            return False
        steps = sorted(self._lags)
        if steps[-1] < _JUDGED_AFTER * self.total_steps or len(steps) < 4:
            return False
        needed = self.diagnosis.needed
        lags = [self._lags[step] for step in steps]
        return needed is None or not is_on_its_way(lags, needed)

    def state(self) -> dict[str, Any]:
        """What is to be judged by and shown, for a checkpoint."""
        return {
            "history": self.flow.state(),
            "apart": self._apart,
            "lags": self._lags,
            "clipped": list(self._clipped),
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_json(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Sets what `state` gave; an older one holds no history."""
        self.flow.load(state.get("history", []))
        self._apart = state.get("apart", 1)
        self._lags = dict(state["lags"])
        self._clipped.extend(state["clipped"])
        newest = state["diagnosis"]
        self.diagnosis = None if newest is None else Diagnosis.from_json(newest)

    def text(self) -> str:
        """What the live line says."""
        if self.diagnosis is None:
            return "reach …"
        reach = self.diagnosis.reach
        far = f"{reach.lag:,}" if reach.lag is not None else f"all {reach.steps:,}"
        return f"reach {far} · clipped {self.clipped_share:.0%}"

"""The learning rate over a training."""

import warnings
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from ._options import TrainOptions


class Schedule:
    """Torch's schedules for the options: the rate rises for the steps of the warm-up, and then
    falls with the steps, or after evaluations that brought nothing.

    Args:
        optimizer: whose learning rates it sets.
        options: what is asked for.
        steps: optimiser steps of the whole training.

    Example:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], 1.0)
        >>> schedule = Schedule(sgd, TrainOptions(lr=1.0, schedule="plateau", warmup_steps=1), 9)
        >>> rates = [sgd.param_groups[0]["lr"]]
        >>> schedule.skip(1)
        >>> rates += [sgd.param_groups[0]["lr"]]
        >>> for loss in (0.3, 0.3):
        ...     schedule.judge(loss)
        >>> rates + [sgd.param_groups[0]["lr"]]
        [0.5, 1.0, 0.5]
    """

    def __init__(self, optimizer: Optimizer, options: TrainOptions, steps: int) -> None:
        self._warmup = options.warmup_steps
        self._by_step: LRScheduler | None
        self._plateau: ReduceLROnPlateau | None = None
        if options.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
            self._by_step = _rise(optimizer, self._warmup) if self._warmup else None
        else:
            self._by_step = _by_step(optimizer, options, steps)

    def step(self) -> None:
        """Behind a step of the optimiser."""
        if self._by_step is not None:
            self._by_step.step()

    def skip(self, steps: int) -> None:
        """Goes on as if the optimiser had taken so many steps."""
        with warnings.catch_warnings():
            # the optimiser has stepped: the one before this one
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(steps):
                self.step()

    def judge(self, loss: float) -> None:
        """Behind an evaluation; one within the warm-up says nothing about the rate."""
        is_up = self._by_step is None or self._by_step.last_epoch >= self._warmup
        if self._plateau is not None and is_up:
            self._plateau.step(loss)

    def state(self) -> dict[str, Any]:
        """Everything, as plain numbers, for a checkpoint."""
        if self._plateau is None:
            return _state(self._by_step)
        rise = {} if self._by_step is None else {"rise": _state(self._by_step)}
        return _state(self._plateau) | rise

    def load(self, state: dict[str, Any]) -> None:
        """Sets what `state` gave."""
        if self._plateau is None:
            _load(self._by_step, state)
            return
        rise = state.pop("rise", None)
        _load(self._plateau, state)
        if rise is None:
            # an older checkpoint, of a training without a warm-up whatever it was told
            self._by_step = None
        else:
            _load(self._by_step, rise)


def _rise(optimizer: Optimizer, steps: int) -> LRScheduler:
    return LinearLR(optimizer, 1 / (steps + 1), 1.0, steps)


def _by_step(optimizer: Optimizer, options: TrainOptions, steps: int) -> LRScheduler:
    falling = max(steps - options.warmup_steps, 1)
    after: LRScheduler
    if options.schedule == "cosine":
        after = CosineAnnealingLR(optimizer, falling)
    elif options.schedule == "linear":
        after = LinearLR(optimizer, 1.0, 0.0, falling)
    elif options.schedule == "exponential":
        after = ExponentialLR(optimizer, 0.01 ** (1 / falling))
    else:
        after = ConstantLR(optimizer, 1.0)
    if not options.warmup_steps:
        return after
    rise = _rise(optimizer, options.warmup_steps)
    return SequentialLR(optimizer, [rise, after], [options.warmup_steps])


def _state(schedule: Any) -> dict[str, Any]:
    """A schedule's state as plain numbers, the schedules inside it included."""
    state = {k: v for k, v in schedule.state_dict().items() if _is_plain(v)}
    if isinstance(schedule, SequentialLR):
        # torch keeps the inner schedules in a private list of this name
        state["inner"] = [_state(one) for one in schedule._schedulers]  # pyright: ignore
    return state


def _load(schedule: Any, state: dict[str, Any]) -> None:
    """Sets what `_state` gave."""
    inner = state.pop("inner", [])
    schedule.__dict__.update(state)
    for one, its in zip(getattr(schedule, "_schedulers", []), inner, strict=True):
        _load(one, its)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(one) for one in value)
    return isinstance(value, int | float | str | bool | None)

"""Torch's optimisers and schedules, built from the options."""

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import SGD, AdamW, Optimizer
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

# what torch adds to a norm before it compares it with the bound
_ADDED = 1e-6


def _without_guards(kind: type[Optimizer]) -> dict[str, Any]:
    """An optimiser's methods without what guards them from being compiled.

    Torch's guards import the compiler when they are called first, a second of a training's start;
    no step is compiled here.
    """
    guarded = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    # the guard of the step is also what keeps it out of the gradient
    return plain | {"step": torch.no_grad()(inspect.unwrap(kind.step))}


_PlainSGD = type("SGD", (SGD,), _without_guards(SGD))
_PlainAdamW = type("AdamW", (AdamW,), _without_guards(AdamW))


def make_optimizer(module: nn.Module, options: TrainOptions) -> Optimizer:
    """The optimiser."""
    if options.optimizer == "sgd":
        return _PlainSGD(
            module.parameters(),
            options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
    # one pass over a parameter's numbers instead of ten
    return _PlainAdamW(
        module.parameters(), options.lr, weight_decay=options.weight_decay, fused=True
    )


def clip_norm(parameters: list[nn.Parameter], bound: float) -> float:
    """Shortens the gradients together to a norm; gives the norm that they had.

    Bit for bit what torch's `clip_grad_norm_` does, which multiplies gradients that are short
    enough by one; none is touched where the bound is infinite.

    Example:
        >>> p = nn.Parameter(torch.zeros(2))
        >>> p.grad = torch.tensor([3.0, 4.0])
        >>> clip_norm([p], 1.0), [round(x, 3) for x in p.grad.tolist()]
        (5.0, [0.6, 0.8])
    """
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if not norm + _ADDED <= bound:
        clip_grads_with_norm_(parameters, bound, norm)
    return float(norm)


def make_schedule(
    optimizer: Optimizer, options: TrainOptions, steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """The schedule over so many optimiser steps; a plateau's is stepped by evaluations, the others
    by steps.
    """
    if options.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
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
    rise = LinearLR(optimizer, 1 / (options.warmup_steps + 1), 1.0, options.warmup_steps)
    return SequentialLR(optimizer, [rise, after], [options.warmup_steps])


def schedule_state(schedule: Any) -> dict[str, Any]:
    """The schedule's state as plain numbers, the schedules inside it included."""
    state = {k: v for k, v in schedule.state_dict().items() if _is_plain(v)}
    if isinstance(schedule, SequentialLR):
        # torch keeps the inner schedules in a private list of this name
        state["inner"] = [schedule_state(one) for one in schedule._schedulers]  # pyright: ignore
    return state


def load_schedule_state(schedule: Any, state: dict[str, Any]) -> None:
    """Sets what `schedule_state` gave."""
    inner = state.pop("inner", [])
    schedule.__dict__.update(state)
    for one, its in zip(getattr(schedule, "_schedulers", []), inner, strict=True):
        load_schedule_state(one, its)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(one) for one in value)
    return isinstance(value, int | float | str | bool | None)


def pick_device(device: str) -> torch.device:
    """The device; "auto" is a GPU where there is one.

    Raises:
        ValueError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError):
        raise ValueError(f"device={device!r} is not there; give auto, cpu or cuda.") from None
    return chosen

"""Torch's optimisers, built from the options."""

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import SGD, AdamW, Optimizer

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

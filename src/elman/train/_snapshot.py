"""Weights and optimiser as they stood at a step."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def snapshot(module: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Copies of everything that a step changes, and whether it is to be learned is not among it.

    Example:
        >>> linear = nn.Linear(2, 1)
        >>> kept = snapshot(linear, torch.optim.SGD(linear.parameters(), 0.1))
        >>> sorted(kept)
        ['module', 'optimizer']
    """
    return {"module": copied(module.state_dict()), "optimizer": copied(optimizer.state_dict())}


def restore(kept: dict[str, Any], module: nn.Module, optimizer: Optimizer) -> None:
    """Sets what `snapshot` gave; the learning rates stay as they are now."""
    rates = [group["lr"] for group in optimizer.param_groups]
    module.load_state_dict(kept["module"])
    # the optimiser keeps what it is given and changes it in place
    optimizer.load_state_dict(copied(kept["optimizer"]))
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def is_finite(module: nn.Module) -> bool:
    """Whether every weight is finite."""
    return all(bool(torch.isfinite(p).all()) for p in module.parameters())


def copied(value: Any) -> Any:
    """The value with copies of all tensors in it."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    return value

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


def copied(value: Any, made: dict[Any, torch.Tensor] | None = None) -> Any:
    """The value with copies of all tensors in it; what is one tensor under two names, as weights
    that two layers share, is one again.

    Args:
        value: a tensor, or dicts and lists of tensors and of other things.
        made: the copies so far, by what they are copies of.
    """
    made = {} if made is None else made
    if isinstance(value, torch.Tensor):
        key = place(value)
        if key is None:
            return value.detach().clone()
        if key not in made:
            made[key] = value.detach().clone()
        return made[key]
    if isinstance(value, dict):
        return {key: copied(one, made) for key, one in value.items()}
    if isinstance(value, list):
        return [copied(one, made) for one in value]
    return value


def place(tensor: torch.Tensor) -> tuple[Any, ...] | None:
    """What is equal for two tensors that are the same memory; None where there is none."""
    address = tensor.data_ptr()
    if not address:
        return None
    return address, tensor.device, tensor.dtype, tensor.shape, tensor.stride()


def firsts(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """Of each name the first one of the same tensor."""
    found: dict[Any, str] = {}
    return {name: found.setdefault(place(one) or name, name) for name, one in tensors.items()}


def distinct(tensors: dict[str, torch.Tensor]) -> list[str]:
    """The names of the tensors, of those that are one tensor the first."""
    return [name for name, first in firsts(tensors).items() if name == first]

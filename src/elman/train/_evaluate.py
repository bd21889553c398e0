"""The validation figures of a training."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elman.ops import is_number

from ._average import Average
from ._checkpoint import random_states, set_random_states
from ._options import plain_number

Evaluate = Callable[[], dict[str, float]]
"""Gives the validation figures, "loss" among them (lower is better)."""


def evaluated(module: nn.Module, average: Average, evaluate: Evaluate) -> dict[str, float]:
    """The figures of the averaged weights, as Python's numbers; whatever the evaluation draws, the
    training goes on as it would have without.

    Raises:
        ValueError: there is no loss among them.
    """
    kept = random_states()
    module.eval()
    with torch.no_grad(), average.in_place():
        figures = {name: _plain(one) for name, one in (evaluate() or {}).items()}
    module.train()
    set_random_states(kept)
    if "loss" not in figures:
        raise ValueError(
            f"fit: evaluate gave {', '.join(figures) or 'nothing'}, and no loss; give the"
            ' validation loss as "loss".'
        )
    if not is_number(figures["loss"]):
        raise ValueError(
            f"fit: evaluate gave the loss {figures['loss']!r}; give the validation loss as a"
            " number."
        )
    return figures


def _plain(value: Any) -> Any:
    is_single = isinstance(value, torch.Tensor) and value.numel() == 1
    return value.item() if is_single else plain_number(value)

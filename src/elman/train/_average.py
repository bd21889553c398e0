"""The moving average of the weights."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._snapshot import copied, distinct


class Average:
    """An exponential moving average of a module's weights over the steps of its training.

    After step n the average moves by 1 - d towards the weights, d = min(decay, (1 + n) / (10 + n)):
    what the first steps made of the weights is soon forgotten.

    Args:
        module: what is trained.
        decay: the part of the average that a step leaves, in the long run; 0 for no average, but
            the weights themselves.

    Reference:
        Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging", SIAM
        Journal on Control and Optimization 30.

    Example:
        >>> linear = nn.Linear(1, 1, bias=False)
        >>> average = Average(linear, 0.5)
        >>> _ = linear.weight.data.add_(1.0)
        >>> average.update()
        >>> with average.in_place():
        ...     moved = linear.weight.item()
        >>> round(linear.weight.item() - moved, 3)
        0.182
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.restart()

    def restart(self) -> None:
        """Begins anew at the weights as they are."""
        self._set(0, self._copies() if self.decay else {})

    def _set(self, steps: int, averages: dict[str, Tensor]) -> None:
        self.steps, self._averages = steps, averages
        # weights that two layers share move once
        self._distinct = {name: averages[name] for name in distinct(averages)}

    def _copies(self) -> dict[str, Tensor]:
        return copied(self.module.state_dict())

    @property
    def weights(self) -> dict[str, Tensor]:
        """The averages, or the weights where there is none."""
        return self._averages or self.module.state_dict()

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights after a step; what is no float (a count) is taken as it is."""
        if not self._averages:
            return
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights = self.module.state_dict()
        for name, average in self._distinct.items():
            weight = weights[name]
            if weight.is_floating_point():
                average.lerp_(weight, 1 - kept)
            else:
                average.copy_(weight)

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Puts the averages in the place of the weights, and these back at the end."""
        if not self._averages:
            yield
            return
        kept = self._copies()
        self.module.load_state_dict(self._averages)
        try:
            yield
        finally:
            self.module.load_state_dict(kept)

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"steps": self.steps, "weights": self._averages}

    def load(self, state: dict[str, Any] | None) -> None:
        """Sets what `state` gave; None of a training that knew no averages."""
        self.restart()
        if state is not None:
            self._set(state["steps"], state["weights"])

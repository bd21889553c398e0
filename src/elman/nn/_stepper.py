"""A handle for streams: it owns a copy of the weights and the state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._check import check_positive

if TYPE_CHECKING:
    from ._recurrent import Recurrent


class Stepper:
    """Runs a layer one step at a time, in inference, keeping the state between calls.

    The weights are those at the time of its making: training the layer afterwards does not change
    it.

    Args:
        layer: a layer that is not bidirectional.
        batch: B, sequences that run side by side.

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(3, 4)
        >>> stepper, x = gru.stepper(), torch.randn(5, 1, 3)
        >>> outputs = torch.stack([stepper(x_t) for x_t in x])
        >>> torch.allclose(outputs, gru(x)[0], atol=1e-6)
        True
    """

    def __init__(self, layer: Recurrent, batch: int = 1) -> None:
        check_positive(f"{type(layer).__name__}.stepper", "batch", batch)
        self.batch = batch
        self._layer = copy.deepcopy(layer).eval().requires_grad_(False)
        self._state: Any = None

    def __call__(self, x_t: Tensor) -> Tensor:
        """One step.

        Args:
            x_t: (B, I).

        Returns:
            The output, (B, R).

        Raises:
            ValueError: the shape is another.
        """
        if tuple(x_t.shape) != (self.batch, self._layer.input_size):
            raise ValueError(
                f"Stepper: x_t has shape {tuple(x_t.shape)},"
                f" expected ({self.batch}, {self._layer.input_size}), (B, I)."
            )
        with torch.inference_mode():
            output, self._state = self._layer.step(x_t, self._state)
        return output

    @property
    def state(self) -> Any:
        """The state after the last step, in the form that the layer returns; None before the first
        step.
        """
        return self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state

    def reset(self) -> None:
        """Forgets the state: the next step starts a sequence."""
        self._state = None

"""The gradient of every step's state, seen by autograd's hooks."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ._call import Call


class Watching:
    """Collects what the hooks of one call see, and hands it over at the end of a backward pass.

    Args:
        call: a call that has a watch.
    """

    def __init__(self, call: Call) -> None:
        self._call, self._waits = call, False
        self._clear()

    def _clear(self) -> None:
        shape = self._call.input.shape[:2]
        like = self._call.input.detach()
        states = len(self._call.widths)
        self._norms = like.new_zeros(states, *shape, dtype=torch.float64)
        self._vectors = [like.new_zeros(*shape, width) for width in self._call.widths]

    def hook(self, t: int, state: tuple[Tensor, ...]) -> None:
        """Looks at the gradient of the state after step t."""
        for k, one in enumerate(state):
            if one.requires_grad:
                one.register_hook(partial(self._see, t, k))

    def _see(self, t: int, k: int, grad: Tensor) -> None:
        if not self._waits:
            self._waits = True
            # what torch's own data-parallel wrapper does to act at the end of a backward pass
            engine: Any = torch.autograd.Variable._execution_engine  # pyright: ignore
            engine.queue_callback(self._hand_over)
        self._norms[k, t] = torch.linalg.vector_norm(grad.detach().double(), dim=-1)
        self._vectors[k][t] = grad.detach()

    def _hand_over(self) -> None:
        watch = self._call.watch
        if watch is not None:
            watch.seen(self._norms, tuple(self._vectors) if watch.vectors else None)
        self._waits = False
        self._clear()

"""A handle for streams: it owns a copy of the weights and the state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from elman.ops import open_stream, pointer_to

from ._check import check_positive, check_recurrent, check_state, check_tensor

if TYPE_CHECKING:
    from ._recurrent import Recurrent


class Stepper:
    """Runs a layer one step at a time, in inference, keeping the state between calls.

    The weights are those at the time of its making: training the layer afterwards does not change
    it. On the native kernels a step allocates nothing if it is given where to write: `out=`, or
    `bind`, which also leaves out the checks.

    Args:
        layer: a layer that is not bidirectional.
        batch: B, sequences that run side by side.

    Raises:
        TypeError: the layer is none of `elman.nn`.

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(3, 4)
        >>> stepper, x = gru.stepper(), torch.randn(5, 1, 3)
        >>> outputs = torch.stack([stepper(x_t) for x_t in x])
        >>> torch.allclose(outputs, gru(x)[0], atol=1e-6)
        True
    """

    def __init__(self, layer: Recurrent, batch: int = 1) -> None:
        check_recurrent("Stepper", layer)
        check_positive(f"{type(layer).__name__}.stepper", "batch", batch)
        self.batch = batch
        self._layer = copy.deepcopy(layer).eval().requires_grad_(False)
        self._dtype: torch.dtype = self._layer.weight_ih_l0.dtype  # pyright: ignore
        self._device: torch.device = self._layer.weight_ih_l0.device  # pyright: ignore
        self._reads = torch.Size((batch, layer.input_size))
        self._writes = torch.Size((batch, layer.state_size))
        self._like = torch.empty(self._writes, dtype=self._dtype, device=self._device)
        with torch.inference_mode(False), torch.no_grad():
            self._state = [s.clone() for s in self._layer.first_state(batch)]
            self._first = [s.clone() for s in self._state]
            # a residual stack has sums between its layers
            stream = None if layer.residual else open_stream(self._calls(), layer.backend)
        self._step = None if stream is None else stream.step
        self._take = None if stream is None else stream.take
        self._has_run = False

    def __reduce__(self) -> Any:
        return _opened, (self._layer, self.batch, self.state)

    def _calls(self) -> list[Any]:
        """One step of each layer, on the state that this handle keeps."""
        empty = torch.zeros(1, *self._reads, dtype=self._dtype, device=self._device)
        if self._layer.batch_first:
            empty = empty.transpose(0, 1)
        calls = self._layer.calls(empty)
        return [
            replace(call, state=tuple(s[layer] for s in self._state))
            for layer, call in enumerate(calls)
        ]

    def __call__(self, x_t: Tensor, out: Tensor | None = None) -> Tensor:
        """One step.

        Args:
            x_t: (B, I).
            out: (B, R), contiguous, where to write the output; a new tensor if None.

        Returns:
            The output, (B, R).

        Raises:
            TypeError: what is given is no tensor.
            ValueError: a shape or dtype is another, or `out` is not contiguous.
        """
        is_new = out is None
        if out is None:
            out = torch.empty_like(self._like)
        if self._take is not None and self._take(x_t, out):
            return self._written(out, is_new)
        check_tensor("Stepper", "x_t", x_t)
        if x_t.shape != self._reads or x_t.dtype is not self._dtype:
            raise self._refused("x_t", x_t, self._reads, "I")
        if not is_new:
            check_tensor("Stepper", "out", out)
            self._check("out", out, self._writes, "R")
            if _share_memory(x_t, out):
                x_t = x_t.clone()
        if self._step is None:
            self._slowly(x_t, out)
        else:
            x_t = x_t.resolve_neg()
            if not x_t.is_contiguous() or x_t.device != self._device:
                x_t = x_t.to(self._device).contiguous()
            self._step(pointer_to(x_t), pointer_to(out))
        return self._written(out, is_new)

    def _written(self, out: Tensor, is_new: bool) -> Tensor:
        self._has_run = True
        if not is_new and not out.is_inference():
            # what autograd saved of it is there no longer
            increment_version(out)
        return out

    def _check(self, name: str, tensor: Tensor, shape: torch.Size, letter: str) -> None:
        is_fit = tensor.shape == shape and tensor.dtype is self._dtype and not tensor.is_neg()
        if not is_fit or not tensor.is_contiguous() or tensor.device != self._device:
            raise self._refused(name, tensor, shape, letter)

    def _slowly(self, x_t: Tensor, out: Tensor) -> Tensor:
        """The step on the layer's own backend."""
        with torch.inference_mode():
            state = self._state[0] if len(self._state) == 1 else tuple(self._state)
            output, after = self._layer.step(x_t, state)
            for mine, new in zip(self._state, _states(after), strict=True):
                mine.copy_(new)
        return out.copy_(output)

    def bind(self, x_t: Tensor, out: Tensor) -> Callable[[], Any]:
        """A function without arguments that steps from and to the same memory each time. Autograd
        is not told that `out` changes.

        Args:
            x_t: (B, I), contiguous; write the next input into it before each call.
            out: (B, R), contiguous; holds the output after each call.

        Raises:
            ValueError: a shape or dtype is another, a tensor is not contiguous, or the two share
                memory.

        Example:
            >>> import torch, elman
            >>> x, y = torch.empty(1, 3), torch.empty(1, 4)
            >>> step = elman.nn.GRU(3, 4).stepper().bind(x, y)
            >>> for x_t in torch.randn(5, 1, 3):
            ...     _ = x.copy_(x_t)
            ...     _ = step()
        """
        self._check("x_t", x_t, self._reads, "I")
        self._check("out", out, self._writes, "R")
        if _share_memory(x_t, out):
            raise ValueError("Stepper: x_t and out share memory; give each its own.")
        self._has_run = True
        if self._step is None:
            return partial(self._slowly, x_t, out)
        bound = partial(self._step, pointer_to(x_t), pointer_to(out))
        # the memory lives as long as the function does
        bound.tensors = x_t, out, self  # type: ignore[attr-defined]
        return bound

    def _refused(self, name: str, tensor: Tensor, shape: torch.Size, letter: str) -> ValueError:
        if tensor.shape != shape:
            return ValueError(
                f"Stepper: {name} has shape {tuple(tensor.shape)},"
                f" expected {tuple(shape)}, (B, {letter})."
            )
        given = f"{tensor.dtype} on {tensor.device}"
        given += "" if tensor.is_contiguous() else ", not contiguous"
        given += ", with its sign left for later" if tensor.is_neg() else ""
        return ValueError(
            f"Stepper: {name} is {given}; give {self._dtype} on {self._device}, contiguous."
        )

    @property
    def state(self) -> Any:
        """The state after the last step, in the form that the layer returns; None before the first
        step.
        """
        if not self._has_run:
            return None
        found = tuple(s.clone() for s in self._state)
        return found[0] if len(found) == 1 else found

    @state.setter
    def state(self, state: Any) -> None:
        if state is None:
            self.reset()
            return
        shapes = [tuple(s.shape) for s in self._state]
        read = check_state("Stepper.state", self._layer.cell, state, shapes, "(L * D, B, size)")
        for mine, new in zip(self._state, read, strict=True):
            mine.copy_(new)
        self._has_run = True

    def reset(self) -> None:
        """Forgets the state: the next step starts a sequence."""
        for mine, first in zip(self._state, self._first, strict=True):
            mine.copy_(first)
        self._has_run = False


def _opened(layer: Recurrent, batch: int, state: Any) -> Stepper:
    """A copy of a stepper: its weights and its state."""
    made = Stepper(layer, batch)
    made.state = state
    return made


def _share_memory(x_t: Tensor, out: Tensor) -> bool:
    """Whether numbers of one stand among those of the other; `out` is contiguous."""
    if x_t.untyped_storage().data_ptr() != out.untyped_storage().data_ptr() or not x_t.numel():
        return False
    span = sum((n - 1) * s for n, s in zip(x_t.shape, x_t.stride(), strict=True)) + 1
    first, other = x_t.storage_offset(), out.storage_offset()
    return first < other + out.numel() and other < first + span


def _states(state: Any) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else state

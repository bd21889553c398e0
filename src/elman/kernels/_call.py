"""What a backend is asked to do: run one cell over one layer and direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from elman.cells import Cell


@dataclass(slots=True)
class Weights:
    """The parameters of one layer and direction.

    Args:
        ih: U, (G * H, I).
        hh: W, (G * H, R), where R is the size of what is fed back.
        bias_ih: (G * H,) or None.
        bias_hh: (G * H,) or None.
        ho: V of the output layer or projection, (R, H), or None where h itself is fed back.
        bias_ho: c of the output layer, (R,), or None.
        norm_ih: gains (G * H,) of the normalisation of U x, or None for no normalisation.
        norm_hh: gains (G * H,) of the normalisation of W h; with `norm_ih` or not at all.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    ho: Tensor | None = None
    bias_ho: Tensor | None = None
    norm_ih: Tensor | None = None
    norm_hh: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Zoneout:
    """States that stay as they are for a step, by chance.

    Args:
        share: the probability of each entry of each state.
        drawn: whether it is drawn, as in training, or the mean is taken.
    """

    share: float
    drawn: bool


class Watch(Protocol):
    """Somebody who is told the gradient of the states after each step, once it has come back to
    the first one.
    """

    @property
    def vectors(self) -> bool:
        """Whether the gradients themselves are wanted, not their norms alone."""
        ...

    def seen(self, norms: Tensor, vectors: tuple[Tensor, ...] | None) -> None:
        """Takes what was seen: the norms (S, T, B), which `view(torch.float64)` reads, and for each
        state the gradients (T, B, ·); zeros behind a row's end.
        """
        ...


@dataclass(slots=True)
class Call:
    """One scan: a cell, its weights, and the sequences.

    Args:
        cell: the recurrence.
        weights: its parameters.
        input: (T, B, I); (N, I) where the sequences come packed.
        state: the state before the first step, one (B, ·) tensor for each of the cell's states;
            zeros if None.
        initial: the state after a reset, one (·,) tensor for each of the cell's states; zeros if
            None.
        lengths: (B,) int64 on the CPU, or None where every row has T steps.
        resets: (T, B) bool on the CPU, or None.
        traced: whether every step's states and gates are wanted.
        reverse: whether to run from each row's own end to its start.
        checkpointed: whether the backward pass makes what it needs of the forward pass again, from
            the states at every ⌈√T⌉-th step or so.
        gradient_clip: bound of the norm of the gradient that a row's state hands to the step
            before, for each of the cell's states; None for none.
        watch: who is told the gradients of the states.
        zoneout: which states stay as they are for a step; None for none.
        batch_sizes: (T,) int64 on the CPU, how many rows each step has, where the sequences come
            packed as torch's PackedSequence has them: the N steps of all rows one behind the other,
            those of one time together, the longest row first. None where they do not. Then there
            are neither lengths nor resets.
    """

    cell: Cell
    weights: Weights
    input: Tensor
    state: tuple[Tensor, ...] | None = None
    initial: tuple[Tensor, ...] | None = None
    lengths: Tensor | None = None
    resets: Tensor | None = None
    traced: bool = False
    reverse: bool = False
    checkpointed: bool = False
    gradient_clip: float | None = None
    watch: Watch | None = None
    zoneout: Zoneout | None = None
    batch_sizes: Tensor | None = None

    @property
    def only_on_reference(self) -> str | None:
        """What of it no other backend can do; None if there is nothing."""
        if self.zoneout is not None:
            return "zoneout runs on the reference"
        if self.weights.norm_hh is not None:
            return "normalisation inside the recurrence runs on the reference"
        return None

    @property
    def widths(self) -> tuple[int, ...]:
        """The size of each of the cell's states."""
        hidden = self.weights.ih.shape[0] // len(self.cell.gates)
        return (self.weights.hh.shape[1], *(hidden,) * (len(self.cell.states) - 1))

    def first_state(self) -> tuple[Tensor, ...]:
        """The state before the first step, zeros where none was given."""
        if self.state is not None:
            return self.state
        rows = self.input.shape[1]
        return tuple(self.input.new_zeros(rows, width) for width in self.widths)


def tensors_of(call: Call) -> tuple[Tensor | None, ...]:
    """Everything that a gradient may go to, in the order that the native passes keep."""
    w = call.weights
    two = len(call.cell.states) > 1
    state, initial = call.state or (None, None), call.initial or (None, None)
    return (
        call.input,
        w.ih,
        w.hh,
        w.bias_ih,
        w.bias_hh,
        w.ho,
        w.bias_ho,
        state[0],
        state[1] if two else None,
        initial[0],
        initial[1] if two else None,
    )


def with_tensors(call: Call, tensors: Sequence[Tensor | None]) -> Call:
    """The call on other tensors, in the order of `tensors_of`; all else stays, the gains of a
    normalisation too.
    """
    input, ih, hh, bias_ih, bias_hh, ho, bias_ho, s0, s1, i0, i1 = tensors
    # the native passes know two states, the reference any number
    state = (*(s for s in (s0, s1) if s is not None), *(call.state or ())[2:])
    initial = (*(i for i in (i0, i1) if i is not None), *(call.initial or ())[2:])
    if input is None or ih is None or hh is None:
        raise TypeError("a call has an input and two weights.")
    w = call.weights
    # faster than dataclasses.replace
    return Call(
        call.cell,
        Weights(ih, hh, bias_ih, bias_hh, ho, bias_ho, w.norm_ih, w.norm_hh),
        input,
        state or None,
        initial or None,
        call.lengths,
        call.resets,
        call.traced,
        call.reverse,
        call.checkpointed,
        call.gradient_clip,
        call.watch,
        call.zoneout,
        call.batch_sizes,
    )


def extent_of(call: Call, input: Tensor) -> tuple[int, int]:
    """T and B of a call on an input."""
    if call.batch_sizes is not None:
        return len(call.batch_sizes), int(call.batch_sizes[0])
    return input.shape[0], input.shape[1]


def segment_size(steps: int) -> int:
    """About √T steps, for a segment of a checkpointed pass; there are at most as many segments. T
    may be symbolic.
    """
    # a symbol behaves as a number
    root: Any = torch.sym_sqrt(steps)
    return cast(int, torch.sym_int(root)) + 1

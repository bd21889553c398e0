"""What a backend is asked to do: run one cell over one layer and direction."""

from dataclasses import dataclass

from torch import Tensor

from elman.cells import Cell


@dataclass(frozen=True)
class Weights:
    """The parameters of one layer and direction.

    Args:
        ih: U, (G * H, I).
        hh: W, (G * H, R), where R is the size of what is fed back.
        bias_ih: (G * H,) or None.
        bias_hh: (G * H,) or None.
        ho: V of the output layer or projection, (R, H), or None where h itself is fed back.
        bias_ho: c of the output layer, (R,), or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    ho: Tensor | None = None
    bias_ho: Tensor | None = None


@dataclass(frozen=True)
class Call:
    """One scan: a cell, its weights, and the sequences.

    Args:
        cell: the recurrence.
        weights: its parameters.
        input: (T, B, I).
        state: the state before the first step, one (B, ·) tensor for each of the cell's states.
        initial: the state after a reset, one (·,) tensor for each of the cell's states; zeros if
            None.
        lengths: (B,) int64 on the CPU, or None where every row has T steps.
        resets: (T, B) bool on the CPU, or None.
        traced: whether every step's states and gates are wanted.
        reverse: whether to run from each row's own end to its start.
    """

    cell: Cell
    weights: Weights
    input: Tensor
    state: tuple[Tensor, ...]
    initial: tuple[Tensor, ...] | None = None
    lengths: Tensor | None = None
    resets: Tensor | None = None
    traced: bool = False
    reverse: bool = False

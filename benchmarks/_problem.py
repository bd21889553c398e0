"""A row of the speed benchmark: a cell, a size, and the same layer and data for every contender."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import elman

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Size:
    """T steps, B sequences, I inputs, H hidden units, layers and directions; how wide a projection
    of the output is, if there is one; how the lengths lie in [1, T].
    """

    T: int
    B: int
    I: int  # noqa: E741 - the field's letter
    H: int
    layers: int = 1
    directions: int = 1
    projection: int = 0
    lengths: str = "whole"
    dtype: str = "float32"
    note: str = ""

    @property
    def fed_back(self) -> int:
        """The numbers of a step's output, in one direction."""
        return self.projection or self.H

    def __str__(self) -> str:
        more = [f"{self.layers} layers"] if self.layers > 1 else []
        more += ["both ways"] if self.directions > 1 else []
        more += [f"to {self.projection}"] if self.projection else []
        more += [self.lengths] if self.lengths != "whole" else []
        more += [self.dtype] if self.dtype != "float32" else []
        return f"({self.T}, {self.B}, {self.I}, {self.H})" + "".join(f" {one}" for one in more)


@dataclass
class Problem:
    """One cell at one size: torch's layer, ours with the same weights, and the data.

    Args:
        cell: RNN, GRU or LSTM.
        size: how large.
        threads: how many threads every contender may use.
    """

    cell: str
    size: Size
    threads: int
    theirs: Any = field(init=False)
    ours: Any = field(init=False)
    input: Tensor = field(init=False)
    grad: Tensor = field(init=False)
    lengths: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        s = self.size
        torch.manual_seed(0)
        kind: Any = {"num_layers": s.layers, "bidirectional": s.directions > 1}
        kind |= {"proj_size": s.projection} if s.projection else {}
        self.theirs = getattr(torch.nn, self.cell)(s.I, s.H, **kind)
        self.ours = getattr(elman.nn, self.cell)(s.I, s.H, **kind)
        self.ours.load_state_dict(self.theirs.state_dict())
        self.input = torch.randn(s.T, s.B, s.I)
        self.grad = torch.randn(s.T, s.B, s.directions * s.fed_back)
        self.lengths = None
        if s.lengths == "ragged":
            self.lengths = torch.randint(max(1, s.T // 8), s.T + 1, (s.B,))
            self.lengths[0] = s.T
        if s.lengths == "one shorter":
            self.lengths = torch.full((s.B,), s.T)
            self.lengths[-1] -= 1
        dtype = getattr(torch, s.dtype)
        self.theirs, self.ours = self.theirs.to(dtype), self.ours.to(dtype)
        self.input, self.grad = self.input.to(dtype), self.grad.to(dtype)

    @property
    def steps(self) -> int:
        """The steps of all sequences together."""
        return int(self.lengths.sum()) if self.lengths is not None else self.size.T * self.size.B

    def products(self, train: bool) -> float:
        """The operations of the matrix products; training has three of each."""
        s = self.size
        inputs = s.I + (s.layers - 1) * s.directions * s.fed_back + s.layers * s.fed_back
        weights = s.directions * s.H * (GATES[self.cell] * inputs + s.layers * s.projection)
        return (3 if train else 1) * 2.0 * weights * self.steps

    def limit(self, train: bool, peak: float) -> tuple[float, str]:
        """The least seconds that the machine allows, and what holds them.

        All products at the peak that a large matrix product reaches in the same round, but no
        faster than the recurrent weights can be read in every step, and the activations: 0.25 ns
        for each on one core.

        Args:
            train: forward and backward, or forward alone.
            peak: operations a second.
        """
        s, gates = self.size, GATES[self.cell]
        recurring = s.H * (gates * s.fed_back + s.projection)
        weights = self.input.element_size() * recurring / self.threads
        # bytes a second that one core reads from its first, second and shared cache
        speed = 277e9 if weights < 40e3 else 163e9 if weights < 1.4e6 else 30e9
        passes = 3 if train else 1
        layers = s.layers * s.directions
        recurrent = passes * 2.0 * recurring * layers * self.steps / peak
        reading = (2 if train else 1) * layers * s.T * weights / speed
        rest = self.products(train) / peak - recurrent
        each = {"RNN": 1, "GRU": 3, "LSTM": 5}[self.cell] * 0.25e-9 / self.threads
        activations = (2.5 if train else 1) * layers * self.steps * s.H * each
        parts = {
            "products": rest + recurrent if recurrent >= reading else rest,
            "reading weights": reading if reading > recurrent else 0.0,
            "activations": activations,
        }
        return sum(parts.values()), max(parts, key=lambda name: parts[name])

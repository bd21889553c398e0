"""Every step's states and gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from elman.cells import Cell

if TYPE_CHECKING:
    from ._sequences import Sequences


@dataclass(frozen=True)
class Trace:
    """What happened inside one layer and direction; tensors are (T, B, ·), zero behind a row's end.

    Args:
        layer: the layer's number, from 0.
        direction: 0 forward, 1 reverse.
        output: what the layer put out; differs from the hidden state where an output layer is fed
            back.
        states: each state by its letter, after each step.
        gates: each gate by its letter, where the cell keeps it.
    """

    layer: int
    direction: int
    output: Tensor
    states: dict[str, Tensor]
    gates: dict[str, Tensor]

    def arranged(self, sequences: Sequences) -> Trace:
        """The same with batches laid out as the caller lays them out."""
        return replace(
            self,
            output=sequences.arrange(self.output),
            states={name: sequences.arrange(s) for name, s in self.states.items()},
            gates={name: sequences.arrange(s) for name, s in self.gates.items()},
        )


def trace_of(cell: Cell, layer: int, direction: int, found: list[Tensor]) -> Trace:
    """Names the sequences of a traced scan."""
    output, rest = found[0], found[1:]
    states = dict(zip(cell.states, rest, strict=False))
    saved = dict(zip(cell.saved, rest[len(cell.states) :], strict=True))
    gates = {name: saved[name] for name in cell.gates if name in saved}
    return Trace(layer, direction, output, states, gates)

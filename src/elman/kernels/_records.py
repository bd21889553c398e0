"""How much of a forward pass is kept for its gradient."""

import torch

from ._call import Call, extent_of, segment_size
from ._fields import BYTES, name_of
from ._machine import machine


def record_size(call: Call) -> int:
    """How many numbers a step of one sequence saves for the gradient."""
    here = machine()
    lanes = here.vector_bytes // BYTES[call.input.dtype]
    hidden = call.weights.ih.shape[0] // len(call.cell.gates)
    wide = (hidden + lanes - 1) // lanes * lanes
    _, saved = here.cells[name_of(call.cell)]
    size = (saved + len(call.cell.states) - 1) * wide
    if call.weights.ho is not None:
        size += wide
        if here.activations[call.cell.output.name][1]:
            size += (call.widths[0] + lanes - 1) // lanes * lanes
    size += wide if call.cell.two_products else 0
    # native/plan.h, record_size_of
    apart = call.input.dtype is torch.bfloat16 and size > 0 and size % 512 == 0
    return size + lanes if apart else size


def saved_size(call: Call, compact: bool = True) -> int:
    """How many numbers the forward pass keeps for the gradient; see `forward`."""
    steps, batch = extent_of(call, call.input)
    if call.checkpointed:
        # the states that are not put out, before each segment but the first
        lanes = machine().vector_bytes // BYTES[call.input.dtype]
        wide = sum((width + lanes - 1) // lanes * lanes for width in call.widths[1:])
        return segment_size(steps) * batch * wide
    if call.batch_sizes is not None:
        return len(call.input) * record_size(call)
    records = steps * batch
    if call.lengths is not None and compact:
        records = int(call.lengths.sum())
    return records * record_size(call)

"""What a gradient reads and the caller may change before one is wanted: outputs, in place, as
torch's layers allow; lengths, resets and batch sizes, which may be filled anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def copied(*cuts: Tensor | None) -> tuple[Tensor | None, ...]:
    """Copies of lengths, resets and batch sizes."""
    return tuple(None if cut is None else cut.clone() for cut in cuts)


def keep_output(ctx: Any, output: Tensor) -> Tensor:
    """What an autograd function saves of an output in place of the output, which autograd would
    refuse to give back once it was changed.
    """
    if output.is_inference():
        # autograd says that it saves none
        return output
    # shares the count of the output's changes, and none of its memory
    ctx.counter = output.detach()
    ctx.counter.data = _NOTHING
    ctx.count = output._version
    return output.data


_NOTHING = torch.empty(0)


def output_as_it_was(ctx: Any, saved: Tensor, again: Callable[[], Tensor]) -> Tensor:
    """The output as the forward pass gave it.

    Args:
        ctx: of the function that called `keep_output`.
        saved: what it gave.
        again: runs the forward pass once more, for an output that was changed.
    """
    return saved if ctx.counter._version == ctx.count else again()

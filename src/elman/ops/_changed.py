"""Outputs that a gradient reads and their user may change in place, as torch's layers allow."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


def keep_output(ctx: Any, output: Tensor) -> Tensor:
    """What an autograd function saves of an output in place of the output, which autograd would
    refuse to give back once it was changed.
    """
    # counts the changes of the output; what is saved counts none
    ctx.output, ctx.changes = output.detach(), output._version
    return output.data


def output_as_it_was(ctx: Any, saved: Tensor, again: Callable[[], Tensor]) -> Tensor:
    """The output as the forward pass gave it.

    Args:
        ctx: of the function that called `keep_output`.
        saved: what it gave.
        again: runs the forward pass once more, for an output that was changed; and for a further
            gradient of a graph that is retained, as the output is not kept alive for its sake.
    """
    output, ctx.output = ctx.output, None
    if output is not None and output._version == ctx.changes:
        return saved
    return again()

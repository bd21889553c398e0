"""Truncated backpropagation through time: windows of k1 new steps, gradients through k2."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BPTT = ("full", "truncated", "checkpointed")
"""How the gradient of a whole sequence may go back."""

Scan = Callable[..., tuple[Tensor, Any]]


def detach(state: Any) -> Any:
    """The state, a tensor or nested tuples of them, cut from the graph."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple):
        return tuple(detach(one) for one in state)
    return state


def scan_window(
    scan: Scan,
    input: Tensor,
    hx: Any = None,
    *,
    resets: Tensor | None = None,
    context: int = 0,
    next_context: int = 0,
    detach_every: int | None = None,
) -> tuple[Tensor, Any]:
    """Runs one window of truncated backpropagation through time.

    A window holds `context` steps again that the window before has had, so that gradients flow
    through them, and then its new steps. Windows of k1 new steps with gradients through k2 have
    `context = k2 - k1` if k2 > k1, and `detach_every = k2` if k2 < k1.

    Args:
        scan: `scan(input, hx, resets=...) -> (output, hx)`, a layer for instance.
        input: (context + k1, B, ...).
        hx: the state before the window's first step, as the window before handed it on; None for
            none.
        resets: (context + k1, B) bool or None.
        context: steps at the start whose output is dropped.
        next_context: steps at the end that the next window will hold again: the state handed on is
            the one before them.
        detach_every: steps between cuts of the gradient inside the window; None for no cut.

    Returns:
        The output of the new steps, and the state to hand on, cut from the graph.

    Raises:
        ValueError: the window has no new steps.

    Reference:
        Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of
        recurrent network trajectories".

    Example:
        >>> import torch
        >>> lstm, x = torch.nn.LSTM(3, 4), torch.randn(7, 2, 3)
        >>> output, carry = scan_window(lambda x, hx, resets: lstm(x, hx), x, context=2)
        >>> output.shape, carry[0].requires_grad
        (torch.Size([5, 2, 4]), False)
    """
    steps = len(input)
    if context >= steps:
        raise ValueError(
            f"scan_window: context={context} with an input of {steps} steps, none of them new; give"
            " more steps than the context has."
        )
    cuts = {context, steps - next_context, steps}
    if detach_every is not None:
        cuts |= set(range(context, steps, detach_every))
    outputs: list[Tensor] = []
    carry, start = detach(hx), 0
    for stop in sorted(cut for cut in cuts if 0 < cut <= steps):
        piece = None if resets is None else resets[start:stop]
        output, hx = scan(input[start:stop], hx, resets=piece)
        if start >= context:
            outputs.append(output)
        if stop == steps - next_context:
            carry = detach(hx)
        if detach_every is not None and (stop - context) % detach_every == 0:
            hx = detach(hx)
        start = stop
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0], carry


def scan_tail(layer: Any, input: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Runs whole sequences with gradients through each one's last steps alone.

    Args:
        layer: `layer(input, hx, lengths=...) -> (output, hx)`, of one direction.
        input: (T, B, I).
        lengths: (B,).
        steps: through which gradients flow, k2.

    Returns:
        The output (T, B, R).

    Raises:
        ValueError: the layer reads from both ends, or a sequence is longer than the input.

    Example:
        >>> import torch, elman
        >>> rnn, x = elman.nn.RNN(2, 3), torch.randn(9, 1, 2, requires_grad=True)
        >>> scan_tail(rnn, x, torch.tensor([9]), 4)[-1].sum().backward()
        >>> [bool(g.any()) for g in x.grad]
        [False, False, False, False, False, True, True, True, True]
    """
    if getattr(layer, "bidirectional", False):
        raise ValueError(
            "scan_tail: the layer has bidirectional=True, and the last steps of a sequence are the"
            " first of its other direction; give a layer of one direction, or run it on the whole."
        )
    if len(lengths) and int(lengths.max()) > len(input):
        row = int(lengths.argmax())
        raise ValueError(
            f"scan_tail: lengths[{row}] is {int(lengths[row])}, expected 0 to {len(input)}, the"
            " steps of the input."
        )
    cut = (lengths - steps).clamp(min=0)
    first = int(cut.max())
    if first == 0:
        return layer(input, lengths=lengths)[0]
    with torch.no_grad():
        head, hx = layer(input[:first], lengths=cut)
    rest = lengths - cut
    # each row's own last steps, moved to the start
    most = int(rest.max())
    time = (torch.arange(most)[:, None] + cut).clamp(max=len(input) - 1).to(input.device)
    rows = torch.arange(input.shape[1], device=input.device)
    tail, _ = layer(input[time, rows], hx, lengths=rest)
    there = (torch.arange(most)[:, None] < rest).to(input.device)
    # and back to where they were
    whole = torch.cat([head, head.new_zeros(len(input) - first, *head.shape[1:])])
    where = (time[there], rows.expand_as(time)[there])
    return whole.index_put(where, tail[there])

"""A term of the loss that keeps the gradient's size from step to step."""

from typing import Any

import torch
from torch import Tensor

from elman.diagnostics._flow import Flow, Place
from elman.nn import Recurrent
from elman.ops import Call, scan


def flow_penalty(
    layer: Recurrent,
    input: Tensor,
    flow: Flow,
    module: str = "",
    *,
    hx: Any = None,
    resets: Tensor | None = None,
) -> Tensor:
    r"""Pascanu's regulariser of the gradient's flow.

    .. math::
        \Omega = \frac{1}{T B} \sum_t \left( \frac{\| \delta_{t+1} \,
        \partial h_{t+1} / \partial h_t \|}{\| \delta_{t+1} \|} - 1 \right)^2,
        \quad \delta_t = \frac{\partial L}{\partial h_t}

    with the gradient by the weights of the step alone: the states and :math:`\delta` count as
    constants, as in the paper. Steps to which no gradient came are left out, and those before which
    the state began anew.

    Args:
        layer: a layer of one direction, whose backward pass was watched with `vectors=True`.
        input: what it was called with, (T, B, I), or (B, T, I) with `batch_first`.
        flow: what watched it.
        module: the layer's name in the watched model; empty if it is the model.
        hx: the state that it was called with, or None.
        resets: the resets that it was called with, or None.

    Returns:
        A scalar to add to the loss; its own backward pass reaches the layer's weights.

    Raises:
        ValueError: the layer was not watched with `vectors=True`, or has two directions.

    Reference:
        Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063, equation 9.

    Example:
        >>> import torch, elman
        >>> rnn, x = elman.nn.RNN(2, 3), torch.randn(6, 2, 2)
        >>> with elman.diagnostics.watch(rnn, vectors=True) as flow:
        ...     rnn(x)[0][-1].sum().backward()
        >>> flow_penalty(rnn, x, flow).backward()
    """
    if layer.bidirectional:
        raise ValueError("flow_penalty: the layer has two directions; give one of one direction.")
    with torch.no_grad():
        traces = layer.trace(input, hx, resets=resets)
    x = input.transpose(0, 1) if layer.batch_first else input
    anew = resets.T if resets is not None and layer.batch_first else resets
    terms: list[Tensor] = []
    for trace in traces:
        seen = flow.last.get(Place(module, trace.layer, 0))
        if seen is None or seen.vectors is None:
            raise ValueError(
                "flow_penalty: the layer's gradients were not seen; call backward within"
                " watch(model, vectors=True)."
            )
        states = dict(trace.states)
        states[layer.cell.states[0]] = trace.output
        if layer.batch_first:
            states = {name: s.transpose(0, 1) for name, s in states.items()}
        terms.append(_ratios(layer, trace.layer, x, states, seen.vectors, anew))
        below, x = x, states[layer.cell.states[0]]
        if layer.residual and trace.layer > 0:
            x = x + below
    return torch.stack(terms).mean()


def _ratios(
    layer: Recurrent,
    number: int,
    x: Tensor,
    states: dict[str, Tensor],
    deltas: dict[str, Tensor],
    anew: Tensor | None,
) -> Tensor:
    """The mean of (ratio - 1)² over the steps of one layer."""
    before = tuple(s[:-1].flatten(0, 1).detach().requires_grad_() for s in states.values())
    delta = tuple(deltas[name][1:].flatten(0, 1) for name in states)
    # every step of every sequence is a sequence of one step
    call = Call(
        layer.cell, layer.weights_of(number), x[1:].flatten(0, 1).unsqueeze(0).detach(), before
    )
    _, after = scan(call, backend="reference")
    # what a state's gradient owes to the fed-back state of the same step comes by that one
    more = (
        torch.autograd.grad(after[0], after[1:], delta[0], retain_graph=True) if after[1:] else ()
    )
    delta = (delta[0], *(d - m for d, m in zip(delta[1:], more, strict=True)))
    passed = torch.autograd.grad(after, before, delta, create_graph=True)
    size = sum(d.square().sum(-1) for d in delta)
    handed = sum(p.square().sum(-1) for p in passed)
    assert isinstance(size, Tensor)
    assert isinstance(handed, Tensor)
    there = size > 0
    if anew is not None:
        there = there & ~anew[1:].flatten(0, 1).to(there.device)
    if not bool(there.any()):
        return handed.sum() * 0
    ratio = (handed[there] / size[there]).clamp(min=1e-24).sqrt()
    return (ratio - 1).square().mean()

"""A term of the loss that keeps the gradient's size from step to step."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.diagnostics._flow import Flow, Place
from elman.nn import Recurrent, Trace, pad_packed_sequence
from elman.ops import Call, scan


def flow_penalty(
    layer: Recurrent,
    input: Tensor | PackedSequence,
    flow: Flow,
    module: str = "",
    *,
    hx: Any = None,
    resets: Any = None,
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
        input: what it was called with, (T, B, I), or (B, T, I) with `batch_first`, (T, I) for one
            sequence, or a PackedSequence.
        flow: what watched it.
        module: the layer's name in the watched model; empty if it is the model.
        hx: the state that it was called with, or None.
        resets: the resets that it was called with, or None.

    Returns:
        A scalar to add to the loss; its own backward pass reaches the layer's weights.

    Raises:
        ValueError: the layer was not watched with `vectors=True`, or on another input, or has two
            directions.

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
    x, order = _read(layer, input)
    anew = None if resets is None else torch.as_tensor(resets)
    if anew is not None:
        anew = anew[:, None] if anew.dim() == 1 else anew.T if layer.batch_first else anew
    terms: list[Tensor] = []
    for trace in traces:
        seen = flow.last.get(Place(module, trace.layer, 0))
        if seen is None or seen.vectors is None:
            raise ValueError(
                "flow_penalty: the layer's gradients were not seen; call backward within"
                " watch(model, vectors=True)."
            )
        states, deltas = _states_of(layer, trace), seen.vectors
        if order is not None:
            deltas = {name: one[:, order] for name, one in deltas.items()}
        _check_same(x, deltas)
        terms.append(_ratios(layer, trace.layer, x, states, deltas, anew))
        below, x = x, states[layer.cell.states[0]]
        if layer.residual and trace.layer > 0:
            x = x + below
    return torch.stack(terms).mean()


def _read(layer: Recurrent, input: Tensor | PackedSequence) -> tuple[Tensor, Tensor | None]:
    """The input as (T, B, I), and where its rows are among those that were watched, which are those
    of a PackedSequence longest first.
    """
    if isinstance(input, PackedSequence):
        padded, _ = pad_packed_sequence(input)
        return padded, input.unsorted_indices
    if input.dim() == 2:
        return input[:, None], None
    return input.transpose(0, 1) if layer.batch_first else input, None


def _states_of(layer: Recurrent, trace: Trace) -> dict[str, Tensor]:
    """The states that are fed back, (T, B, ·)."""
    states = {**trace.states, layer.cell.states[0]: trace.output}
    if layer.batch_first:
        return {name: s.transpose(0, 1) for name, s in states.items()}
    return states


def _check_same(x: Tensor, deltas: dict[str, Tensor]) -> None:
    (delta, *_) = deltas.values()
    if delta.shape[:2] != x.shape[:2]:
        given, watched = (f"{one.shape[0]} steps of {one.shape[1]} rows" for one in (x, delta))
        raise ValueError(
            f"flow_penalty: the input has {given}, and the backward pass that was watched last had"
            f" {watched}; give the input that the layer was called with then."
        )


def _ratios(
    layer: Recurrent,
    number: int,
    x: Tensor,
    states: dict[str, Tensor],
    deltas: dict[str, Tensor],
    anew: Tensor | None,
) -> Tensor:
    """The mean of (ratio - 1)² over the steps of one layer."""
    arrives = sum(deltas[name][1:].square().sum(-1) for name in states)
    assert isinstance(arrives, Tensor)
    there = arrives > 0
    if anew is not None:
        there = there & ~anew[1:].to(there.device)
    weights = layer.weights_of(number)
    if not bool(there.any()):
        return weights.hh[:0].sum()
    # every step of every sequence is a sequence of one step; what is behind a row's end, whatever
    # it is, is none
    before = tuple(s[:-1][there].detach().requires_grad_() for s in states.values())
    delta = tuple(deltas[name][1:][there] for name in states)
    call = Call(layer.cell, weights, x[1:][there].unsqueeze(0).detach(), before)
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
    left = size > 0
    if not bool(left.any()):
        return weights.hh[:0].sum()
    ratio = (handed[left] / size[left]).clamp(min=1e-24).sqrt()
    return (ratio - 1).square().mean()

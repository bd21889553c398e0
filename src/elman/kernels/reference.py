"""The reference: any cell, one step after another in plain torch, differentiable by autograd.

Slow and readable; every other backend is compared with it.
"""

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear
from torch.utils.checkpoint import checkpoint

from . import inside_torch
from ._call import Call, Zoneout, segment_size
from ._clip import clip_gradient
from ._segments import States, are_values_known, scan_pieces
from ._watching import Watching

Values = tuple[Tensor, ...]


def unsupported(call: Call) -> str | None:
    """Why this backend cannot run the call: it always can."""
    return None


def scan(call: Call) -> tuple[list[Tensor], States]:
    """Runs the call.

    Returns:
        The sequences and the final state. The sequences are the output (T, B, R); a traced call
        adds the hidden state and the other states (T, B, H) and then what the cell saves, in the
        order of `cell.saved`.
    """
    is_masked = call.watch is not None and torch.is_grad_enabled()
    if call.lengths is not None or call.resets is not None:
        is_masked = is_masked or not are_values_known(call)
    if is_masked:
        return _run_masked(call)
    return scan_pieces(call, lambda input, state: _run(call, input, state))


def _run_masked(call: Call) -> tuple[list[Tensor], States]:
    """All rows through all steps; a finished row keeps its state. For lengths and resets whose
    values are not known yet, and for gradients that are looked at step by step.
    """
    watching = None
    if call.watch is not None and torch.is_grad_enabled():
        watching = Watching(call)
    rows: list[list[Tensor]] = []
    state = call.first_state()
    device = call.input.device
    for t, step_input in enumerate(call.input.unbind()):
        lives = None if call.lengths is None else (t < call.lengths).to(device)[:, None]
        if call.resets is not None:
            mark = call.resets[t].to(device)[:, None]
            if lives is not None:
                # a reset behind a row's end does not touch its final state
                mark = mark & lives
            initial = call.initial or tuple(torch.zeros_like(s) for s in state)
            state = tuple(torch.where(mark, i, s) for i, s in zip(initial, state, strict=True))
        sequences, after = _run(call, step_input[None], state)
        if watching is not None:
            watching.hook(t, after)
        if lives is not None:
            sequences = [torch.where(lives, one, 0) for one in sequences]
            after = tuple(torch.where(lives, a, s) for a, s in zip(after, state, strict=True))
        state = after
        rows.append(sequences)
    if not rows:
        return _run(call, call.input, state)
    return [torch.cat(one) for one in zip(*rows, strict=True)], state


def _run(call: Call, input: Tensor, state: States) -> tuple[list[Tensor], States]:
    """A dense piece, step by step."""
    w = call.weights
    steps, batch = input.shape[:2]
    gates = len(call.cell.gates)
    # the inputs of all steps at once: they do not depend on the state
    wx = _product(input, w.ih, w.bias_ih, w.norm_ih).unflatten(-1, (gates, -1))
    if not steps:
        hidden = w.ih.shape[0] // gates
        widths = [state[0].shape[-1]]
        if call.traced:
            widths += [hidden] * (len(call.cell.states) + len(call.cell.saved))
        return [wx.new_empty(0, batch, width) for width in widths], state
    if not call.checkpointed or inside_torch.is_transforming():
        return _steps(call, wx, state)
    parts: list[list[Tensor]] = []
    for piece in wx.split(segment_size(steps)):
        sequences, state = checkpoint(_steps, call, piece, state, use_reentrant=False)
        parts.append(sequences)
    return [torch.cat(one) for one in zip(*parts, strict=True)], state


def _steps(call: Call, wx: Tensor, state: States) -> tuple[list[Tensor], States]:
    """Steps, one after another, from W_ih x + b_ih for each (t, B, G, H)."""
    rows: list[Values] = []
    # unbound at once: a step's own place would have a gradient as long as the sequence
    for one in wx.unbind():
        output, state, traced = _step(call, one.unbind(-2), state)
        rows.append((output, *traced) if call.traced else (output,))
    return [torch.stack(one) for one in zip(*rows, strict=True)], state


def _step(call: Call, wx: Values, state: States) -> tuple[Tensor, States, Values]:
    """One step: the product with what is fed back, the cell, the output layer."""
    cell, w = call.cell, call.weights
    if call.gradient_clip is not None:
        state = tuple(clip_gradient(s, call.gradient_clip) for s in state)
    if cell.two_products:
        state_after, saved = _two_products(call, wx, state)
    else:
        uh = _product(state[0], w.hh, w.bias_hh, w.norm_hh).unflatten(-1, (len(cell.gates), -1))
        state_after, saved = cell.step(wx, tuple(uh.unbind(-2)), state)
    if call.zoneout is not None:
        state_after = _zoned_out(call.zoneout, state, state_after)
    hidden = state_after
    if w.ho is not None:
        o = cell.output.f(linear(state_after[0], w.ho, w.bias_ho))
        state_after = (o, *state_after[1:])
    return state_after[0], state_after, (*hidden, *saved)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, gain: Tensor | None) -> Tensor:
    """W x + b; with a gain g ⊙ (W x - mean) / deviation + b, over all gates together (Ba, Kiros &
    Hinton 2016, arXiv:1607.06450).
    """
    if gain is None:
        return linear(x, weight, bias)
    return layer_norm(linear(x, weight), gain.shape, gain, bias)


def _zoned_out(zoneout: Zoneout, before: Values, after: Values) -> Values:
    """The states of which some entries stay as they were."""
    mixed: list[Tensor] = []
    for old, new in zip(before, after, strict=True):
        if zoneout.drawn:
            stays = torch.rand_like(new) < zoneout.share
            mixed.append(torch.where(stays, old, new))
        else:
            mixed.append(torch.lerp(new, old, zoneout.share))
    return tuple(mixed)


def _two_products(call: Call, wx: Values, state: States) -> tuple[States, Values]:
    """A step whose last gates multiply an operand made of the first ones."""
    cell, w = call.cell, call.weights
    if cell.operand is None:
        raise TypeError(f"{cell.name}: the cell has no operand, so it has one product.")
    first = len(cell.first)
    rows = first * (w.hh.shape[0] // len(cell.gates))
    bias_first = None if w.bias_hh is None else w.bias_hh[:rows]
    bias_rest = None if w.bias_hh is None else w.bias_hh[rows:]
    uh = linear(state[0], w.hh[:rows], bias_first).unflatten(-1, (first, -1)).unbind(-2)
    (operand,), _ = cell.operand(wx[:first], tuple(uh), state)
    rest = linear(operand, w.hh[rows:], bias_rest)
    return cell.step(
        wx, (*uh, *rest.unflatten(-1, (len(cell.gates) - first, -1)).unbind(-2)), state
    )

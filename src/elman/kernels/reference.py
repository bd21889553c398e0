"""The reference: any cell, one step after another in plain torch, differentiable by autograd.

Slow and readable; every other backend is compared with it.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

from ._call import Call
from ._segments import States, are_values_known, scan_pieces

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
    if (call.lengths is not None or call.resets is not None) and not are_values_known(call):
        return _run_masked(call)
    return scan_pieces(call, lambda input, state: _run(call, input, state))


def _run_masked(call: Call) -> tuple[list[Tensor], States]:
    """All rows through all steps; a finished row keeps its state. For lengths and resets whose
    values are not known yet.
    """
    rows: list[list[Tensor]] = []
    state = call.first_state()
    for t in range(call.input.shape[0]):
        if call.resets is not None:
            mark = call.resets[t].to(state[0].device)[:, None]
            initial = call.initial or tuple(torch.zeros_like(s) for s in state)
            state = tuple(torch.where(mark, i, s) for i, s in zip(initial, state, strict=True))
        sequences, after = _run(call, call.input[t : t + 1], state)
        if call.lengths is not None:
            lives = (t < call.lengths).to(state[0].device)[:, None]
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
    wx = linear(input, w.ih, w.bias_ih).unflatten(-1, (gates, -1))
    rows: list[Values] = []
    for t in range(steps):
        output, state, traced = _step(call, tuple(wx[t].unbind(-2)), state)
        rows.append((output, *traced) if call.traced else (output,))
    if not rows:
        hidden = w.ih.shape[0] // gates
        widths = [state[0].shape[-1]]
        if call.traced:
            widths += [hidden] * (len(call.cell.states) + len(call.cell.saved))
        return [wx.new_empty(0, batch, width) for width in widths], state
    return [torch.stack(one) for one in zip(*rows, strict=True)], state


def _step(call: Call, wx: Values, state: States) -> tuple[Tensor, States, Values]:
    """One step: the product with what is fed back, the cell, the output layer."""
    cell, w = call.cell, call.weights
    if cell.two_products:
        state_after, saved = _two_products(call, wx, state)
    else:
        uh = linear(state[0], w.hh, w.bias_hh).unflatten(-1, (len(cell.gates), -1))
        state_after, saved = cell.step(wx, tuple(uh.unbind(-2)), state)
    hidden = state_after
    if w.ho is not None:
        o = cell.output.f(linear(state_after[0], w.ho, w.bias_ho))
        state_after = (o, *state_after[1:])
    return state_after[0], state_after, (*hidden, *saved)


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

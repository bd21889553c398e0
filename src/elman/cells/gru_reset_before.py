"""The gated recurrent unit, with the reset gate before the product, as first published.

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder",
https://arxiv.org/abs/1406.1078v3
"""

from ._cell import Cell
from ._vocabulary import Values, sigmoid, tanh, zeros_like

GATES, STATES, SAVED = ("r", "z", "n"), ("h",), ("z", "n")
FIRST = ("r", "z")


def operand(wx: Values, uh: Values, state: Values) -> tuple[Values, Values]:
    """What the candidate's product multiplies: the state behind the reset gate."""
    wx_r, _ = wx
    uh_r, _ = uh
    (h,) = state
    r = sigmoid(wx_r + uh_r)
    return (r * h,), (r,)


def operand_backward(
    doperand: Values, state: Values, saved: Values
) -> tuple[Values, Values, Values]:
    """The gradient of `operand`."""
    (drh,) = doperand
    (h,) = state
    (r,) = saved
    dwx_r = drh * h * r * (1 - r)
    return (dwx_r, zeros_like(dwx_r)), (dwx_r, zeros_like(dwx_r)), (drh * r,)


def step(wx: Values, uh: Values, state: Values) -> tuple[Values, Values]:
    """One step; the product of gate n is with the operand."""
    _, wx_z, wx_n = wx
    _, uh_z, uh_n = uh
    (h,) = state
    z = sigmoid(wx_z + uh_z)
    n = tanh(wx_n + uh_n)
    h = n + z * (h - n)
    return (h,), (z, n)


def step_backward(
    dstate: Values, state: Values, after: Values, saved: Values
) -> tuple[Values, Values, Values]:
    """The gradient of `step`; the reset gate's comes from `operand_backward`."""
    (dh,) = dstate
    (h,) = state
    z, n = saved
    dwx_n = dh * (1 - z) * (1 - n * n)
    dwx_z = dh * (h - n) * z * (1 - z)
    return (zeros_like(dh), dwx_z, dwx_n), (zeros_like(dh), dwx_z, dwx_n), (dh * z,)


cell = Cell(
    "GRU",
    GATES,
    STATES,
    SAVED,
    step,
    step_backward,
    first=FIRST,
    operand=operand,
    operand_backward=operand_backward,
    native="gru_reset_before",
)

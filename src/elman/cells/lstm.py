"""The long short-term memory, with a forget gate.

Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9; Gers, Schmidhuber &
Cummins 2000, "Learning to forget", Neural Computation 12. With a projection of the output: Sak,
Senior & Beaufays 2014, https://arxiv.org/abs/1402.1128
"""

from ._cell import Cell
from ._vocabulary import Values, sigmoid, tanh, zeros_like

GATES, STATES, SAVED = ("i", "f", "g", "o"), ("h", "c"), ("i", "f", "g", "o")


def step(wx: Values, uh: Values, state: Values) -> tuple[Values, Values]:
    """One step."""
    wx_i, wx_f, wx_g, wx_o = wx
    uh_i, uh_f, uh_g, uh_o = uh
    (_, c) = state
    i = sigmoid(wx_i + uh_i)
    f = sigmoid(wx_f + uh_f)
    g = tanh(wx_g + uh_g)
    o = sigmoid(wx_o + uh_o)
    c = f * c + i * g
    h = o * tanh(c)
    return (h, c), (i, f, g, o)


def step_backward(
    dstate: Values, state: Values, after: Values, saved: Values
) -> tuple[Values, Values, Values]:
    """The gradient of `step`."""
    (dh, dc) = dstate
    (_, c) = state
    (_, c_after) = after
    i, f, g, o = saved
    y = tanh(c_after)
    dc = dc + dh * o * (1 - y * y)
    dwx_i = dc * g * i * (1 - i)
    dwx_f = dc * c * f * (1 - f)
    dwx_g = dc * i * (1 - g * g)
    dwx_o = dh * y * o * (1 - o)
    dwx = (dwx_i, dwx_f, dwx_g, dwx_o)
    return dwx, dwx, (zeros_like(dh), dc * f)


cell = Cell("LSTM", GATES, STATES, SAVED, step, step_backward, native="lstm")

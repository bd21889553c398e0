"""The gated recurrent unit, with the reset gate after the product, as cuDNN and torch have it.

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder",
https://arxiv.org/abs/1406.1078v1
"""

from ._cell import Cell
from ._vocabulary import Values, sigmoid, tanh

GATES, STATES, SAVED = ("r", "z", "n"), ("h",), ("r", "z", "n", "uh_n")


def step(wx: Values, uh: Values, state: Values) -> tuple[Values, Values]:
    """One step."""
    wx_r, wx_z, wx_n = wx
    uh_r, uh_z, uh_n = uh
    (h,) = state
    r = sigmoid(wx_r + uh_r)
    z = sigmoid(wx_z + uh_z)
    n = tanh(wx_n + r * uh_n)
    h = n + z * (h - n)
    return (h,), (r, z, n, uh_n)


def step_backward(
    dstate: Values, state: Values, after: Values, saved: Values
) -> tuple[Values, Values, Values]:
    """The gradient of `step`."""
    (dh,) = dstate
    (h,) = state
    r, z, n, uh_n = saved
    dwx_n = dh * (1 - z) * (1 - n * n)
    dwx_z = dh * (h - n) * z * (1 - z)
    dwx_r = dwx_n * uh_n * r * (1 - r)
    return (dwx_r, dwx_z, dwx_n), (dwx_r, dwx_z, dwx_n * r), (dh * z,)


cell = Cell("GRU", GATES, STATES, SAVED, step, step_backward, native="gru")

"""The one table of cells: every contract, gradient and property test runs over it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import elman
from elman.cells import Cell, gru, gru_reset_before, lstm, rnn


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def numpy_rnn(x, h, p):
    return (np.tanh(p["U"] @ x + p["b"] + p["W"] @ h[0] + p["d"]),)


def numpy_relu_rnn(x, h, p):
    return (np.maximum(p["U"] @ x + p["b"] + p["W"] @ h[0] + p["d"], 0),)


def _gates(x, h, p, count):
    return np.split(p["U"] @ x + p["b"], count), np.split(p["W"] @ h + p["d"], count)


def numpy_gru(x, h, p):
    (xr, xz, xn), (hr, hz, hn) = _gates(x, h[0], p, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    return ((1 - z) * n + z * h[0],)


def numpy_gru_reset_before(x, h, p):
    (xr, xz, xn), (hr, hz, _) = _gates(x, h[0], p, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    hidden = len(h[0])
    n = np.tanh(xn + p["W"][2 * hidden :] @ (r * h[0]) + p["d"][2 * hidden :])
    return ((1 - z) * n + z * h[0],)


def numpy_lstm(x, h, p):
    (xi, xf, xg, xo), (hi, hf, hg, ho) = _gates(x, h[0], p, 4)
    c = sigmoid(xf + hf) * h[1] + sigmoid(xi + hi) * np.tanh(xg + hg)
    return (sigmoid(xo + ho) * np.tanh(c), c)


@dataclass(frozen=True)
class Case:
    """A cell, its layer, a transcription of its paper, and torch's layer where there is one."""

    name: str
    cell: Cell
    layer: type
    oracle: Any
    torch_layer: type | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def make(self, *sizes, **more):
        return self.layer(*sizes, **self.arguments, **more)


CASES = [
    Case("rnn", rnn.cell(), elman.nn.RNN, numpy_rnn, torch.nn.RNN),
    Case(
        "rnn-relu", rnn.cell("relu"), elman.nn.RNN, numpy_relu_rnn, torch.nn.RNN,
        {"nonlinearity": "relu"},
    ),
    Case("gru", gru.cell, elman.nn.GRU, numpy_gru, torch.nn.GRU),
    Case(
        "gru-reset-before", gru_reset_before.cell, elman.nn.GRU, numpy_gru_reset_before, None,
        {"reset_gate": "before"},
    ),
    Case("lstm", lstm.cell, elman.nn.LSTM, numpy_lstm, torch.nn.LSTM),
]  # fmt: skip
IN_TORCH = [case for case in CASES if case.torch_layer]


def named(cases):
    return {"argvalues": cases, "ids": [case.name for case in cases]}


def states(hx):
    return (hx,) if isinstance(hx, torch.Tensor) else tuple(hx)

"""The simple recurrent network: h(t) = f(U x(t) + W h(t-1) + b).

Elman 1990, "Finding structure in time", Cognitive Science 14. With the output fed back instead of
the hidden state it is the network of Jordan 1986, "Serial order: a parallel distributed processing
approach".
"""

from collections.abc import Callable
from functools import partial

from ._cell import Cell
from ._nonlinearity import Nonlinearity, nonlinearity
from ._vocabulary import Value, Values, zeros_like

GATES, STATES, SAVED = ("h",), ("h",), ("a",)


def step(
    wx: Values, uh: Values, state: Values, f: Callable[[Value], Value]
) -> tuple[Values, Values]:
    """One step; saves the sum before the nonlinearity."""
    (wx_h,) = wx
    (uh_h,) = uh
    a = wx_h + uh_h
    h = f(a)
    return (h,), (a,)


def step_backward(
    dstate: Values,
    state: Values,
    after: Values,
    saved: Values,
    derivative: Callable[[Value, Value], Value],
) -> tuple[Values, Values, Values]:
    """The gradient of `step`; nothing but the product carries it to the state before."""
    (dh,) = dstate
    (h,) = after
    (a,) = saved
    da = dh * derivative(a, h)
    return (da,), (da,), (zeros_like(dh),)


def cell(
    f: str | Nonlinearity | Callable[[Value], Value] = "tanh",
    output: str | Nonlinearity | Callable[[Value], Value] = "identity",
) -> Cell:
    """The cell with nonlinearity `f`; `output` is g of the output layer, where the output is fed
    back.

    Example:
        >>> cell("relu").gates
        ('h',)
    """
    chosen = nonlinearity(f)
    return Cell(
        "RNN",
        GATES,
        STATES,
        SAVED,
        partial(step, f=chosen.f),
        partial(step_backward, derivative=chosen.derivative or _no_derivative),
        f=chosen,
        output=nonlinearity(output),
        native=f"rnn_{chosen.name}" if chosen.is_registered else None,
    )


def _no_derivative(a: Value, y: Value) -> Value:
    raise NotImplementedError(
        "rnn.step_backward: the nonlinearity came without a derivative; give"
        " Nonlinearity(name, f, derivative)."
    )

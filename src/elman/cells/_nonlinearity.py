"""Nonlinearities by name: the function and its derivative."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from ._vocabulary import (
    Value,
    abs,
    cos,
    exp,
    log1p,
    maximum,
    relu,
    sigmoid,
    sin,
    tanh,
    where,
    zeros_like,
)


@dataclass(frozen=True)
class Nonlinearity:
    """A function f, element by element, and its derivative.

    Args:
        name: how it is called in a layer's arguments.
        f: y = f(a), written in the cell vocabulary.
        derivative: f'(a) from a and y = f(a); None for a function given without one (autograd
            differentiates it).
    """

    name: str
    f: Callable[[Value], Value]
    derivative: Callable[[Value, Value], Value] | None = None

    @property
    def is_registered(self) -> bool:
        """Whether it is one of the registry, not a function of the user's own."""
        return NONLINEARITIES.get(self.name) == self


def _identity(a: Value) -> Value:
    return a


def _d_identity(a: Value, y: Value) -> Value:
    return zeros_like(a) + 1


def _d_tanh(a: Value, y: Value) -> Value:
    return 1 - y * y


def _d_sigmoid(a: Value, y: Value) -> Value:
    return y * (1 - y)


def _d_relu(a: Value, y: Value) -> Value:
    return where(y > 0, zeros_like(a) + 1, zeros_like(a))


def _leaky_relu(a: Value) -> Value:
    return where(a > 0, a, 0.01 * a)


def _d_leaky_relu(a: Value, y: Value) -> Value:
    return where(y > 0, zeros_like(a) + 1, zeros_like(a) + 0.01)


def _elu(a: Value) -> Value:
    return where(a > 0, a, exp(where(a > 0, zeros_like(a), a)) - 1)


def _d_elu(a: Value, y: Value) -> Value:
    return where(y > 0, zeros_like(a) + 1, y + 1)


def _softplus(a: Value) -> Value:
    return maximum(a, zeros_like(a)) + log1p(exp(-abs(a)))


def _d_softplus(a: Value, y: Value) -> Value:
    return sigmoid(a)


def _softsign(a: Value) -> Value:
    return a / (1 + abs(a))


def _d_softsign(a: Value, y: Value) -> Value:
    return (1 - abs(y)) * (1 - abs(y))


def _silu(a: Value) -> Value:
    return a * sigmoid(a)


def _d_silu(a: Value, y: Value) -> Value:
    s = sigmoid(a)
    return s + y * (1 - s)


def _hardtanh(a: Value) -> Value:
    return where(a >= 1, zeros_like(a) + 1, where(a <= -1, zeros_like(a) - 1, a))


def _d_hardtanh(a: Value, y: Value) -> Value:
    return where(abs(y) < 1, zeros_like(a) + 1, zeros_like(a))


def _hard_sigmoid(a: Value) -> Value:
    y = 0.2 * a + 0.5
    return where(y >= 1, zeros_like(a) + 1, where(y <= 0, zeros_like(a), y))


def _d_hard_sigmoid(a: Value, y: Value) -> Value:
    return where(abs(y - 0.5) < 0.5, zeros_like(a) + 0.2, zeros_like(a))


def _sin(a: Value) -> Value:
    return sin(a)


def _d_sin(a: Value, y: Value) -> Value:
    return cos(a)


NONLINEARITIES: dict[str, Nonlinearity] = {
    one.name: one
    for one in (
        Nonlinearity("elu", _elu, _d_elu),
        Nonlinearity("hard_sigmoid", _hard_sigmoid, _d_hard_sigmoid),
        Nonlinearity("hardtanh", _hardtanh, _d_hardtanh),
        Nonlinearity("identity", _identity, _d_identity),
        Nonlinearity("leaky_relu", _leaky_relu, _d_leaky_relu),
        Nonlinearity("relu", relu, _d_relu),
        Nonlinearity("sigmoid", sigmoid, _d_sigmoid),
        Nonlinearity("silu", _silu, _d_silu),
        Nonlinearity("sin", _sin, _d_sin),
        Nonlinearity("softplus", _softplus, _d_softplus),
        Nonlinearity("softsign", _softsign, _d_softsign),
        Nonlinearity("tanh", tanh, _d_tanh),
    )
}


def nonlinearity(which: str | Nonlinearity | Callable[[Value], Value]) -> Nonlinearity:
    """Finds a nonlinearity by name, or takes a function written in the cell vocabulary.

    Args:
        which: a name of the registry, a `Nonlinearity`, or a function of one array.

    Returns:
        The nonlinearity.

    Raises:
        TypeError: it is a class, or neither a name nor a function.
        ValueError: the name is not in the registry.

    Example:
        >>> nonlinearity("tanh").name
        'tanh'
    """
    if isinstance(which, Nonlinearity):
        return which
    if not isinstance(which, str):
        # the caller may give anything
        if isinstance(which, type):
            raise TypeError(
                f"nonlinearity: {which.__name__} is a class; give an instance of it,"
                f" {which.__name__}(), a function of one array, or one of"
                f" {', '.join(NONLINEARITIES)}."
            )
        if not callable(which):  # pyright: ignore[reportUnnecessaryComparison]
            raise TypeError(
                f"nonlinearity: {which!r} is neither a name nor a function; give one of"
                f" {', '.join(NONLINEARITIES)}, or a function of one array."
            )
        return Nonlinearity(getattr(which, "__name__", repr(which)), which)
    if which not in NONLINEARITIES:
        near = get_close_matches(which, NONLINEARITIES, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"nonlinearity: {which!r} is not known{meant}; give one of {', '.join(NONLINEARITIES)},"
            " or a function of one array."
        )
    return NONLINEARITIES[which]

"""What a layer's text says of it."""

from inspect import signature
from typing import Any


def described(layer: Any) -> str:
    """The sizes, and the other arguments of the layer's class that differ from their defaults."""
    parts = [str(layer.input_size), str(layer.hidden_size)]
    for name, parameter in signature(type(layer)).parameters.items():
        value = getattr(layer, name, parameter.default)
        if parameter.default is not parameter.empty and value != parameter.default:
            parts.append(f"{name}={getattr(value, '__name__', repr(value))}")
    return ", ".join(parts)

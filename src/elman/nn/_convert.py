"""Replaces torch's recurrent layers inside a model."""

from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ._cells import GRUCell, LSTMCell, RNNCell
from ._gru import GRU
from ._lstm import LSTM
from ._rnn import RNN


def convert(model: nn.Module) -> Any:
    """Replaces every torch.nn RNN, GRU, LSTM and their cells inside a model, in place.

    The parameters stay the same objects, so an optimiser that holds them goes on; names, values,
    mode, types and device stay as well, and so do buffers, modules and attributes that were added
    to a layer. Layers of a class of your own, derived from torch's, are left as they are.

    Args:
        model: any module; if it is itself one of torch's recurrent layers, its replacement is
            returned.

    Returns:
        The model.

    Raises:
        ValueError: a layer carries hooks, parametrisations or a method of its own, which would be
            lost, or an attribute that the new one has for itself; no layer was replaced.

    Example:
        >>> import torch, elman
        >>> model = torch.nn.Sequential(torch.nn.GRU(3, 4))
        >>> type(elman.nn.convert(model)[0])
        <class 'elman.nn.GRU'>
    """
    made = {
        layer: _replacement(layer, kind, name or kind.__name__)
        for name, layer in model.named_modules()
        if (kind := _kind(layer)) is not None
    }
    # a layer may hold further ones
    for parent in [*model.modules(), *made.values()]:
        # named_children gives a module that is used twice only once
        for name, child in list(parent._modules.items()):  # pyright: ignore[reportPrivateUsage]
            if child in made:
                setattr(parent, name, made[child])
    return made.get(model, model)


_SEQUENCE = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)
_ARGUMENTS: dict[type[nn.Module], tuple[type[nn.Module], tuple[str, ...]]] = {
    nn.RNN: (RNN, (*_SEQUENCE, "nonlinearity")),
    nn.GRU: (GRU, _SEQUENCE),
    nn.LSTM: (LSTM, (*_SEQUENCE, "proj_size")),
    nn.RNNCell: (RNNCell, ("input_size", "hidden_size", "bias", "nonlinearity")),
    nn.GRUCell: (GRUCell, ("input_size", "hidden_size", "bias")),
    nn.LSTMCell: (LSTMCell, ("input_size", "hidden_size", "bias")),
}


def _kind(layer: nn.Module) -> type[nn.Module] | None:
    """Which of torch's layers it is; a parametrised one is of a class that torch derived."""
    kind = type(layer)
    if is_parametrized(layer):
        kind = kind.__bases__[0]
    return kind if kind in _ARGUMENTS else None


def _replacement(layer: Any, kind: type[nn.Module], name: str) -> nn.Module:
    where = f"convert: the layer {name!r} ({kind.__name__})"
    _refuse_hooks(where, layer)
    made, arguments = _ARGUMENTS[kind]
    # meta: nothing is drawn, the parameters are the old layer's own
    new: Any = made(**{a: getattr(layer, a) for a in arguments}, device="meta")
    for key in list(new._parameters):
        delattr(new, key)
    _carry_over(where, layer, set(vars(kind(1, 1, device="meta"))), new)
    return new


def _refuse_hooks(where: str, layer: Any) -> None:
    """Raises for what acts on a layer from outside and would be lost with it."""
    found = {
        "parametrisations": list(layer.parametrizations) if is_parametrized(layer) else [],
        "hooks": [k[1:-6] for k, hooks in vars(layer).items() if k.endswith("_hooks") and hooks],
    }
    for what, names in found.items():
        if names:
            raise ValueError(
                f"{where} carries {what} ({', '.join(names)}), which would be lost; remove them and"
                " register them on the new layer."
            )


def _carry_over(where: str, layer: Any, known: set[str], new: Any) -> None:
    """Gives the new layer the old one's parameters and mode, and what was added to it.

    Args:
        where: which layer it is, for the message.
        layer: the old one.
        known: the attributes that torch's layer has by itself.
        new: the new one, without parameters.
    """
    added = [key for key in vars(layer) if key not in known]
    for key in (*added, *layer._parameters, *layer._buffers, *layer._modules):
        if hasattr(new, key):
            raise ValueError(
                f"{where} carries an attribute {key!r}, and a {type(new).__name__} of elman.nn has"
                " its own of that name; remove it, or give it another name."
            )
    for key, parameter in layer._parameters.items():
        new.register_parameter(key, parameter)
    for key, buffer in layer._buffers.items():
        persistent = key not in layer._non_persistent_buffers_set
        new.register_buffer(key, buffer, persistent)
    for key, module in layer._modules.items():
        new.add_module(key, module)
    for key in added:
        setattr(new, key, getattr(layer, key))
    # not of the modules that were added: they have their own
    new.training = layer.training

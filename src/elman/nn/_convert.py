"""Replaces torch's recurrent layers inside a model."""

from typing import Any

from torch import nn

from ._cells import GRUCell, LSTMCell, RNNCell
from ._gru import GRU
from ._lstm import LSTM
from ._rnn import RNN


def convert(model: nn.Module) -> Any:
    """Replaces every torch.nn RNN, GRU, LSTM and their cells inside a model, in place.

    The parameters stay the same objects, so an optimiser that holds them goes on; names, values,
    mode and device stay as well.

    Args:
        model: any module; if it is itself one of torch's recurrent layers, its replacement is
            returned.

    Returns:
        The model.

    Raises:
        ValueError: a layer carries hooks, which would be lost.

    Example:
        >>> import torch, elman
        >>> model = torch.nn.Sequential(torch.nn.GRU(3, 4))
        >>> type(elman.nn.convert(model)[0])
        <class 'elman.nn.GRU'>
    """
    replaced: dict[int, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in _ARGUMENTS:
                if id(child) not in replaced:
                    replaced[id(child)] = _replacement(child, name)
                setattr(parent, name, replaced[id(child)])
        # named_children gives a module that is used twice only once
        for name, child in list(parent._modules.items()):  # pyright: ignore[reportPrivateUsage]
            if child is not None and id(child) in replaced:
                setattr(parent, name, replaced[id(child)])
    return _replacement(model, type(model).__name__) if type(model) in _ARGUMENTS else model


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


def _replacement(layer: nn.Module, name: str) -> nn.Module:
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:  # pyright: ignore[reportPrivateUsage]
        raise ValueError(
            f"convert: the layer {name!r} ({type(layer).__name__}) carries hooks, which would be"
            " lost; remove them and register them on the new layer."
        )
    made, arguments = _ARGUMENTS[type(layer)]
    # meta: nothing is drawn, the parameters are the old layer's own
    new = made(**{a: getattr(layer, a) for a in arguments}, device="meta")
    for key, parameter in layer.named_parameters(remove_duplicate=False):
        setattr(new, key, parameter)
    return new.train(layer.training)

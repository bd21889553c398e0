"""Checks of a layer's arguments, with torch's rules and one form of message."""

import warnings
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.cells import Cell
from elman.ops import is_integer, is_lowered, is_number

INITS = ("torch", "recurrent")
INITIAL_STATES = ("zeros", "learned")
BPTT = ("full", "checkpointed")


def check_options(layer: Any) -> None:
    """Raises for constructor arguments that no layer can have."""
    where = type(layer).__name__
    for name in ("input_size", "hidden_size", "num_layers"):
        check_positive(where, name, getattr(layer, name))
    for name in ("bias", "batch_first", "bidirectional", "residual", "layer_norm"):
        check_flag(where, name, getattr(layer, name))
    for name in ("dropout", "recurrent_dropout", "zoneout"):
        if not 0 <= getattr(layer, name) <= 1:
            raise ValueError(f"{where}: {name}={getattr(layer, name)} lies outside [0, 1].")
    check_one_of(where, "init", layer.init, INITS)
    check_one_of(where, "initial_state", layer.initial_state, INITIAL_STATES)
    check_one_of(where, "bptt", layer.bptt, BPTT)
    clip = layer.gradient_clip
    if clip is not None and not (is_number(clip) and clip > 0):
        raise ValueError(f"{where}: gradient_clip={clip!r}; give a number above zero, or None.")
    if layer.dropout > 0 and layer.num_layers == 1:
        warnings.warn(
            f"{where}: dropout={layer.dropout} acts between layers, and num_layers is 1:"
            " it does nothing.",
            stacklevel=4,
        )
    if layer.zoneout and layer.fed_back:
        raise ValueError(
            f"{where}: zoneout={layer.zoneout} keeps the state h, and an output or a projection is"
            " fed back in its place; leave one of them out."
        )
    if layer.layer_norm and layer.cell.two_products:
        raise ValueError(
            f"{where}: layer_norm=True normalises one product W h, and this cell has two; give"
            ' reset_gate="after".'
        )
    if layer.residual and layer.num_layers == 1:
        raise ValueError(
            f"{where}: residual=True adds a layer's input to its output above the first one, and"
            " num_layers is 1; leave it out."
        )


def checked_number(layer: Any, name: str, value: Any) -> float:
    """A probability of a layer as a float; raises where it is no number."""
    if not is_number(value):
        where = type(layer).__name__
        raise ValueError(f"{where}: {name}={value!r} is no number; give one in [0, 1].")
    return float(value)


def check_positive(where: str, name: str, value: Any) -> None:
    """Raises unless the value is an int above zero."""
    if not is_integer(value):
        raise TypeError(f"{where}: {name}={value!r} is no int; give a whole number above zero.")
    if value <= 0:
        raise ValueError(f"{where}: {name}={value}; give a whole number above zero.")


def check_flag(where: str, name: str, value: Any) -> None:
    """Raises unless the value is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{where}: {name}={value!r} is no bool; give True or False.")


def check_one_of(where: str, name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raises unless the value is one of the known words."""
    if value not in known:
        raise ValueError(f"{where}: {name}={value!r} is not known; give one of {', '.join(known)}.")


def check_recurrent(where: str, layers: Any) -> None:
    """Raises unless these are recurrent layers."""
    if isinstance(layers, type):
        raise TypeError(
            f"{where}: the layers are the class {layers.__name__}; give a layer that was made of"
            " it, with its sizes."
        )
    if not hasattr(layers, "state_size"):
        raise TypeError(
            f"{where}: the layers are a {type(layers).__module__}.{type(layers).__name__}; give an"
            " RNN, GRU or LSTM of elman.nn. elman.nn.convert makes one of torch's."
        )


def check_layers(where: str, layers: Any) -> None:
    """Raises unless these are recurrent layers that take (T, B, I)."""
    check_recurrent(where, layers)
    if layers.batch_first:
        raise ValueError(f"{where}: the layers are batch_first; give such as take (T, B, I).")


def check_tensor(where: str, name: str, value: Any) -> None:
    """Raises unless the value is a tensor."""
    if isinstance(value, PackedSequence):
        raise TypeError(
            f"{where}: {name} is a PackedSequence; give a tensor, which"
            " elman.nn.pad_packed_sequence makes of it."
        )
    if not isinstance(value, Tensor):
        raise TypeError(f"{where}: {name} is a {type(value).__name__}; give a tensor.")


def check_dtype(where: str, input: Tensor, weight: Tensor) -> None:
    """Raises ValueError where an input is of another type than the weights, and autocast is off."""
    if input.dtype == weight.dtype or is_lowered(input):
        return
    raise ValueError(
        f"{where}: input is {input.dtype}, but the weights are {weight.dtype}; convert one:"
        f" input.to({weight.dtype}) or layer.to({input.dtype})."
    )


def check_states_dtype(where: str, cell: Cell, states: tuple[Tensor, ...], input: Tensor) -> None:
    """Raises ValueError where a state is of another type than the input, and autocast is off."""
    for letter, state in zip(cell.states, states, strict=True):
        if state.dtype != input.dtype and not is_lowered(input):
            raise ValueError(
                f"{where}: hx: {letter} is {state.dtype}, but the input is {input.dtype}; convert"
                f" one: {letter}.to({input.dtype})."
            )


def check_state(
    where: str, cell: Cell, hx: Any, shapes: list[tuple[int, ...]], form: str
) -> tuple[Tensor, ...]:
    """The state as a tuple of tensors; raises where a part is missing or misshapen.

    Args:
        where: whose state it is, for the message.
        cell: whose states they are.
        hx: what was given.
        shapes: the expected shape of each state.
        form: that shape in letters, for the message.
    """
    letters = cell.states
    if len(letters) == 1:
        if not isinstance(hx, Tensor):
            raise TypeError(f"{where}: hx is a {type(hx).__name__}; give one tensor, h_0.")
        hx = (hx,)
    if not isinstance(hx, tuple | list) or len(hx) != len(letters):
        raise TypeError(
            f"{where}: hx is not a tuple of {len(letters)} tensors; give ({', '.join(letters)})."
        )
    for letter, tensor, shape in zip(letters, hx, shapes, strict=True):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{where}: hx: {letter} is a {type(tensor).__name__}; give a tensor, or None in"
                " place of the whole hx for zeros."
            )
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{where}: hx: {letter} has shape {tuple(tensor.shape)}, expected {shape}, {form}."
            )
    return tuple(hx)

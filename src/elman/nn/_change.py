"""A layer of another cell in a layer's place."""

from typing import Any

from elman.cells import nonlinearity as named_nonlinearity
from elman.cells import rnn

from ._check import check_one_of, check_recurrent
from ._gru import GRU
from ._lstm import LSTM
from ._recurrent import Recurrent
from ._rnn import RNN

_CELLS: dict[str, type[Any]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def change_cell(
    layer: Recurrent, *, cell: str | None = None, nonlinearity: str | None = None
) -> Recurrent:
    """A layer like another one, of another cell and freshly drawn; or the same layer, its weights
    as they are, with another nonlinearity.

    Args:
        layer: the layer; it must not feed an output back if its cell changes.
        cell: "rnn", "gru" or "lstm".
        nonlinearity: of an `RNN`, which is changed in place.

    Raises:
        TypeError: the layer is none of `elman.nn`.
        ValueError: the cell is not known, or the layer cannot be of it.

    Example:
        >>> import elman
        >>> change_cell(elman.nn.RNN(2, 3, num_layers=2), cell="lstm")
        LSTM(2, 3, num_layers=2)
    """
    check_recurrent("change_cell", layer)
    if nonlinearity is not None:
        if not isinstance(layer, RNN):
            raise ValueError(
                f"change_cell: a {type(layer).__name__} has no nonlinearity to choose."
            )
        found = named_nonlinearity(nonlinearity)
        layer.cell = rnn.cell(found, layer.cell.output)
        layer.nonlinearity = nonlinearity
    if cell is None:
        return layer
    check_one_of("change_cell", "cell", cell, tuple(_CELLS))
    if layer.fed_back:
        raise ValueError(
            "change_cell: the layer feeds an output back; make the other one yourself."
        )
    like = next(layer.parameters())
    return _CELLS[cell](
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        dropout=layer.dropout,
        bidirectional=layer.bidirectional,
        device=like.device,
        dtype=like.dtype,
        init=layer.init,
        initial_state=layer.initial_state,
        recurrent_dropout=layer.recurrent_dropout,
        backend=layer.backend,
        bptt=layer.bptt,
        gradient_clip=layer.gradient_clip,
        residual=layer.residual,
        zoneout=layer.zoneout,
        layer_norm=layer.layer_norm,
    ).train(layer.training)

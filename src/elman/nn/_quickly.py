"""Plain layers, or a cell, by the shortest way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.ops import check_batch_sizes, infer_quickly, train_quickly, train_step_quickly, wanted

from ._packed import in_order


def run_quickly(
    layer: Any, input: Tensor, hx: Any, lengths: Any = None, batch_sizes: Tensor | None = None
) -> Any:
    """What a recurrent layer gives for an input, (T, B, I), (B, T, I), or (B, I) for a step.

    Args:
        layer: any recurrent layer.
        input: as above; or (N, I), the data of a PackedSequence.
        hx: the state as the layer takes it.
        lengths: (B,) or None.
        batch_sizes: of a PackedSequence, or None.

    Returns:
        The output and the state as the layer returns them; None where something about the call is
        not plain, or not as it should be: the long way gives the same numbers, and the errors.
    """
    names, sizes = layer._names, input.shape
    is_step = len(sizes) == 2 and batch_sizes is None
    if (
        layer.zoneout
        or layer.layer_norm
        or (layer.training and layer.recurrent_dropout)
        or (layer.num_layers > 1 and (layer.residual or (layer.training and layer.dropout)))
        or (is_step and layer.bidirectional)
        or sizes[-1] != layer.input_size
        or wanted(layer.backend) not in _MAYBE_NATIVE
    ):
        return None
    weights: list[Any] = [_weights(layer, one) for one in names]
    if None in weights:
        return None
    first = weights[0]
    trains = torch.is_grad_enabled() and first[1].requires_grad
    # a learned one gets a gradient of zeros where another is given
    if layer.initial_state != "zeros" and (trains or hx is None):
        return None
    if not trains:
        return infer_quickly(
            layer.cell, weights, input, hx, True, layer.batch_first, lengths, batch_sizes,
            layer.num_directions,
        )  # fmt: skip
    if (
        len(names) > 1
        or is_step
        or layer.watch is not None
        or layer.gradient_clip is not None
        or layer.bptt != "full"
    ):
        return None
    if batch_sizes is None:
        batch = sizes[0 if layer.batch_first else 1]
    else:
        check_batch_sizes(f"{type(layer).__name__}.forward", batch_sizes, sizes[0])
        batch = int(batch_sizes[0])
    state = _states(hx, [(1, batch, width) for width in layer._widths])
    if state is None:
        return None
    made = train_quickly(
        layer.cell, first, input, state or None, layer.batch_first, lengths, batch_sizes
    )
    if made is None:
        return None
    output, after = made
    return output, after[0] if len(after) == 1 else after


def run_packed_quickly(layer: Any, packed: PackedSequence, hx: Any) -> Any:
    """The same for a PackedSequence, which the output is then too."""
    data, sizes, order, inverse = packed
    if data.dim() != 2 or (hx is not None and order is not None):
        return None
    found = run_quickly(layer, data, hx, batch_sizes=sizes)
    if found is None:
        return None
    output, state = found
    if isinstance(state, tuple):
        state = in_order(state, inverse)
    else:
        (state,) = in_order((state,), inverse)
    return PackedSequence(output, sizes, order, inverse), state


def step_quickly(cell: Any, input: Tensor, hx: Any) -> tuple[Tensor, ...] | None:
    """The new states of a recurrent cell.

    Args:
        cell: any of `RNNCell`, `GRUCell` and `LSTMCell`.
        input: as the cell takes it.
        hx: the state as the cell takes it.

    Returns:
        The states, (B, ·) each; None as from `run_quickly`.
    """
    if not isinstance(input, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        return None
    backend = wanted(cell.backend)
    sizes = input.shape
    if len(sizes) != 2 or sizes[1] != cell.input_size or backend not in _MAYBE_NATIVE:
        return None
    weights = _weights(cell, _OF_A_CELL)
    if weights is None:
        return None
    if not (torch.is_grad_enabled() and weights[1].requires_grad):
        return infer_quickly(cell.cell, [weights], input, hx, False)
    state = _states(hx, [(sizes[0], cell.hidden_size)] * len(cell.cell.states))
    if state is None:
        return None
    return train_step_quickly(cell.cell, weights, input, state or None, backend)


_MAYBE_NATIVE = ("auto", "cpu")
_OF_A_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", None, None)


def _states(hx: Any, shapes: list[tuple[int, ...]]) -> tuple[Tensor, ...] | None:
    """The states that were given, none for zeros; None if they are not in these shapes."""
    if hx is None:
        return ()
    states = hx if isinstance(hx, tuple) else (hx,)
    if isinstance(hx, tuple) != (len(shapes) > 1):
        return None
    return states if [getattr(s, "shape", None) for s in states] == shapes else None


def _weights(module: Any, names: Sequence[str | None]) -> tuple[Any, ...] | None:
    """The parameters of these names; None if a parametrisation computes one of them."""
    found = module._parameters
    ih, hh, bias_ih, bias_hh, ho, bias_ho = names
    try:
        return (
            found[ih],
            found[hh],
            None if bias_ih is None else found[bias_ih],
            None if bias_hh is None else found[bias_hh],
            None if ho is None else found[ho],
            None if bias_ho is None else found[bias_ho],
        )
    except KeyError:
        return None

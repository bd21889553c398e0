"""Plain layers, or a cell, by the shortest way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.ops import infer_quickly, stack, train_quickly, wanted

from ._packed import in_order


def run_quickly(
    layer: Any,
    input: Tensor,
    hx: Any,
    lengths: Any = None,
    resets: Any = None,
    batch_sizes: Tensor | None = None,
) -> Any:
    """What a recurrent layer gives for an input, (T, B, I), (B, T, I), or (B, I) for a step.

    Args:
        layer: any recurrent layer.
        input: as above; or (N, I), the data of a PackedSequence.
        hx: the state as the layer takes it.
        lengths: (B,) or None.
        resets: (T, B), or (B, T) where the batch comes first, or None.
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
    # where the lowest layer is frozen, nothing is saved for it: layer by layer
    trains = torch.is_grad_enabled() and weights[0][1].requires_grad
    # resets begin with the learned one, which gets a gradient of zeros where it is not used
    if layer.initial_state != "zeros" and (trains or hx is None or resets is not None):
        return None
    if trains and (
        layer.watch is not None or layer.gradient_clip is not None or layer.bptt != "full"
    ):
        return None
    if resets is not None and layer.batch_first:
        if not isinstance(resets, Tensor) or resets.dim() != 2:
            return None
        resets = resets.t().contiguous()
    kind = stack.LAYERS_BATCH_FIRST if layer.batch_first else stack.LAYERS
    what = (layer.cell, kind, layer.num_directions, (lengths, resets, batch_sizes))
    run = train_quickly if trains else infer_quickly
    return run(what, weights, input, hx)


def run_packed_quickly(layer: Any, packed: PackedSequence, hx: Any) -> Any:
    """The same for a PackedSequence, which the output is then too."""
    data, sizes, order, inverse = packed
    if data.dim() != 2:
        return None
    if hx is not None and order is not None:
        hx = _as_packed(hx, order)
        if hx is None:
            return None
    found = run_quickly(layer, data, hx, batch_sizes=sizes)
    if found is None:
        return None
    output, state = found
    return PackedSequence(output, sizes, order, inverse), _ordered(state, inverse)


def _as_packed(hx: Any, order: Tensor) -> Any:
    """A layer's state with its rows in the order of packed ones; None if they are not as many."""
    states = hx if isinstance(hx, tuple) else (hx,)
    if any(
        not isinstance(s, Tensor) or s.dim() != 3 or s.shape[1:2] != order.shape for s in states
    ):
        return None
    return _ordered(hx, order)


def _ordered(state: Any, order: Tensor | None) -> Any:
    """A layer's state with its rows in this order."""
    if isinstance(state, tuple):
        return in_order(state, order)
    return in_order((state,), order)[0]


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
    sizes = input.shape
    if len(sizes) != 2 or sizes[1] != cell.input_size or wanted(cell.backend) not in _MAYBE_NATIVE:
        return None
    weights = _weights(cell, _OF_A_CELL)
    if weights is None:
        return None
    trains = torch.is_grad_enabled() and weights[1].requires_grad
    run = train_quickly if trains else infer_quickly
    return run((cell.cell, stack.CELL, 1, stack.NO_CUTS), [weights], input, hx)


_MAYBE_NATIVE = ("auto", "cpu")
_OF_A_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", None, None)


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

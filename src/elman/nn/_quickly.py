"""A single plain layer by the shortest way."""

from typing import Any

import torch
from torch import Tensor

from elman.ops import infer_quickly, train_quickly, wanted


def run_quickly(layer: Any, input: Tensor, hx: Any, lengths: Any = None) -> Any:
    """What a recurrent layer gives for an input, (T, B, I), (B, T, I), or (B, I) for a step.

    Args:
        layer: any recurrent layer.
        input: as above.
        hx: the state as the layer takes it.
        lengths: (B,) or None.

    Returns:
        The output and the state as the layer returns them; None where something about the call is
        not plain, or not as it should be: the long way gives the same numbers, and the errors.
    """
    names = layer._names
    if (
        len(names) > 1
        or wanted(layer.backend) not in ("auto", "cpu")
        or (layer.recurrent_dropout and layer.training)
        or layer.zoneout
        or layer.layer_norm
        or input.shape[-1] != layer.input_size
    ):
        return None
    *rows, _ = input.shape
    if hx is not None:
        hx = hx if isinstance(hx, tuple) else (hx,)
        batch = rows[0] if len(rows) == 1 or layer.batch_first else rows[1]
        if len(hx) != len(layer._widths):
            return None
        for state, width in zip(hx, layer._widths, strict=True):
            if getattr(state, "shape", None) != (1, batch, width):
                return None
    elif layer.initial_state != "zeros":
        return None
    found, weights = layer._parameters, []
    for name in names[0]:
        weight = None if name is None else found.get(name)
        if weight is None and name is not None:
            # a parametrisation computes it
            return None
        weights.append(weight)
    if torch.is_grad_enabled() and weights[1].requires_grad:
        if (
            len(rows) == 1
            or lengths is not None
            or layer.watch is not None
            or layer.gradient_clip is not None
            or layer.bptt != "full"
        ):
            return None
        made = train_quickly(layer.cell, weights, input, hx, layer.batch_first)
    else:
        shape = (*rows, layer.state_size)
        made = infer_quickly(layer.cell, weights, input, hx, shape, layer.batch_first, lengths)
    if made is None:
        return None
    output, after = made
    return output, after[0] if len(after) == 1 else after

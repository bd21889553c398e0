"""Stacks of layers, and their two ways: all layers at once, or one by one."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import elman
from elman.nn import _recurrent
from elman.nn._recurrent import Recurrent

T, B, I, H = 9, 5, 3, 7
KINDS = {
    "RNN": ("RNN", {}),
    "fed back": ("RNN", {"feedback": "output", "output_size": 4}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 4}),
}
STACKS = [(1, False), (1, True), (2, False), (2, True), (4, True)]
INPUTS = ["dense", "lengths", "resets", "cut", "packed", "sorted"]


def made(kind, layers, bidirectional, **options):
    """A layer of which no gradient is wanted."""
    name, more = KINDS[kind]
    layer = getattr(elman.nn, name)(
        I, H, num_layers=layers, bidirectional=bidirectional, **more, **options
    )
    return layer.requires_grad_(False)


def state_of(layer):
    rows = layer.num_layers * layer.num_directions
    dtype = layer.weight_hh_l0.dtype
    states = tuple(torch.randn(rows, B, width, dtype=dtype) for width in layer._widths)
    return states if len(states) > 1 else states[0]


def given(form, batch_first, dtype=torch.float32):
    """An input, and lengths and resets as they are named, in one of the forms of `INPUTS`."""
    sizes = (B, T) if batch_first else (T, B)
    x = torch.randn(*sizes, I, dtype=dtype)
    lengths = torch.tensor([4, 9, 1, 6, 9])
    named = {}
    if form in ("lengths", "cut"):
        lengths[2] = 0
        named["lengths"] = lengths
    if form in ("resets", "cut"):
        named["resets"] = torch.rand(sizes) < 0.3
    if form == "sorted":
        lengths = lengths.sort(descending=True).values
    if form in ("packed", "sorted"):
        return pack_padded_sequence(x, lengths, batch_first, form == "sorted"), {}
    return x, named


def flat(found):
    output, state = found
    data = output.data if isinstance(output, PackedSequence) else output
    return [data, *(state if isinstance(state, tuple) else (state,))]


def one_by_one(layer, *arguments, **named):
    """Runs a layer without the shortest way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_recurrent, "run_quickly", lambda *_, **__: None)
        patch.setattr(_recurrent, "run_packed_quickly", lambda *_, **__: None)
        return layer(*arguments, **named)


def at_once(layer, *arguments, **named):
    """Nothing but the shortest way runs a layer."""

    def refuse(*_):
        raise AssertionError("one by one")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recurrent, "_run", refuse)
        return layer(*arguments, **named)


def runs_one_by_one(layer, *arguments, **named):
    with pytest.raises(AssertionError, match="one by one"):
        at_once(layer, *arguments, **named)
    return True


def gradients(found, wanted, weigh=True):
    """Those of a loss of all results."""
    results = flat(found)
    # one number for all places of a gradient, or one for each
    loss = sum((one.sin() if weigh else one).sum() for one in results)
    return torch.autograd.grad(loss, wanted, materialize_grads=True)


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)

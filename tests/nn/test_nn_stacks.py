"""Stacks of layers, both ways or one, in one call: the numbers of the layers one by one."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.kernels import cpu
from elman.nn import _recurrent
from elman.nn._recurrent import Recurrent

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
T, B, I, H = 9, 5, 3, 7
KINDS = {
    "RNN": ("RNN", {}),
    "fed back": ("RNN", {"feedback": "output", "output_size": 4}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 4}),
}
STACKS = [(1, True), (2, False), (2, True), (3, False), (4, True)]


def made(kind, layers, bidirectional, **options):
    name, more = KINDS[kind]
    layer = getattr(elman.nn, name)(
        I, H, num_layers=layers, bidirectional=bidirectional, **more, **options
    )
    return layer.requires_grad_(False)


def state_of(layer):
    rows = layer.num_layers * layer.num_directions
    states = tuple(torch.randn(rows, B, width) for width in layer._widths)
    return states if len(states) > 1 else states[0]


def flat(found):
    output, state = found
    data = output.data if isinstance(output, torch.nn.utils.rnn.PackedSequence) else output
    return [data, *(state if isinstance(state, tuple) else (state,))]


@pytest.fixture
def one_by_one(monkeypatch):
    """Runs a layer without the shortest way."""

    def run(layer, *arguments, **named):
        with monkeypatch.context() as patch:
            patch.setattr(_recurrent, "run_quickly", lambda *_, **__: None)
            patch.setattr(_recurrent, "run_packed_quickly", lambda *_, **__: None)
            return layer(*arguments, **named)

    return run


@pytest.fixture
def at_once(monkeypatch):
    """Nothing but the shortest way runs a layer."""

    def run(layer, *arguments, **named):
        def refuse(*_):
            raise AssertionError("one by one")

        with monkeypatch.context() as patch:
            patch.setattr(Recurrent, "_run", refuse)
            return layer(*arguments, **named)

    return run


INPUTS = ["dense", "lengths", "packed", "sorted"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize(("layers", "bidirectional"), STACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_at_once(
    kind, layers, bidirectional, form, count, one_by_one, at_once, monkeypatch
):
    monkeypatch.setattr(cpu, "threads", lambda: count)
    for batch_first in (False, True):
        layer = made(kind, layers, bidirectional, batch_first=batch_first)
        x = torch.randn(B, T, I) if batch_first else torch.randn(T, B, I)
        lengths, named = torch.tensor([4, 9, 1, 6, 9]), {}
        if form == "lengths":
            lengths[2] = 0
            named = {"lengths": lengths}
        if form in ("packed", "sorted"):
            if form == "sorted":
                lengths = lengths.sort(descending=True).values
            x = pack_padded_sequence(x, lengths, batch_first, form == "sorted")
        # rows that come sorted here are put back by the long way
        states = [None] if form == "packed" else [None, state_of(layer)]
        for hx in states:
            found = flat(at_once(layer, x, hx, **named))
            expected = flat(one_by_one(layer, x, hx, **named))
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one, other)


@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step(kind, layers, at_once):
    layer = made(kind, layers, False)
    x, hx = torch.randn(1, B, I), state_of(layer)
    output, state = layer(x, hx)
    found, after = at_once(layer.step, x[0], hx)
    assert torch.equal(found, output[0])
    for one, other in zip(flat((found, after))[1:], flat((output, state))[1:], strict=True):
        assert torch.equal(one, other)


def test_a_step_both_ways_is_refused():
    for layers in (1, 2):
        layer = made("GRU", layers, True)
        with pytest.raises(ValueError, match="bidirectional"):
            layer.step(torch.randn(B, I))


def runs_one_by_one(layer, at_once, *arguments, **named):
    with pytest.raises(AssertionError, match="one by one"):
        at_once(layer, *arguments, **named)
    return True


def test_what_lies_between_layers_is_not_skipped(at_once):
    x = torch.randn(T, B, I)
    assert runs_one_by_one(made("GRU", 2, False, residual=True), at_once, x)
    assert runs_one_by_one(made("GRU", 2, False, dropout=0.5), at_once, x)
    at_once(made("GRU", 2, False, dropout=0.5).eval(), x)
    assert runs_one_by_one(made("GRU", 2, False, zoneout=0.5), at_once, x)
    assert runs_one_by_one(made("GRU", 2, False, layer_norm=True), at_once, x)
    assert runs_one_by_one(made("GRU", 2, False, recurrent_dropout=0.5), at_once, x)
    assert runs_one_by_one(made("GRU", 2, False, backend="reference"), at_once, x)
    upper = made("GRU", 2, False)
    upper.weight_hh_l1.requires_grad_(True)
    assert runs_one_by_one(upper, at_once, x)
    upper = made("GRU", 2, False)
    upper.weight_hh_l1 = torch.nn.Parameter(upper.weight_hh_l1.double(), False)
    with pytest.raises(Exception, match="dtype|float64|Double"):
        upper(x)


def test_a_state_of_other_rows_is_refused():
    layer = made("LSTM", 2, True)
    h, c = state_of(layer)
    for hx in ((h[:2], c[:2]), (h, c[:2]), (h[:, :2], c)):
        with pytest.raises(ValueError, match=r"LSTM.forward: .* has shape"):
            layer(torch.randn(T, B, I), hx)


def test_no_steps_and_no_rows(one_by_one):
    layer = made("GRU", 2, True)
    for shape in ((0, B, I), (T, 0, I)):
        x = torch.randn(shape)
        for one, other in zip(flat(layer(x)), flat(one_by_one(layer, x)), strict=True):
            assert torch.equal(one, other)


def test_the_state_is_nobody_elses(at_once):
    layer = made("RNN", 2, False)
    output, state = at_once(layer, torch.randn(T, B, I))
    before = output.clone()
    state.zero_()
    assert torch.equal(output, before)

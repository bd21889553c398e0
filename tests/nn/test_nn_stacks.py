"""Stacks of layers, both ways or one, in one call: the numbers of the layers one by one."""

import pytest
import torch
from nn.stacks import (
    INPUTS,
    KINDS,
    STACKS,
    B,
    I,
    T,
    agree,
    at_once,
    flat,
    given,
    made,
    one_by_one,
    runs_one_by_one,
    state_of,
)
from tolerances import assert_close
from torch.nn.utils.rnn import PackedSequence

import elman
from elman.kernels import cpu

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize(("layers", "bidirectional"), STACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_at_once(kind, layers, bidirectional, form, count, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: count)
    for batch_first in (False, True):
        layer = made(kind, layers, bidirectional, batch_first=batch_first)
        x, named = given(form, batch_first)
        for hx in (None, state_of(layer)):
            found, expected = (run(layer, x, hx, **named) for run in (at_once, one_by_one))
            agree(flat(found), flat(expected))


@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step(kind, layers):
    layer = made(kind, layers, False)
    x, hx = torch.randn(1, B, I), state_of(layer)
    output, state = layer(x, hx)
    found, after = at_once(layer.step, x[0], hx)
    assert torch.equal(found, output[0])
    agree(flat((found, after))[1:], flat((output, state))[1:])


def test_a_step_both_ways_is_refused():
    for layers in (1, 2):
        layer = made("GRU", layers, True)
        with pytest.raises(ValueError, match="bidirectional"):
            layer.step(torch.randn(B, I))


def test_what_lies_between_layers_is_not_skipped():
    x = torch.randn(T, B, I)
    assert runs_one_by_one(made("GRU", 2, False, residual=True), x)
    assert runs_one_by_one(made("GRU", 2, False, dropout=0.5), x)
    at_once(made("GRU", 2, False, dropout=0.5).eval(), x)
    assert runs_one_by_one(made("GRU", 2, False, zoneout=0.5), x)
    assert runs_one_by_one(made("GRU", 2, False, layer_norm=True), x)
    assert runs_one_by_one(made("GRU", 2, False, recurrent_dropout=0.5), x)
    assert runs_one_by_one(made("GRU", 2, False, backend="reference"), x)
    upper = made("GRU", 2, False)
    upper.bias_hh_l1.requires_grad_(True)
    assert runs_one_by_one(upper, x)
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


def test_a_state_of_other_rows_than_packed_ones_is_refused():
    layer = made("GRU", 2, True)
    x = given("packed", False)[0]
    for rows in (B - 1, B + 1):
        with pytest.raises(ValueError, match=r"GRU.forward: hx: h has shape"):
            layer(x, torch.randn(4, rows, 7))
    for hx in (torch.randn(B, 7), 3, (torch.randn(4, B, 7), None)):
        with pytest.raises((TypeError, ValueError), match=r"GRU.forward: "):
            layer(x, hx)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_resets_begin_with_the_learned_state(kind):
    layer = getattr(elman.nn, kind)(I, 7, initial_state="learned").requires_grad_(False)
    for state in layer.cell.states:
        torch.nn.init.normal_(getattr(layer, f"initial_{state}"))
    x, resets = torch.randn(T, B, I), torch.zeros(T, B, dtype=torch.bool)
    resets[2] = True
    found = layer(x, state_of(layer), resets=resets)[0]
    assert_close(found[2:], layer(x[2:])[0])


def test_packed_rows_in_an_order_without_dimensions():
    # torch takes it for a single row
    order = torch.tensor(0)
    x = PackedSequence(torch.randn(1, I), torch.tensor([1]), order, order)
    layer, hx = made("GRU", 1, False), torch.randn(1, 1, 7)
    assert torch.equal(layer(x, hx)[0].data, layer(x.data[None], hx)[0][0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_resets_that_do_not_fit(batch_first):
    layer = made("GRU", 2, True, batch_first=batch_first)
    x, named = given("resets", batch_first)
    for resets in (named["resets"].t(), named["resets"][:-1], named["resets"].int(), [True]):
        with pytest.raises((TypeError, ValueError), match=r"GRU.forward: resets "):
            layer(x, resets=resets)
    expected = flat(layer(x, **named))
    agree(flat(layer(x, resets=named["resets"].numpy())), expected)


def test_no_steps_and_no_rows():
    layer = made("GRU", 2, True)
    for shape in ((0, B, I), (T, 0, I)):
        x = torch.randn(shape)
        agree(flat(layer(x)), flat(one_by_one(layer, x)))


def test_the_state_is_nobody_elses():
    layer = made("RNN", 2, False)
    output, state = at_once(layer, torch.randn(T, B, I))
    before = output.clone()
    state.zero_()
    assert torch.equal(output, before)

"""The gradient of a stack of layers in one call: the numbers of the layers one by one."""

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
    gradients,
    made,
    one_by_one,
    runs_one_by_one,
    state_of,
)
from torch.nn.utils.rnn import PackedSequence

import elman
from elman.kernels import cpu

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")


def leaves(x, hx):
    """The data and the states as tensors that want a gradient, and the call's arguments of them."""
    data = (x.data if isinstance(x, PackedSequence) else x).requires_grad_()
    x = PackedSequence(data, *x[1:]) if isinstance(x, PackedSequence) else data
    states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    return [data, *(s.requires_grad_() for s in states)], x, hx


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize(("layers", "bidirectional"), STACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_at_once(kind, layers, bidirectional, form, count, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: count)
    for batch_first in (False, True):
        layer = made(kind, layers, bidirectional, batch_first=batch_first).requires_grad_()
        x, named = given(form, batch_first)
        for hx in (None, state_of(layer)):
            own, x, hx = leaves(x, hx)
            wanted = [*own, *layer.parameters()]
            found, expected = (run(layer, x, hx, **named) for run in (at_once, one_by_one))
            agree(flat(found), flat(expected))
            agree(gradients(found, wanted), gradients(expected, wanted))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, True), (3, False), (2, True)])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_other_numbers(kind, layers, bidirectional, dtype):
    layer = made(kind, layers, bidirectional, dtype=dtype).requires_grad_()
    own, x, hx = leaves(given("dense", False, dtype)[0], state_of(layer))
    wanted = [*own, *layer.parameters()]
    found, expected = layer(x, hx), one_by_one(layer, x, hx)
    agree(flat(found), flat(expected))
    agree(gradients(found, wanted), gradients(expected, wanted))


@pytest.mark.parametrize("rows", [1, 3, 400])
def test_both_directions_of_many_numbers_are_added_by_all_threads(rows, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: 3)
    layer = elman.nn.GRU(67, 8, bidirectional=True)
    x = torch.randn(5, rows, 67, requires_grad=True)
    found, expected = at_once(layer, x), one_by_one(layer, x)
    agree(gradients(found, [x]), gradients(expected, [x]))


@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind, form):
    layer = made(kind, 2, True, dtype=torch.float64).requires_grad_()
    x, named = given(form, False, torch.float64)
    own, x, hx = leaves(x, state_of(layer))
    wanted = [*own, *layer.parameters()]

    def run(way):
        results = flat(way(layer, x, hx, **named))
        loss = sum(one.sin().sum() for one in results)
        firsts = torch.autograd.grad(loss, wanted, create_graph=True)
        seconds = torch.autograd.grad(sum(one.cos().sum() for one in firsts), wanted)
        return [*results, *firsts, *seconds]

    for one, other in zip(run(at_once), run(one_by_one), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_step(kind):
    layer = made(kind, 2, False).requires_grad_()
    (x, *states), _, hx = leaves(torch.randn(B, I), state_of(layer))
    wanted = [x, *states, *layer.parameters()]
    found = at_once(layer.step, x, hx)
    output, after = one_by_one(layer, x[None], hx)
    agree(flat(found), flat((output[0], after)))
    agree(gradients(found, wanted), gradients((output[0], after), wanted))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["input", "state", "lowest", "highest", "middle"])
def test_what_is_not_asked_for_is_not_needed(kind, place):
    layer = made(kind, 3, True).requires_grad_()
    own, x, hx = leaves(given("dense", False)[0], state_of(layer))
    wanted = {
        "input": own[:1],
        "state": own[1:],
        "lowest": [layer.weight_hh_l0],
        "highest": [layer.bias_ih_l2_reverse, layer.weight_ih_l2],
        "middle": [layer.weight_ih_l1],
    }[place]
    found, expected = at_once(layer, x, hx), one_by_one(layer, x, hx)
    agree(gradients(found, wanted), gradients(expected, wanted))


def test_frozen_layers():
    # what a frozen lowest layer reads and gives is not saved: layer by layer
    layer, x = made("LSTM", 3, False), torch.randn(T, B, I)
    upper = [p.requires_grad_() for name, p in layer.named_parameters() if name.endswith("l2")]
    assert runs_one_by_one(layer, x)
    flat(layer(x))[0].sum().backward()
    assert all((p.grad is None) == (not p.requires_grad) for p in layer.parameters())
    layer.requires_grad_()
    for p in upper:
        p.requires_grad_(False)
    wanted = [p for p in layer.parameters() if p.requires_grad]
    found, expected = at_once(layer, x), one_by_one(layer, x)
    agree(gradients(found, wanted), gradients(expected, wanted))


def test_weights_that_layers_share():
    layer = elman.nn.GRU(7, 7, num_layers=2)
    layer.weight_hh_l1 = layer.weight_hh_l0
    x, wanted = torch.randn(T, B, 7), list(layer.parameters())
    found, expected = at_once(layer, x), one_by_one(layer, x)
    agree(gradients(found, wanted), gradients(expected, wanted))


@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_stand_otherwise(kind, form):
    layer = made(kind, 2, True, batch_first=True).requires_grad_()
    x, named = given(form, True)
    own, x, hx = leaves(x, None)
    wanted = [*own, *layer.parameters()]
    found, expected = at_once(layer, x, hx, **named), one_by_one(layer, x, hx, **named)
    agree(gradients(found, wanted, False), gradients(expected, wanted, False))
    for turn in ((-1, 0), (0, 1)):
        grads = []
        for run in (at_once, one_by_one):
            output = flat(run(layer, x, hx, **named))[0].transpose(*turn).contiguous()
            grads.append(torch.autograd.grad(output.sin().sum(), wanted))
        agree(*grads)
    conjugate = [flat(run(layer, x, hx, **named))[0] for run in (at_once, one_by_one)]
    signs = torch.complex(torch.zeros_like(conjugate[0]), torch.ones_like(conjugate[0]))
    negative = signs.detach().conj().imag
    assert negative.is_neg()
    agree(*(torch.autograd.grad(one, wanted, negative) for one in conjugate))


def test_many_gradients_at_once():
    layer = made("GRU", 2, True, dtype=torch.float64).requires_grad_()
    x, wanted = torch.randn(T, B, I, dtype=torch.float64), list(layer.parameters())
    output = at_once(layer, x)[0]
    grads = torch.randn(3, *output.shape, dtype=torch.float64)
    many = torch.autograd.grad(output, wanted, grads, retain_graph=True, is_grads_batched=True)
    for k in range(3):
        found = torch.autograd.grad(output, wanted, grads[k], retain_graph=True)
        for one, other in zip(found, many, strict=True):
            torch.testing.assert_close(one, other[k])


def test_lengths_and_resets_may_be_filled_anew_before_the_gradient():
    layer = made("LSTM", 2, False).requires_grad_()
    x, named = given("cut", False)
    wanted = list(layer.parameters())
    found, expected = at_once(layer, x, **named), one_by_one(layer, x, **named)
    named["lengths"].fill_(T)
    named["resets"].fill_(False)
    agree(gradients(found, wanted), gradients(expected, wanted))


@pytest.mark.parametrize("lengths", [[4, 10, 1, 6, 9], [4, -1, 1, 6, 9]])
def test_lengths_that_do_not_fit(lengths):
    layer = made("LSTM", 2, False).requires_grad_()
    with pytest.raises(ValueError, match=r"LSTM.forward: lengths"):
        layer(torch.randn(T, B, I), lengths=torch.tensor(lengths))


def test_saved_tensors_may_have_been_elsewhere():
    layer = made("LSTM", 2, True).requires_grad_()
    x, wanted = torch.randn(T, B, I), list(layer.parameters())
    expected = gradients(one_by_one(layer, x), wanted)
    with torch.autograd.graph.save_on_cpu():
        agree(gradients(at_once(layer, x), wanted), expected)
    turned = torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.mT.contiguous() if t.dim() > 1 else t,
        lambda t: t.mT if t.dim() > 1 else t,
    )
    with turned:
        agree(gradients(at_once(layer, x), wanted), expected)


def test_saved_tensors_that_come_back_in_another_type():
    layer = made("GRU", 2, False).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t):
        output = at_once(layer, torch.randn(T, B, I))[0]
    with pytest.raises(TypeError, match="GRU: .* in the type in which autograd saved it"):
        output.sum().backward()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t[..., :1]):
        output = at_once(layer, torch.randn(T, B, I))[0]
    with pytest.raises(TypeError, match="GRU: .* has to come back as autograd saved it"):
        output.sum().backward()
    output = at_once(layer, torch.randn(T, B, I))[0]
    output.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="has no numbers in memory"):
        output.backward(torch.ones(T, B, 7))


def test_no_steps_and_no_rows():
    layer = made("GRU", 2, True).requires_grad_()
    for shape in ((0, B, I), (T, 0, I)):
        x, wanted = torch.randn(shape), list(layer.parameters())
        agree(gradients(layer(x), wanted), gradients(one_by_one(layer, x), wanted))


def test_what_lies_between_layers_is_not_skipped():
    x = torch.randn(T, B, I)
    for options in (
        {"residual": True},
        {"dropout": 0.5},
        {"zoneout": 0.5},
        {"layer_norm": True},
        {"recurrent_dropout": 0.5},
        {"backend": "reference"},
        {"gradient_clip": 1.0},
        {"bptt": "checkpointed"},
        {"initial_state": "learned"},
    ):
        layer = elman.nn.GRU(I, 7, num_layers=2, **options)
        assert runs_one_by_one(layer, x), options
    layer = elman.nn.GRU(I, 7, num_layers=2)
    with elman.diagnostics.watch(layer):
        assert runs_one_by_one(layer, x)
    at_once(layer, x)

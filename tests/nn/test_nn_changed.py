"""Outputs that are changed in place before their gradient, as with torch's layers."""

import gc
import weakref

import pytest
import torch
from nn.stacks import (
    KINDS,
    B,
    I,
    T,
    agree,
    at_once,
    given,
    gradients,
    made,
    one_by_one,
    state_of,
)
from torch.multiprocessing.reductions import StorageWeakRef

import elman
from elman.kernels import cpu, stack
from elman.ops import _native

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")

CHANGES = {
    "relu_": torch.relu_,
    "masked_fill_": lambda output: output.masked_fill_(output > 0.1, 0.0),
    "zero": lambda output: output.__setitem__(0, 0.0) or output,
    "twice": lambda output: output.mul_(0.5).add_(1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("way", [at_once, one_by_one])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_output_may_be_changed_in_place(kind, bidirectional, way, change):
    layer = made(kind, 2, bidirectional).requires_grad_()
    x, named = given("cut", False)
    wanted = list(layer.parameters())

    def slopes(copied):
        output, state = way(layer, x, **named)
        return gradients((change(output.clone() if copied else output), state), wanted)

    agree(slopes(False), slopes(True))


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cells_state_may_be_changed_in_place(kind):
    cell = getattr(elman.nn, kind)(I, 7, backend="cpu")
    inputs, over = torch.randn(T, B, I), torch.rand(T, B) < 0.3

    def slopes(reset):
        h, total = None, 0
        for x, rows in zip(inputs, over, strict=True):
            h = cell(x, h)
            h = tuple(reset(s, rows) for s in h) if isinstance(h, tuple) else reset(h, rows)
            total = total + (h[0] if isinstance(h, tuple) else h).sin().sum()
        return torch.autograd.grad(total, list(cell.parameters()))

    def in_place(s, rows):
        s[rows] = 0
        return s

    agree(slopes(in_place), slopes(lambda s, rows: s.masked_fill(rows[:, None], 0)))


@pytest.mark.parametrize("way", [at_once, one_by_one])
@pytest.mark.parametrize("change", [lambda output: output, torch.Tensor.zero_], ids=["no", "yes"])
def test_it_runs_forward_again_if_it_was_changed_alone(change, way, monkeypatch):
    layer = made("GRU", 2, False).requires_grad_()
    output, _ = way(layer, torch.randn(T, B, I))
    loss = output.sum()
    with torch.no_grad():
        change(output)
    ran = []
    for module, name in ((stack, "output_again"), (_native, "_output_of")):
        run = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *all, run=run: ran.append(1) or run(*all))
    for retain in (True, False):
        loss.backward(retain_graph=retain)
    assert bool(ran) == (change is torch.Tensor.zero_)


@pytest.mark.parametrize("way", [at_once, one_by_one])
def test_an_output_that_is_saved_elsewhere_is_not_kept_in_memory(way):
    layer = made("GRU", 1, False).requires_grad_()
    stored = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: stored.append(t.clone()) or len(stored) - 1, lambda k: stored[k]
    )
    with hooks:
        output, _ = way(layer, torch.randn(T, B, I))
    loss, memory = output.sum(), StorageWeakRef(output.untyped_storage())
    del output, _
    gc.collect()
    assert memory.expired()
    loss.backward()


@pytest.mark.parametrize("way", [at_once, one_by_one])
def test_a_graph_that_is_retained(way):
    layer = made("GRU", 2, True).requires_grad_()
    x, wanted = torch.randn(T, B, I), list(layer.parameters())
    output, _ = way(layer, x)
    expected = torch.autograd.grad(output.sum(), wanted, retain_graph=True)
    agree(torch.autograd.grad(output.sum(), wanted, retain_graph=True), expected)
    with torch.no_grad():
        output.zero_()
    agree(torch.autograd.grad(output.sum(), wanted), expected)
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()


def test_what_else_is_changed_in_place_is_refused():
    for which in ("x", "hx", "weight"):
        layer = made("GRU", 2, False).requires_grad_()
        x, hx = torch.randn(T, B, I), state_of(layer)
        output, _ = at_once(layer, x, hx)
        with torch.no_grad():
            {"x": x, "hx": hx, "weight": layer.weight_hh_l1}[which].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


def test_nothing_is_kept_alive():
    layer = made("GRU", 2, True).requires_grad_()
    gc.disable()
    try:
        output, _ = at_once(layer, torch.randn(T, B, I))
        seen = weakref.ref(output)
        output.sum().backward()
        del output, _
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("options", [{"gradient_clip": 0.5}, {"bptt": "checkpointed"}], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_whatever_the_gradient_is(kind, options):
    layer = made(kind, 2, True, **options).requires_grad_()
    (x, named), wanted = given("cut", False), list(layer.parameters())

    def slopes(copied):
        output, state = layer(x, **named)
        return gradients((torch.relu_(output.clone() if copied else output), state), wanted)

    agree(slopes(False), slopes(True))


@pytest.mark.parametrize("kind", KINDS)
def test_transforms(kind):
    layer, x = made(kind, 1, False), torch.randn(T, B, I)
    parameters = dict(layer.named_parameters())

    def loss(parameters, x, change=torch.relu_):
        return change(torch.func.functional_call(layer, parameters, (x,))[0]).sin().sum()

    expected = torch.func.grad(lambda p: loss(p, x, torch.relu))(parameters)
    agree(torch.func.grad(loss)(parameters, x).values(), expected.values())
    rows = torch.func.vmap(
        lambda row: torch.func.grad(loss)(parameters, row[:, None]), 1, randomness="error"
    )(x)
    for name, one in rows.items():
        torch.testing.assert_close(one.sum(0), expected[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_compiled(kind):
    layer, x = made(kind, 1, False).requires_grad_(), torch.randn(T, B, I)
    wanted = list(layer.parameters())
    torch.compiler.reset()
    run = torch.compile(
        lambda x: torch.relu_(layer(x)[0]).sin().sum(), fullgraph=True, backend="aot_eager"
    )
    expected = torch.autograd.grad(torch.relu(layer(x)[0]).sin().sum(), wanted)
    agree(torch.autograd.grad(run(x), wanted), expected)

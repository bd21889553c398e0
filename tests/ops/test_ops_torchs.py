"""Where torch's kernel is the faster one, and what it must keep."""

import pytest
import torch
from tolerances import assert_close

import elman
from elman.kernels import cpu
from elman.ops import _choose


def _pair(monkeypatch, **options):
    monkeypatch.setattr(_choose, "_TORCHS", {("lstm", torch.float32): (8, 2)})
    monkeypatch.setattr(cpu, "is_amd", bool)
    auto = elman.nn.LSTM(3, 8, **options)
    forced = elman.nn.LSTM(3, 8, backend="reference", **options)
    forced.load_state_dict(auto.state_dict())
    return auto, forced


def _backends(layer, x, **more):
    return {choice.backend for choice in elman.explain(layer, x, **more).choices}


def test_a_wide_batch_takes_it_and_gives_the_same(monkeypatch):
    auto, forced = _pair(monkeypatch, num_layers=2, bidirectional=True)
    x = torch.randn(5, 4, 3, requires_grad=True)
    assert _backends(auto, x) == {"torch"}
    grads = []
    for layer in (auto, forced):
        output, (h, c) = layer(x)
        loss = output.square().sum() + (h * c).sum()
        grads.append([output, *torch.autograd.grad(loss, [x, *layer.parameters()])])
    for one, other in zip(*grads, strict=True):
        assert_close(one, other, "backward")
    with torch.no_grad():
        assert_close(auto(x)[0], forced(x)[0])


def test_its_second_derivative_is_there(monkeypatch):
    auto, forced = _pair(monkeypatch)
    x = torch.randn(4, 2, 3, requires_grad=True)
    seconds = []
    for layer in (auto, forced):
        (first,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    for one, other in zip(*seconds, strict=True):
        assert_close(one, other, "backward")


@pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
def test_what_it_does_not_know_stays_with_ours(monkeypatch):
    auto, _ = _pair(monkeypatch)
    x = torch.randn(5, 4, 3)
    assert _backends(auto, x[:, :1]) == {"cpu"}
    assert _backends(auto.double(), x.double()) == {"cpu"}
    auto.float()
    lengths = torch.tensor([5, 0, 2, 3])
    whole = auto(x, lengths=lengths)[0]
    assert torch.equal(whole[3:, 3], torch.zeros(2, 8))
    mapped = torch.func.vmap(lambda one: auto(one)[0])(x[None])[0]
    assert_close(mapped, auto(x)[0])
    assert "slower than torch" in str(elman.explain(auto, x))


@pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
def test_an_amd_runs_ours(monkeypatch):
    auto, _ = _pair(monkeypatch)
    x = torch.randn(5, 4, 3)
    assert _backends(auto, x) == {"torch"}
    monkeypatch.setattr(cpu, "is_amd", lambda: True)
    assert _backends(auto, x) == {"cpu"}

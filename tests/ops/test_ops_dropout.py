"""Dropout with torch's bits."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

import elman
from elman.ops import _dropout, dropout

SHAPE = (7, 30, 20)
_INFO = Path("/proc/cpuinfo")
CPU = _INFO.read_text() if _INFO.exists() else ""


def _both(x, p):
    """Ours and torch's from the same seed, with the gradients and the generator behind them."""
    found = []
    for one in (dropout, functional.dropout):
        torch.manual_seed(5)
        leaf = x.detach().clone().requires_grad_()
        y = one(leaf, p)
        (gradient,) = torch.autograd.grad(y.float().square().sum(), leaf)
        found.append((y.detach(), gradient, torch.get_rng_state()))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.35, 0.5, 0.999, 1.0])
def test_it_is_torchs(dtype, p):
    ours, theirs = _both(torch.randn(SHAPE, dtype=dtype), p)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    x = torch.randn(SHAPE, dtype=dtype)
    assert torch.equal(dropout(x, p, training=False), x)


@pytest.mark.parametrize(
    "x", [torch.randn(20, 30, 7).transpose(0, 2), torch.randn(5), torch.randn(0, 9)]
)
def test_in_whatever_order_numbers_lie(x):
    ours, theirs = _both(x, 0.3)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_bits_are_compared_here_where_torch_draws_them_one_by_one(monkeypatch):
    def never(*_):
        raise AssertionError("torch's dropout was called")

    x = torch.ones(SHAPE)
    monkeypatch.setattr(_dropout, "_torch_draws_one_by_one", lambda: True)
    monkeypatch.setattr(_dropout, "of_torch", never)
    kept = dropout(x, 0.25)
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)
    weights = torch.nn.Parameter(torch.ones(SHAPE))
    dropout(weights, 0.5).sum().backward()
    assert set(weights.grad.unique().tolist()) == {0.0, 2.0}


@pytest.mark.skipif("AuthenticAMD" not in CPU, reason="on an Intel torch draws by MKL")
def test_torch_draws_one_by_one_on_an_amd():
    assert _dropout._torch_draws_one_by_one()


def test_where_torch_draws_otherwise_its_own_runs(monkeypatch):
    monkeypatch.setattr(_dropout, "_torch_draws_one_by_one", lambda: False)
    monkeypatch.setattr(_dropout, "_drawn", None)
    ours, theirs = _both(torch.randn(SHAPE), 0.3)
    assert torch.equal(ours[0], theirs[0])


def test_under_transforms_and_modes():
    x = torch.randn(4, *SHAPE)
    torch.manual_seed(0)
    every = torch.func.vmap(lambda one: dropout(one, 0.5), randomness="different")(x)
    assert every.shape == x.shape
    assert 0.4 < float((every == 0).float().mean()) < 0.6
    gradient = torch.func.grad(lambda one: dropout(one, 0.5).sum())(x)
    assert set(gradient.unique().tolist()) == {0.0, 2.0}
    with torch.device("meta"):
        assert dropout(x, 0.5).device.type == "cpu"
    assert (
        torch.compile(lambda one: dropout(one, 0.5), fullgraph=True, backend="eager")(x).shape
        == x.shape
    )
    layer = elman.nn.LSTM(8, 40, num_layers=2, dropout=0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert compiled(torch.randn(10, 32, 8))[0].shape == (10, 32, 40)

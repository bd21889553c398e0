"""bfloat16 numbers, float32 sums and states."""

import pytest
import torch
from cases import CASES, named

import elman
from elman.kernels import cpu
from elman.ops import _choose

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
# of a bfloat16 number, relative to the largest one
TOLERANCE = 2**-7


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.setattr(_choose, "_TORCHS", {})


def _pair(case, **options):
    low = case.layer(5, 19, **case.arguments, dtype=torch.bfloat16, **options)
    wide = case.layer(5, 19, **case.arguments, backend="reference", **options)
    wide.load_state_dict(low.state_dict())
    return low, wide


def _assert_near(low, wide):
    assert low.dtype == torch.bfloat16
    assert (low.float() - wide).abs().max() <= TOLERANCE * wide.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("case", **named(CASES))
def test_outputs_and_gradients_are_float32s(case, ragged):
    low, wide = _pair(case)
    x = torch.randn(9, 4, 5).bfloat16()
    lengths = torch.tensor([9, 0, 4, 7]) if ragged else None
    assert elman.explain(low, x).choices[0].backend == "cpu"
    grad = torch.randn(9, 4, low.state_size).bfloat16()
    found = []
    for layer, given in ((low, x), (wide, x.float())):
        leaf = given.clone().requires_grad_()
        output, state = layer(leaf, lengths=lengths)
        output.backward(grad.to(output.dtype))
        states = state if isinstance(state, tuple) else (state,)
        found.append([output, *states, leaf.grad, *(p.grad for p in layer.parameters())])
    for one, other in zip(*found, strict=True):
        _assert_near(one.detach(), other.detach())


def test_every_way_to_a_layer():
    low = elman.nn.GRU(5, 19, dtype=torch.bfloat16)
    x = torch.randn(6, 3, 5).bfloat16()
    with torch.no_grad():
        expected = low(x)[0]
        assert torch.equal(torch.func.vmap(lambda one: low(one)[0])(x[None])[0], expected)
        stepper = low.stepper(batch=3)
        h = torch.zeros(1, 3, 19).bfloat16()
        for t in range(6):
            y, h = low.step(x[t], h)
            _assert_near(y, expected[t].float())
            _assert_near(stepper(x[t]), expected[t].float())

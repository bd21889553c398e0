import numpy as np
import pytest
import torch
from cases import CASES, named

from elman.cells import NONLINEARITIES, nonlinearity


def _inputs(case, hidden=5):
    gates, width = len(case.cell.gates), (3, hidden)
    draw = lambda count: tuple(  # noqa: E731
        torch.randn(width, dtype=torch.float64, requires_grad=True) for _ in range(count)
    )
    return draw(gates), draw(gates), draw(len(case.cell.states))


@pytest.mark.parametrize("case", **named(CASES))
def test_step_is_the_paper(case):
    rng = np.random.default_rng(0)
    gates, hidden, features = len(case.cell.gates), 5, 3
    p = {
        "U": rng.normal(size=(gates * hidden, features)),
        "W": rng.normal(size=(gates * hidden, hidden)),
        "b": rng.normal(size=gates * hidden),
        "d": rng.normal(size=gates * hidden),
    }
    layer = case.make(features, hidden, dtype=torch.float64)
    for name, letter in [
        ("weight_ih", "U"),
        ("weight_hh", "W"),
        ("bias_ih", "b"),
        ("bias_hh", "d"),
    ]:
        getattr(layer, f"{name}_l0").data.copy_(torch.from_numpy(p[letter]))
    state = tuple(rng.normal(size=hidden) for _ in case.cell.states)
    hx = tuple(torch.from_numpy(s)[None] for s in state)
    x = rng.normal(size=(4, features))
    layer.backend = "reference"
    _, after = layer(torch.from_numpy(x), hx if len(hx) > 1 else hx[0])
    for x_t in x:
        state = case.oracle(x_t, state, p)
    after = after if isinstance(after, tuple) else (after,)
    for found, expected in zip(after, state, strict=True):
        np.testing.assert_allclose(found[0].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", **named(CASES))
def test_step_backward_is_the_gradient_of_step(case):
    wx, uh, state = _inputs(case)
    after, saved = case.cell.step(wx, uh, state)
    dstate = tuple(torch.randn_like(s) for s in after)
    found = case.cell.step_backward(dstate, state, after, saved)
    leaves = (*wx, *uh, *state)
    expected = torch.autograd.grad(after, leaves, dstate, allow_unused=True)
    for one, other in zip([g for group in found for g in group], expected, strict=True):
        other = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_operand_backward_is_the_gradient_of_operand():
    (case,) = (case for case in CASES if case.cell.two_products)
    wx, uh, state = _inputs(case)
    wx, uh = wx[:2], uh[:2]
    (operand,), saved = case.cell.operand(wx, uh, state)
    d = torch.randn_like(operand)
    found = case.cell.operand_backward((d,), state, saved)
    expected = torch.autograd.grad(operand, (*wx, *uh, *state), d, allow_unused=True)
    for one, other in zip([g for group in found for g in group], expected, strict=True):
        other = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_derivatives(name):
    one = NONLINEARITIES[name]
    a = torch.linspace(-6, 6, 997, dtype=torch.float64, requires_grad=True)
    y = one.f(a)
    (expected,) = torch.autograd.grad(y.sum(), a)
    torch.testing.assert_close(one.derivative(a, y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_the_derivative_where_a_nonlinearity_bends(name):
    one = NONLINEARITIES[name]
    a = torch.tensor([-2.5, -1, 0, 1, 2.5], dtype=torch.float64, requires_grad=True)
    y = one.f(a)
    (found,) = torch.autograd.grad(y.sum(), a)
    torch.testing.assert_close(one.derivative(a, y), found)
    theirs = getattr(torch.nn.functional, name, None)
    if theirs is not None and name != "hard_sigmoid":
        (expected,) = torch.autograd.grad(theirs(a).sum(), a)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_nonlinearities_are_finite_far_out(name):
    a = torch.tensor([-1e30, -1e4, 1e4, 1e30])
    assert torch.isfinite(NONLINEARITIES[name].f(a)).all()


def test_an_unknown_nonlinearity_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"'tahn' is not known \(did you mean 'tanh'\?\)"):
        nonlinearity("tahn")

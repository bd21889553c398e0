"""Cells and nonlinearities of the user's own on the native kernels."""

from dataclasses import replace

import pytest
import torch
from kernels.calls import KINDS, by_kernel, by_reference, gradients_like, make
from tolerances import assert_close
from torch.utils.flop_counter import FlopCounterMode

import elman
from elman.cells import (
    Cell,
    Nonlinearity,
    abs,
    exp,
    log1p,
    maximum,
    rnn,
    sigmoid,
    tanh,
    zeros_like,
)
from elman.kernels import _user_cells, cpu

pytestmark = pytest.mark.skipif(
    not cpu.is_built() or not _user_cells.compiler(), reason="no native module, or no compiler"
)
SHARP = 1.5


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One folder for all tests, and nothing compiled before."""
    folder = tmp_path_factory.getbasetemp() / "cells"
    monkeypatch.setenv(_user_cells.CACHE, str(folder))
    monkeypatch.setattr(_user_cells, "_found", {})
    return folder


def mgu_step(wx, uh, state):
    """The minimal gated unit, with a number of this file in its gate."""
    wx_f, wx_n = wx
    uh_f, uh_n = uh
    (h,) = state
    f = sigmoid(SHARP * (wx_f + uh_f))
    n = tanh(wx_n + f * uh_n)
    new = n + (1 - f) * (h - n)
    return (new,), (f, n, uh_n)


def mgu_backward(dstate, state, after, saved):
    (dh,) = dstate
    (h,) = state
    f, n, uh_n = saved
    dwx_n = dh * f * (1 - n * n)
    dwx_f = SHARP * (dwx_n * uh_n - dh * (h - n)) * f * (1 - f)
    return (dwx_f, dwx_n), (dwx_f, dwx_n * f), (dh * (1 - f),)


MGU = Cell("MGU", ("f", "n"), ("h",), ("f", "n", "uh_n"), mgu_step, mgu_backward)


def mish(a):
    p = maximum(a, zeros_like(a)) + log1p(exp(-abs(a)))
    return 0.5 * a * tanh(p)


def bump(a):
    return a / (1 + a * a)


def d_bump(a, y):
    b = 1 + a * a
    return (1 - a * a) / (b * b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cell",
    [MGU, rnn.cell(mish), rnn.cell(Nonlinearity("bump", bump, d_bump))],
    ids=["gates", "nonlinearity", "with-its-derivative"],
)
def test_a_cell_of_the_user_is_the_reference(cell, kind, dtype):
    call = make(cell, (7, 5, 6, 19), KINDS[kind], dtype)
    assert cpu.unsupported(call) is None
    grads = gradients_like(call)
    found, expected = by_kernel(call, grads), by_reference(call, grads)
    for name, one, other in zip(["output", "h"], found[0], expected[0], strict=False):
        assert_close(one, other, "forward", name)
    for i, (one, other) in enumerate(zip(found[1], expected[1], strict=True)):
        assert_close(one, other, "backward", f"gradient {i}")


# numbers with the names of what stands in the functions below
h = s = c = 64
d_u = 0.25


def own_names(a):
    s = sigmoid(a)
    d_u = s * a
    c = tanh(d_u)
    u = c * d_u
    return u * u


def mgu_that_changes_its_state(wx, uh, state):
    wx_f, wx_n = wx
    uh_f, uh_n = uh
    (h,) = state
    f = sigmoid(SHARP * (wx_f + uh_f))
    n = tanh(wx_n + f * uh_n)
    saved = (f, n, uh_n, h)
    h = n + (1 - f) * (h - n)
    return (h,), saved


def mgu_from_what_it_saved(dstate, state, after, saved):
    (dh,) = dstate
    f, n, uh_n, h = saved
    dwx_n = dh * f * (1 - n * n)
    dwx_f = SHARP * (dwx_n * uh_n - dh * (h - n)) * f * (1 - f)
    return (dwx_f, dwx_n), (dwx_f, dwx_n * f), (dh * (1 - f),)


LETTERS = ("f", "n"), ("h",), ("f", "n", "uh_n", "h")


@pytest.mark.parametrize(
    "cell",
    [
        rnn.cell(own_names),
        Cell("changes", *LETTERS, mgu_that_changes_its_state, mgu_from_what_it_saved),
    ],
    ids=["nonlinearity", "gates"],
)
def test_names_mean_what_they_mean_in_python(cell):
    call = make(cell, (7, 5, 6, 19), KINDS["dense"], torch.float64)
    grads = gradients_like(call)
    found, expected = by_kernel(call, grads), by_reference(call, grads)
    for one, other in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert_close(one, other)


def scaled(a):
    return SCALE * a


SCALE = 0.5


def test_a_number_of_the_module_may_change(monkeypatch):
    layer, x = elman.nn.RNN(3, 4, nonlinearity=scaled, backend="cpu"), torch.randn(5, 2, 3)
    before = layer(x)[0]
    monkeypatch.setitem(scaled.__globals__, "SCALE", 2.0)
    layer.backend = "reference"
    expected = layer(x)[0]
    layer.backend = "cpu"
    assert_close(layer(x)[0], expected)
    assert not torch.allclose(before, expected)


def test_one_function_with_two_output_layers():
    first, second = (
        elman.nn.RNN(4, 6, nonlinearity=mish, feedback="output", output_nonlinearity=name)
        for name in ("tanh", "identity")
    )
    x = torch.randn(5, 3, 4)
    expected = first(x)[0]
    second(x)
    with FlopCounterMode(display=False):
        assert_close(first(x)[0], expected)


@pytest.mark.parametrize("rows", [3, 4])
def test_a_single_step_of_a_few_rows(rows, variant, monkeypatch):
    monkeypatch.setattr(_user_cells, "machine", cpu.machine)
    layer = elman.nn.CustomRNN(MGU, 4, 40)
    x = torch.randn(1, rows, 4)
    with torch.no_grad():
        found = layer(x)[0]
        layer.backend = "reference"
        assert_close(found, layer(x)[0])


def sums_step(wx, uh, state):
    (wx_h,) = wx
    (uh_h,) = uh
    _, s, t = state
    y = tanh(wx_h + uh_h)
    return (y, s + y, t + s), ()


def sums_backward(dstate, state, after, saved):
    dh, ds, dt = dstate
    y, _, _ = after
    dwx = (dh + ds) * (1 - y * y)
    return (dwx,), (dwx,), (zeros_like(dh), ds + dt, dt)


def test_three_states_under_autocast():
    cell = Cell("sums", ("h",), ("h", "s", "t"), (), sums_step, sums_backward)
    layer, x = elman.nn.CustomRNN(cell, 3, 4), torch.randn(5, 2, 3)
    first = tuple(torch.randn(1, 2, 4) for _ in range(3))
    expected = layer(x, first)[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, first)[1]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.05)


def two_products(a):
    first = a * 3.1
    return a * 0.7 + first


def test_the_formula_and_no_compiler_says_what_is_rounded_at_once(variant, monkeypatch):
    monkeypatch.setattr(_user_cells, "machine", cpu.machine)
    layer = elman.nn.RNN(1, 1, nonlinearity=two_products, bias=False, backend="cpu")
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.fill_(0)
        a = torch.randn(1, 5000, 1)
        found = layer(a)[0]
    first, second = torch.tensor(3.1), torch.tensor(0.7)
    product = a.double() * second.double()
    if variant == "portable":
        product = product.float().double()
    assert torch.equal(found, (product + (a * first).double()).float())


def test_it_is_compiled_once_and_kept_by_its_text(cache):
    name = _user_cells.native_name(MGU)
    libraries = sorted(path.name for path in cache.glob("*.so"))
    _user_cells._found.clear()
    same = Cell("other", ("f", "n"), ("h",), ("f", "n", "uh_n"), mgu_step, mgu_backward)
    assert _user_cells.native_name(same) == name
    assert sorted(path.name for path in cache.glob("*.so")) == libraries


@pytest.mark.parametrize("cell", [MGU, rnn.cell(mish)], ids=["gates", "nonlinearity"])
def test_every_way_to_a_layer(cell):
    layer = elman.nn.CustomRNN(cell, 3, 5, num_layers=2, bidirectional=True)
    x = torch.randn(6, 4, 3, requires_grad=True)
    expected = layer(x)[0]
    assert [one.backend for one in elman.explain(layer, x).choices] == ["cpu"] * 4
    assert_close(torch.func.vmap(lambda one: layer(one)[0])(x[None])[0], expected)
    assert_close(torch.compile(lambda one: layer(one)[0], backend="eager")(x), expected)
    forwards = elman.nn.CustomRNN(cell, 3, 5)
    stepper = forwards.stepper(batch=4)
    steps = torch.stack([stepper(one) for one in x.detach()])
    assert_close(steps, forwards(x)[0].detach())


def _why(layer):
    return elman.explain(layer, torch.randn(2, 1, 3)).choices[0].reasons["cpu"]


def test_what_cannot_be_compiled_runs_on_the_reference_and_says_why():
    plain = elman.nn.RNN(3, 4, nonlinearity=lambda a: a * 2)
    assert "give the function by `def`, not by lambda" in _why(plain)
    assert plain(torch.randn(2, 1, 3))[0].shape == (2, 1, 4)
    wide = 2.0

    def around(a):
        return a * wide

    assert "around uses names around it" in _why(elman.nn.RNN(3, 4, nonlinearity=around))
    assert "leaky has arguments that may be left out" in _why(
        elman.nn.RNN(3, 4, nonlinearity=leaky)
    )
    assert elman.nn.RNN(3, 4, nonlinearity=leaky)(torch.randn(2, 1, 3))[0].shape == (2, 1, 4)
    assert "is no Python function" in _why(elman.nn.RNN(3, 4, nonlinearity=torch.nn.Tanh()))
    forced = elman.nn.RNN(3, 4, nonlinearity=around, backend="cpu")
    with pytest.raises(elman.ops.BackendError, match="uses names around it"):
        forced(torch.randn(2, 1, 3))


def test_without_a_compiler_the_reason_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(_user_cells, "compiler", lambda: None)
    monkeypatch.setenv(_user_cells.CACHE, str(tmp_path))
    layer = elman.nn.RNN(3, 4, nonlinearity=fifth)
    assert "there is no C++ compiler" in _why(layer)


def leaky(a, k=0.5):
    return a * k


def fifth(a):
    return a * a * a * a * a


def tanh_of_another(a):
    return abs(a)


def test_a_word_that_is_another_function_is_refused(monkeypatch):
    monkeypatch.setitem(tanh_of_another.__globals__, "abs", lambda a: a)
    assert "abs is not the one of elman.cells" in _why(
        elman.nn.RNN(3, 4, nonlinearity=tanh_of_another)
    )


def trace_step(wx, uh, state):
    """A second state follows the first one within the step."""
    (wx_h,) = wx
    (uh_h,) = uh
    _, s = state
    y = tanh(wx_h + uh_h)
    return (y, 0.5 * s + y), ()


def trace_backward(dstate, state, after, saved):
    dh, ds = dstate
    y, _ = after
    dh = dh + ds
    dwx = dh * (1 - y * y)
    return (dwx,), (dwx,), (zeros_like(dh), 0.5 * ds)


TRACE = Cell("trace", ("h",), ("h", "s"), (), trace_step, trace_backward)


@pytest.mark.parametrize("kind", ["dense", "lengths"])
def test_a_watch_sees_what_a_step_adds_to_a_gradient(kind):
    class Watch:
        vectors = False

        def seen(self, norms, vectors):
            self.norms = norms.view(torch.float64)

    seen = []
    call = make(TRACE, (7, 5, 6, 19), KINDS[kind])
    grads = gradients_like(call)
    for run in (by_kernel, by_reference):
        watch = Watch()
        run(replace(call, watch=watch), grads)
        seen.append(watch.norms)
    torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-6)

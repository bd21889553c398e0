"""Watching and probing: the norms are those of autograd's hooks on the unrolled layers."""

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
from cases import CASES, named, states
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.diagnostics import (
    Place,
    diagnose,
    probe,
    reach_of,
    spectral_radius,
    states_of,
    update_ratios,
    watch,
    width,
)
from elman.ops import BackendError
from elman.train import scan_window

LENGTHS = torch.tensor([7, 3, 0, 5])


def hooked(layer, x, lengths, loss):
    """The norms (T, B) of the whole state's gradient, by hooks on one step after another."""
    T, B = x.shape[:2]
    seen = torch.zeros(T, B, dtype=torch.float64)

    def hook(t):
        def add(g):
            seen[t] += g.reshape(B, -1).square().sum(-1)

        return add

    state = tuple(torch.zeros(1, B, layer.hidden_size, dtype=x.dtype) for _ in layer.cell.states)
    w, gates = layer.weights_of(0), len(layer.cell.gates)
    for t in range(T):
        if layer.cell.two_products:
            after = states(layer(x[t : t + 1], state[0])[1])
        else:
            # within a step h depends on c, which the layer's own copy of c would not show
            wx = (x[t] @ w.ih.T + w.bias_ih).unflatten(-1, (gates, -1)).unbind(-2)
            uh = (state[0][0] @ w.hh.T + w.bias_hh).unflatten(-1, (gates, -1)).unbind(-2)
            after, _ = layer.cell.step(wx, uh, tuple(s[0] for s in state))
        for one in after:
            one.register_hook(hook(t))
        after = tuple(s.reshape(1, B, -1) for s in after)
        lives = (t < lengths)[:, None]
        state = tuple(torch.where(lives, a, s) for a, s in zip(after, state, strict=True))
    loss(state).backward()
    return seen.sqrt()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("case", **named(CASES))
def test_norms_are_those_of_hooks(case, backend):
    if backend == "cpu" and not elman.kernels.cpu.is_built():
        pytest.skip("the native module is not installed (ELMAN_NATIVE=0)")
    layer = case.make(3, 5, dtype=torch.float64, init="recurrent")
    x = torch.randn(7, 4, 3, dtype=torch.float64)

    def loss(state):
        return sum((s * s).sum() for s in state)

    layer.backend = "reference"
    expected = hooked(layer, x, LENGTHS, loss)
    layer.backend = backend
    with watch(layer) as flow:
        loss(states(layer(x, lengths=LENGTHS)[1])).backward()
    norms = flow.last[Place("", 0, 0)].norms
    found = sum(n.square() for n in norms.values()).sqrt()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert bool((found[0, :2] > 0).all())
    assert not bool(found[torch.arange(7)[:, None] >= LENGTHS].any())


def test_truncated_windows_show_no_gradient_before_the_cut():
    layer = elman.nn.GRU(3, 4)
    x = torch.randn(12, 2, 3)
    seen = []
    with watch(layer) as flow:
        carry = None
        for window in x.split(6):
            output, carry = scan_window(lambda i, hx, resets: layer(i, hx), window, carry)
            output[-1].sum().backward()
            seen.append(flow.last[Place("", 0, 0)].norms["h"])
    assert [len(one) for one in seen] == [6, 6]
    assert all(bool((one > 0).all()) for one in seen)


def test_every_layer_and_direction_is_seen_and_named():
    model = torch.nn.ModuleDict({"enc": elman.nn.LSTM(3, 4, 2, bidirectional=True)})
    with watch(model) as flow:
        model["enc"](torch.randn(5, 2, 3))[0].sum().backward()
    assert {str(place) for place in flow.last} == {
        "enc layer 0",
        "enc layer 0 reverse",
        "enc layer 1",
        "enc layer 1 reverse",
    }
    assert set(flow.last[Place("enc", 0, 0)].norms) == {"h", "c"}


def test_the_vectors_come_on_request_and_give_the_norms():
    layer = elman.nn.LSTM(3, 4)
    with watch(layer, vectors=True) as flow:
        layer(torch.randn(5, 2, 3))[0].sum().backward()
    (seen,) = flow.last.values()
    for letter, vector in seen.vectors.items():
        torch.testing.assert_close(vector.norm(dim=-1).double(), seen.norms[letter])


def test_behind_the_with_nothing_is_watched_and_results_are_the_same():
    layer, x = elman.nn.GRU(3, 4), torch.randn(5, 2, 3)
    layer(x)[0].sum().backward()
    before = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    with watch(layer) as flow:
        layer(x)[0].sum().backward()
    assert layer.watch is None
    for p, one in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close(p.grad, one, rtol=0, atol=0)
    flow.last.clear()
    layer(x)[0].sum().backward()
    assert not flow.last


def test_copies_made_within_a_watch_are_not_watched():
    layer, x = elman.nn.GRU(3, 4, 2), torch.randn(5, 2, 3)
    model = torch.nn.ModuleDict({"enc": layer})
    with watch(model) as flow:
        copied, file = copy.deepcopy(model), io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        unpickled = pickle.loads(pickle.dumps(model))
        for one in (copied, loaded, unpickled):
            assert one["enc"].watch is None
            one["enc"](x)[0].sum().backward()
            assert torch.equal(one["enc"].weight_hh_l1, layer.weight_hh_l1)
        assert not flow.last
        layer(x)[0].sum().backward()
        assert len(flow.last) == 2
    assert layer.watch is None


def test_of_many_calls_of_a_layer_the_earliest_stays():
    layer, x = elman.nn.GRU(3, 4), torch.randn(5, 2, 3)
    with watch(layer) as flow:
        layer(x)[1].sum().backward()
        whole = flow.last[Place("", 0, 0)].norms["h"]
        hx = None
        for x_t in x:
            _, hx = layer.step(x_t, hx)
        hx.sum().backward()
    (seen,) = flow.last.values()
    torch.testing.assert_close(seen.norms["h"], whole[:1])


def test_the_first_value_that_is_not_finite_is_found():
    layer = elman.nn.RNN(1, 1, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.fill_(1e20)
        layer.bias_hh_l0.fill_(1.0)
    with watch(layer) as flow:
        layer(torch.ones(9, 1, 1))[0][:2].sum().backward()
    (seen,) = flow.last.values()
    assert seen.first_not_finite is None
    with watch(layer) as flow:
        layer(torch.ones(9, 1, 1))[1].sum().backward()
    (seen,) = flow.last.values()
    assert seen.first_not_finite is not None
    assert not torch.isfinite(seen.norms["h"][seen.first_not_finite]).all()
    assert torch.isfinite(seen.norms["h"][seen.first_not_finite + 1 :]).all()


def test_what_cannot_be_watched_says_so():
    with pytest.raises(ValueError, match="no recurrent layer of elman.nn; elman.nn.convert"):
        watch(torch.nn.LSTM(2, 3))
    layer = elman.nn.LSTM(2, 3, backend="torch")
    with watch(layer), pytest.raises(BackendError, match="keep the gradients of the states"):
        layer(torch.randn(4, 1, 2))


@pytest.mark.parametrize("eigenvalue", [0.7, 0.95, 1.05])
@pytest.mark.parametrize("lengths", [None, torch.tensor([60, 30, 45, 60])])
def test_the_lyapunov_exponent_of_a_linear_cell_is_its_eigenvalue(eigenvalue, lengths):
    layer = elman.nn.RNN(1, 6, nonlinearity="identity", dtype=torch.float64)
    with torch.no_grad():
        torch.nn.init.orthogonal_(layer.weight_hh_l0).mul_(eigenvalue)
    args = {} if lengths is None else {"lengths": lengths}
    found = reach_of(probe(layer, torch.randn(60, 4, 1, dtype=torch.float64), **args).furthest)
    assert found.exponent == pytest.approx(np.log(eigenvalue), abs=1e-6)
    assert found.rate_low <= found.rate + 1e-9
    assert found.rate_high >= found.rate - 1e-9
    if eigenvalue == 0.7:
        assert found.lag == int(np.ceil(np.log(0.01) / np.log(0.7)))
    else:
        assert (found.lag is None) == (eigenvalue**59 > 0.01)


def test_the_largest_of_several_eigenvalues_wins_over_many_steps():
    layer = elman.nn.RNN(1, 3, nonlinearity="identity", dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.diag(torch.tensor([0.5, 0.9, 0.2])))
    found = reach_of(probe(layer, torch.randn(200, 8, 1, dtype=torch.float64)).furthest)
    assert found.rate == pytest.approx(0.9, abs=2e-3)


def test_a_probe_is_seeded_and_leaves_the_model_alone():
    model = elman.nn.GRU(3, 4, 2, dropout=0.5).train()
    x = torch.randn(9, 2, 3)
    before = torch.get_rng_state()
    first, again = probe(model, x, seed=3), probe(model, x, seed=3)
    other = probe(model, x, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    for place, norms in first.norms.items():
        assert np.array_equal(norms, again.norms[place])
        assert not np.array_equal(norms, other.norms[place])


def test_a_probe_of_a_packed_batch_has_its_rows_as_they_were_given():
    layer, x, lengths = elman.nn.GRU(3, 4, 2), torch.randn(9, 4, 3), torch.tensor([1, 9, 6, 2])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    given, padded = probe(layer, packed), probe(layer, x, lengths=lengths)
    for place, norms in padded.norms.items():
        assert np.isnan(norms).sum(0).tolist() == [8, 0, 3, 7]
        np.testing.assert_allclose(given.norms[place], norms, rtol=1e-5)
    assert width(layer, packed, lag=5) == width(layer, x, lag=5, lengths=lengths)
    # one row is so long
    assert width(layer, packed, lag=8) is not None


@pytest.mark.parametrize("lengths", [[2, 4, 1, 3], [2, 7, 1, 3]])
def test_a_batch_first_layer_is_diagnosed_alike_however_its_batch_comes(lengths):
    layer, timed = elman.nn.GRU(3, 5, batch_first=True), elman.nn.GRU(3, 5)
    timed.load_state_dict(layer.state_dict())
    x = torch.randn(max(lengths), 4, 3) * 9
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    found, expected = diagnose(layer, packed), diagnose(timed, x, lengths=lengths)
    assert found.saturated == expected.saturated
    assert str(found) == str(expected)
    assert str(diagnose(layer, x[:, 0])) == str(diagnose(timed, x[:, :1]))


def test_states_tell_saturated_and_dead_units():
    layer = elman.nn.RNN(1, 4, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.bias_ih_l0.copy_(torch.tensor([0.0, -1e3, -1e3, 0.0]))
    x = torch.rand(30, 2, 1)
    assert states_of(layer, layer.trace(x)).dead == 0.5
    layer = elman.nn.RNN(1, 4)
    with torch.no_grad():
        layer.bias_ih_l0.copy_(torch.tensor([9.0, 9.0, 9.0, 0.0]))
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l0.fill_(0.1)
    assert states_of(layer, layer.trace(x)).saturated["h"] == 0.75
    # rows behind their ends do not count
    found = states_of(layer, layer.trace(x, lengths=torch.tensor([30, 1])), torch.tensor([30, 1]))
    assert found.saturated["h"] == 0.75


def test_the_spectral_radius_is_that_of_the_eigenvalues():
    torch.manual_seed(0)
    random = torch.randn(40, 40)
    skewed = torch.diag(torch.linspace(0.1, 0.9, 40)) + torch.triu(random, 1) / 5
    layer = elman.nn.RNN(2, 40)

    def radius(w):
        with torch.no_grad():
            layer.weight_hh_l0.copy_(w)
        return spectral_radius(layer)["weight_hh_l0"]["h"]

    for w in (random, 1e-30 * random, torch.linalg.qr(random)[0], random @ random.T, skewed):
        expected = float(torch.linalg.eigvals(w.double()).abs().max())
        assert radius(w) == pytest.approx(expected, rel=2e-5)
    assert radius(torch.diag(torch.ones(39), 1)) == 0
    assert math.isnan(radius(torch.full((40, 40), math.nan)))


def test_spectral_radius_and_update_ratios():
    layer = elman.nn.LSTM(2, 3, 2)
    with torch.no_grad():
        layer.weight_hh_l1[3:6] = torch.diag(torch.tensor([-2.0, 1.0, 0.5]))
    assert spectral_radius(layer)["weight_hh_l1"]["f"] == pytest.approx(2.0)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    with torch.no_grad():
        layer.weight_ih_l0.mul_(1.1)
    found = update_ratios(before, layer)
    assert found["weight_ih_l0"] == pytest.approx(0.1, rel=1e-4)
    assert found["weight_hh_l0"] == 0.0

"""Every remedy: what it helps, and what it leaves alone."""

import pytest
import torch
from torch.nn.utils import parametrize

import elman
from elman.diagnostics import diagnose, remedies, spectral_radius, watch

X = torch.randn(60, 4, 2)


def params(layer):
    return {name: p.detach().clone() for name, p in layer.named_parameters()}


def changed(layer, before):
    now = dict(layer.named_parameters())
    return {name for name, p in before.items() if not torch.equal(p, now[name])}


def reach(layer):
    found = diagnose(layer, X * 0.1).reach
    return found.steps if found.lag is None else found.lag


@pytest.mark.parametrize("remedy", [remedies.orthogonal, remedies.identity])
def test_a_start_with_unit_eigenvalues_reaches_farther(remedy):
    layer = elman.nn.RNN(2, 16)
    before, near = params(layer), reach(layer)
    remedy(layer)
    assert reach(layer) > 2 * near
    biases = {"bias_ih_l0", "bias_hh_l0"} if remedy is remedies.identity else set()
    assert changed(layer, before) == {"weight_hh_l0"} | biases


def test_spectral_calms_an_explosion_and_changes_no_direction():
    layer = elman.nn.RNN(2, 16, nonlinearity="identity")
    with torch.no_grad():
        layer.weight_hh_l0.mul_(3.0)
    before = params(layer)
    assert diagnose(layer, X).kind == "exploding"
    remedies.spectral(layer)
    assert diagnose(layer, X).kind != "exploding"
    assert spectral_radius(layer)["weight_hh_l0"]["h"] == pytest.approx(1.0, abs=1e-5)
    assert changed(layer, before) == {"weight_hh_l0"}
    ratio = layer.weight_hh_l0.detach() / before["weight_hh_l0"]
    torch.testing.assert_close(ratio, torch.full_like(ratio, ratio[0, 0].item()))
    with pytest.raises(ValueError, match="radius=0; give a number above zero"):
        remedies.spectral(layer, 0)


@pytest.mark.parametrize("cell", [elman.nn.GRU, elman.nn.LSTM])
def test_gate_biases_keep_the_state_longer(cell):
    layer = cell(2, 16)
    before, near = params(layer), reach(layer)
    remedies.forget_bias(layer, 3.0)
    farther = reach(layer)
    assert farther > near
    assert changed(layer, before) == {"bias_ih_l0", "bias_hh_l0"}
    remedies.chrono(layer, 200)
    assert reach(layer) == len(X)
    with pytest.raises(ValueError, match="lag=2; give a whole number of steps from 3 on"):
        remedies.chrono(layer, 2)


def test_gate_remedies_refuse_cells_without_the_gate():
    with pytest.raises(ValueError, match="has no gate that keeps its state"):
        remedies.chrono(elman.nn.RNN(2, 3), 10)
    with pytest.raises(ValueError, match="make it with bias=True"):
        remedies.forget_bias(elman.nn.LSTM(2, 3, bias=False))
    with pytest.raises(ValueError, match="is not square gate by gate"):
        remedies.orthogonal(elman.nn.LSTM(2, 5, proj_size=3))


@pytest.mark.parametrize("cell", [elman.nn.RNN, elman.nn.GRU])
def test_kept_orthogonal_weights_stay_so_and_learn(cell):
    layer = cell(2, 8)
    remedies.keep_orthogonal(layer)
    optimizer = torch.optim.SGD(layer.parameters(), 0.5)
    start = layer.weight_hh_l0.detach().clone()
    for _ in range(5):
        layer(X)[0].square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not torch.allclose(layer.weight_hh_l0, start, atol=1e-3)
    assert remedies.is_orthogonal(layer) or all(
        torch.allclose(w @ w.T, torch.eye(8), atol=1e-4)
        for w in layer.weight_hh_l0.detach().chunk(len(layer.cell.gates))
    )
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert isinstance(layer.weight_hh_l0, torch.nn.Parameter)


def test_projection_brings_weights_back():
    layer = elman.nn.RNN(2, 8, init="recurrent")
    with torch.no_grad():
        layer.weight_hh_l0.add_(torch.randn(8, 8) * 0.02)
    assert not remedies.is_orthogonal(layer)
    before = params(layer)
    remedies.project_orthogonal(layer)
    assert remedies.is_orthogonal(layer)
    assert changed(layer, before) == {"weight_hh_l0"}
    assert (layer.weight_hh_l0 - before["weight_hh_l0"]).abs().max() < 0.1


@pytest.mark.parametrize("cell", [elman.nn.RNN, elman.nn.LSTM])
def test_the_flow_penalty_is_zero_for_a_flow_that_keeps_its_size_and_mends_one_that_does_not(cell):
    if cell is elman.nn.RNN:
        layer = elman.nn.RNN(2, 6, nonlinearity="identity", init="recurrent")
        with watch(layer, vectors=True) as flow:
            layer(X)[1].sum().backward()
        assert float(remedies.flow_penalty(layer, X, flow).detach()) < 1e-10
    layer = cell(2, 6)
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    near = reach(layer)
    values = []
    for _ in range(60):
        with watch(layer, vectors=True) as flow:
            layer(X * 0.1)[0][-1].sum().backward()
        optimizer.zero_grad()
        penalty = remedies.flow_penalty(layer, X * 0.1, flow)
        penalty.backward()
        optimizer.step()
        values.append(float(penalty.detach()))
    assert values[-1] < 0.5 * values[0]
    assert reach(layer) > near


def test_the_flow_penalty_is_pascanus_formula():
    layer, x = elman.nn.RNN(2, 3, dtype=torch.float64), torch.randn(5, 2, 2, dtype=torch.float64)
    with watch(layer, vectors=True) as flow:
        layer(x)[1].sum().backward()
    delta = next(iter(flow.last.values())).vectors["h"]
    (trace,) = layer.trace(x)
    h, total = trace.output.detach(), []
    for t in range(1, 5):
        for b in range(2):
            jacobian = torch.diag(1 - h[t, b] ** 2) @ layer.weight_hh_l0.detach()
            size = (delta[t, b] @ jacobian).norm() / delta[t, b].norm()
            total.append((size - 1) ** 2)
    found = remedies.flow_penalty(layer, x, flow)
    torch.testing.assert_close(found.detach(), torch.stack(total).mean())
    with pytest.raises(ValueError, match="were not seen"):
        remedies.flow_penalty(layer, x, elman.diagnostics.watch(layer))


def spelled_out(layer, x, h0, resets):
    """Pascanu's penalty of a stack of tanh layers, unrolled step by step with autograd."""

    def step(w, x_t, h):
        return torch.tanh(x_t @ w.ih.T + w.bias_ih + h @ w.hh.T + w.bias_hh)

    weights = [layer.weights_of(number) for number in range(layer.num_layers)]
    inputs, states = [x], []
    for number, w in enumerate(weights):
        h, run = h0[number], []
        for t, x_t in enumerate(inputs[-1]):
            run.append(h := step(w, x_t, torch.where(resets[t, :, None], 0, h)))
        states.append(run)
        output = torch.stack(run)
        inputs.append(output + inputs[-1] if number else output)
    deltas = torch.autograd.grad(inputs[-1][-1].sum(), [h for run in states for h in run])
    terms = []
    for number, w in enumerate(weights):
        ratios = []
        for t in range(1, len(x)):
            before = states[number][t - 1].detach().requires_grad_()
            after = step(w, inputs[number][t].detach(), before)
            delta = deltas[number * len(x) + t]
            (passed,) = torch.autograd.grad(after, before, delta, create_graph=True)
            flows = ~resets[t] & (delta.norm(dim=-1) > 0)
            ratios.append(passed[flows].norm(dim=-1) / delta[flows].norm(dim=-1))
        terms.append((torch.cat(ratios) - 1).square().mean())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", ["nothing", "hx", "resets"])
def test_the_flow_penalty_knows_residuals_the_first_state_and_resets(given, batch_first):
    options = {"num_layers": 3, "residual": True, "batch_first": batch_first}
    layer = elman.nn.RNN(3, 4, **options, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2)
    x, resets = torch.randn(6, 2, 3, dtype=torch.float64), torch.zeros(6, 2, dtype=torch.bool)
    h0 = torch.zeros(3, 2, 4, dtype=torch.float64)
    came, call = x.transpose(0, 1) if batch_first else x, {}
    if given == "hx":
        call["hx"] = h0 = torch.randn(3, 2, 4, dtype=torch.float64) * 3
    if given == "resets":
        resets[0, 1] = resets[3, 0] = True
        call["resets"] = resets.T if batch_first else resets
    with watch(layer, vectors=True) as flow:
        output, _ = layer(came, **call)
        (output[:, -1] if batch_first else output[-1]).sum().backward()
    expected = spelled_out(layer, x, h0, resets)
    found = remedies.flow_penalty(layer, came, flow, **call)
    torch.testing.assert_close(found, expected)
    parameters = list(layer.parameters())
    for one, other in zip(
        torch.autograd.grad(found, parameters, allow_unused=True),
        torch.autograd.grad(expected, parameters, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_cell_can_be_changed():
    layer = elman.nn.RNN(2, 5, 2, bidirectional=True, dropout=0.1)
    made = elman.nn.change_cell(layer, cell="gru")
    assert repr(made) == "GRU(2, 5, num_layers=2, dropout=0.1, bidirectional=True)"
    before = params(layer)
    same = elman.nn.change_cell(layer, nonlinearity="relu")
    assert same is layer
    assert not changed(layer, before)
    assert bool((layer(X)[0] >= 0).all())
    with pytest.raises(ValueError, match="GRU has no nonlinearity to choose"):
        elman.nn.change_cell(made, nonlinearity="relu")

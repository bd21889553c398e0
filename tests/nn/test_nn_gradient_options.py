"""How a layer's gradient goes back: checkpointed, clipped, watched; and what keeps states as they
were.
"""

import pytest
import torch
from cases import CASES, named, states
from torch import nn

import elman
from elman.ops import BackendError

LENGTHS = torch.tensor([30, 11, 0, 24])


def gradients(layer, x, **more):
    layer.zero_grad()
    x = x.clone().requires_grad_()
    output, state = layer(x, **more)
    (output.square().sum() + sum(s.sum() for s in states(state))).backward()
    return [x.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize("case", **named(CASES))
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_checkpointed_is_full_bit_for_bit(case, lengths):
    full = case.make(3, 5, 2, bidirectional=True)
    half = case.make(3, 5, 2, bidirectional=True, bptt="checkpointed")
    half.load_state_dict(full.state_dict())
    x = torch.randn(30, 4, 3)
    for one, other in zip(
        gradients(full, x, lengths=lengths), gradients(half, x, lengths=lengths), strict=True
    ):
        assert torch.equal(one, other)


def test_checkpointed_under_compile_and_func():
    layer = elman.nn.GRU(3, 5, bptt="checkpointed")
    x = torch.randn(30, 2, 3)
    expected = gradients(layer, x)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for one, other in zip(gradients(compiled, x), expected, strict=True):
        torch.testing.assert_close(one, other)
    weights = dict(layer.named_parameters())

    def loss(weights, x):
        return torch.func.functional_call(layer, weights, x)[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(weights, x[:, :, None])
    whole = torch.func.grad(loss)(weights, x)
    for name, one in each.items():
        torch.testing.assert_close(one.sum(0), whole[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("case", **named(CASES))
def test_a_clip_bounds_the_gradient_of_every_step_and_a_wide_one_changes_nothing(case, backend):
    if backend == "cpu" and not elman.kernels.cpu.is_built():
        pytest.skip("the native module is not installed (ELMAN_NATIVE=0)")
    layer = case.make(3, 8, backend=backend)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2.0)
    x = torch.randn(40, 3, 3)

    def norms():
        with elman.diagnostics.watch(layer) as flow:
            states(layer(x)[1])[0].sum().backward()
        return sum(n.square() for n in next(iter(flow.last.values())).norms.values()).sqrt()

    free, plain = norms(), gradients(layer, x)
    bound = 0.5 * float(free[:-1].max())
    layer.gradient_clip = bound
    # what is handed on is bounded, each state on its own; within a step c gets h's part as well
    most = bound if len(layer.cell.states) == 1 else 2 * bound
    assert float(norms()[:-1].max()) <= most * 1.0001
    layer.gradient_clip = 1e9
    for one, other in zip(gradients(layer, x), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0, -1.0])
def test_a_clip_is_above_zero(value):
    with pytest.raises(ValueError, match=f"GRU: gradient_clip={value}; give a number above zero"):
        elman.nn.GRU(2, 3, gradient_clip=value)


def test_bptt_is_one_of_two_words():
    with pytest.raises(ValueError, match="bptt='half' is not known; give one of full, checkp"):
        elman.nn.LSTM(2, 3, bptt="half")


@pytest.mark.parametrize("case", **named(CASES))
def test_zoneout_keeps_entries_or_takes_their_mean(case):
    layer = case.make(3, 6, zoneout=0.4, dtype=torch.float64)
    x, h = torch.randn(1, 500, 3, dtype=torch.float64), torch.randn(1, 500, 6, dtype=torch.float64)
    given = h if len(layer.cell.states) == 1 else (h, torch.randn_like(h))
    plain = case.make(3, 6, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    new, drawn = states(plain(x, given)[1]), states(layer(x, given)[1])
    mean = states(layer.eval()(x, given)[1])
    for before, after, mixed, one in zip(states(given), new, drawn, mean, strict=True):
        kept = mixed == before
        torch.testing.assert_close(mixed[~kept], after[~kept])
        assert float(kept.double().mean()) == pytest.approx(0.4, abs=0.04)
        torch.testing.assert_close(one, 0.4 * before + 0.6 * after)


def test_normalised_products_are_those_of_the_paper():
    layer = elman.nn.LSTM(3, 4, layer_norm=True, dtype=torch.float64)
    with torch.no_grad():
        layer.norm_ih_l0.uniform_(0.5, 1.5)
        layer.norm_hh_l0.uniform_(0.5, 1.5)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def normalise(a, gain):
        a = a - a.mean(-1, keepdim=True)
        return gain * a / (a.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    h = c = torch.zeros(2, 4, dtype=torch.float64)
    for x_t in x:
        a = normalise(x_t @ layer.weight_ih_l0.T, layer.norm_ih_l0) + layer.bias_ih_l0
        a = a + normalise(h @ layer.weight_hh_l0.T, layer.norm_hh_l0) + layer.bias_hh_l0
        i, f, g, o = a.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(layer(x)[1][0][0], h)


def test_a_normalised_recurrence_stays_calm_whatever_the_size_of_w():
    layer = elman.nn.RNN(3, 16, nonlinearity="identity", layer_norm=True)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(50)
    with torch.no_grad():
        assert float(layer(torch.randn(100, 2, 3))[0].abs().max()) < 20


def test_residual_adds_what_comes_in_above_the_first_layer():
    layer = elman.nn.GRU(3, 5, 3, residual=True)
    x = torch.randn(6, 2, 3)
    expected = x
    for number in range(3):
        one = elman.nn.GRU(3 if number == 0 else 5, 5)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(one, f"{name}_l0").data.copy_(getattr(layer, f"{name}_l{number}"))
        found, _ = one(expected)
        expected = found if number == 0 else found + expected
    torch.testing.assert_close(layer(x)[0], expected)
    stepper = layer.stepper(batch=2)
    steps = torch.stack([stepper(x_t) for x_t in x])
    torch.testing.assert_close(steps, expected)


def test_a_residual_stack_hands_its_gradient_down():
    def share(residual):
        torch.manual_seed(0)
        layer = elman.nn.RNN(8, 8, 12, residual=residual)
        x = torch.randn(3, 4, 8, requires_grad=True)
        layer(x)[0].sum().backward()
        return float(x.grad.norm())

    assert share(True) > 10 * share(False)


def test_what_runs_on_the_reference_alone_says_so():
    layer = elman.nn.GRU(3, 4, zoneout=0.1)
    said = str(elman.explain(layer, torch.randn(5, 2, 3)))
    assert "reference" in said
    assert "zoneout runs on the reference" in said
    layer.backend = "cpu"
    with pytest.raises(BackendError, match="zoneout runs on the reference"):
        layer(torch.randn(5, 2, 3))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: elman.nn.GRU(2, 3, zoneout=1.5), "GRU: zoneout=1.5 lies outside"),
        (lambda: elman.nn.LSTM(2, 3, proj_size=2, zoneout=0.1), "keeps the state h"),
        (lambda: elman.nn.GRU(2, 3, residual=True), "num_layers is 1; leave it out"),
        (
            lambda: elman.nn.GRU(2, 3, reset_gate="before", layer_norm=True),
            'this cell has two; give reset_gate="after"',
        ),
    ],
)
def test_arguments_that_cannot_be(made, said):
    with pytest.raises(ValueError, match=said):
        made()


def test_a_model_with_all_of_it_learns():
    model = nn.ModuleDict(
        {
            "rnn": elman.nn.LSTM(2, 16, 2, zoneout=0.05, layer_norm=True, residual=True),
            "head": nn.Linear(16, 1),
        }
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(250):
        x = torch.rand(8, 16, 2)
        said = model["head"](model["rnn"](x)[0][-1])[:, 0]
        loss = (said - x[-3, :, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    # saying the mean always costs 1 / 12
    assert sum(losses[-10:]) / 10 < 0.75 / 12

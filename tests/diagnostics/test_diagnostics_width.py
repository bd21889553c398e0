"""In how many directions a gradient arrives, beside Jacobians spelled out."""

import pytest
import torch

import elman
from elman.diagnostics import diagnose, width


def diagonal(values):
    """A linear network whose units keep so much of themselves at each step."""
    layer = elman.nn.RNN(1, len(values), nonlinearity="identity", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.diag(torch.tensor(values)))
    return layer


def test_directions_that_keep_a_hundredth_are_counted():
    layer, x = diagonal([1.0, 0.9, 0.8, 0.5, 0.0]), torch.randn(41, 3, 1)
    # 0.9 ** 40 = 0.0148, 0.8 ** 20 = 0.0115, 0.5 ** 6 = 0.0156
    for lag, count in ((0, 5), (6, 4), (7, 3), (20, 3), (21, 2), (40, 2)):
        assert width(layer, x, lag=lag) == count
    assert width(layer, x, lag=41) is None
    lengths = torch.tensor([41, 7, 7])
    assert width(layer, x, lag=6, lengths=lengths) == 4
    # one row is so long
    assert width(layer, x, lag=40, lengths=lengths) == 2
    with pytest.raises(ValueError, match="width: lag=-1; give steps before the end, 0 or more"):
        width(layer, x, lag=-1)
    with pytest.raises(ValueError, match="no parameter of the model asks for a gradient"):
        width(layer.requires_grad_(False), x, lag=3)


@pytest.mark.parametrize("kind", [elman.nn.RNN, elman.nn.GRU, elman.nn.LSTM])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_it_is_the_rank_of_the_jacobians_product(kind, backend):
    layer = kind(2, 7, dtype=torch.float64, init="recurrent")
    x, lag = torch.randn(12, 1, 2, dtype=torch.float64), 5
    _, hx = layer(x[: 12 - lag])
    states = hx if isinstance(hx, tuple) else (hx,)

    def rest(*states):
        _, hx = layer(x[12 - lag :], states if len(states) > 1 else states[0])
        return (hx[0] if isinstance(hx, tuple) else hx).flatten()

    blocks = torch.autograd.functional.jacobian(rest, states)
    values = torch.linalg.svdvals(torch.cat([one.flatten(1) for one in blocks], 1))
    # at lag 0 c has its part in h too
    with torch.no_grad():
        trace = layer.trace(x)[0]
    largest = 1.0
    if kind is elman.nn.LSTM:
        c, o = trace.states["c"][-1, 0], trace.gates["o"][-1, 0]
        largest = float((1 + (o * (1 - c.tanh() ** 2)) ** 2).sqrt().max())
    layer.backend = backend
    assert width(layer, x, lag=lag) == int((values >= 0.01 * largest).sum())


def test_many_units_are_asked_in_directions_by_chance():
    layer = diagonal([1.0] * 20 + [0.5] * 280)
    assert width(layer, torch.randn(40, 2, 1), lag=30) == 20
    assert width(layer, torch.randn(40, 2, 1), lag=2) == 256


def test_the_layer_and_the_direction_that_carry_most_count():
    stacked = elman.nn.RNN(1, 4, 2, nonlinearity="identity", bias=False)
    with torch.no_grad():
        stacked.weight_hh_l0.copy_(torch.eye(4))
        stacked.weight_hh_l1.zero_()
        torch.nn.init.orthogonal_(stacked.weight_ih_l1)
    assert width(stacked, torch.randn(20, 2, 1), lag=15) == 4
    both = elman.nn.RNN(1, 4, nonlinearity="identity", bias=False, bidirectional=True)
    with torch.no_grad():
        both.weight_hh_l0.zero_()
        both.weight_hh_l0_reverse.copy_(torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0])))
    assert width(both, torch.randn(20, 2, 1), lag=15) == 2


def test_a_narrow_gradient_cannot_carry_many_numbers():
    layer, x = diagonal([1.0, 1.0, 0.5, 0.5, 0.5]), torch.randn(50, 4, 1)
    found = diagnose(layer, x, needed=40, carried=3)
    assert (found.kind, found.can_learn, found.width) == ("narrow", False, 2)
    assert (
        "the answer lies 40 steps back and has 3 numbers, for which the gradient arrives in 2"
        " directions: this model cannot learn it as it is." in str(found)
    )
    assert [name for name, _ in found.remedies] == [
        "cell", "orthogonal", "keep_orthogonal", "hidden_size",
    ]  # fmt: skip
    enough = diagnose(layer, x, needed=40, carried=2)
    assert (enough.kind, enough.can_learn) == ("healthy", True)
    assert "at lag 40 in 2 directions, for 2 numbers" in str(enough)
    # what does not arrive at all is called by that
    assert diagnose(diagonal([0.5] * 5), x, needed=40, carried=3).kind == "vanishing"
    assert diagnose(layer, x, needed=40).width is None
    lstm = elman.nn.LSTM(1, 2)
    elman.diagnostics.remedies.chrono(lstm, 40)
    found = diagnose(lstm, x, needed=30, carried=9)
    assert (found.kind, found.remedies[0][0]) == ("narrow", "chrono")

"""What remedies make of a network, and back."""

import pytest
import torch
from torch import nn

import elman
from elman.train._treatment import Treatment, apply_changes


def mixed():
    """A simple layer, one whose output is fed back, and a gated one."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "plain": elman.nn.RNN(2, 5, nonlinearity="softsign"),
            "fed": elman.nn.RNN(2, 5, feedback="output"),
            "gated": elman.nn.GRU(2, 5),
        }
    )


def copied(network):
    return {name: one.clone() for name, one in network.state_dict().items()}


def test_simple_cells_alone_are_changed():
    network = mixed()
    gated = copied(network["gated"])
    treatment = Treatment(network, change_cells=True)
    assert treatment.plan() == ["orthogonal", "identity", "gru"]
    treatment.apply("identity", 20)
    assert torch.equal(network["plain"].weight_hh_l0, torch.eye(5))
    for name, one in network["gated"].state_dict().items():
        assert torch.equal(one, gated[name])
    treatment.apply("gru", 20)
    kinds = {name: type(one) for name, one in network.items()}
    assert kinds == {"plain": elman.nn.GRU, "fed": elman.nn.RNN, "gated": elman.nn.GRU}


@pytest.mark.parametrize("name", ["orthogonal", "identity", "gru"])
def test_what_was_done_is_undone(name):
    network = mixed()
    x = torch.randn(7, 3, 2)
    said = [one(x)[0] for one in network.values()]
    treatment = Treatment(network, change_cells=True)
    weights = treatment.weights()
    treatment.apply(name, 20)
    assert not torch.equal(network["plain"](x)[0], said[0])
    treatment.undo(weights)
    assert not treatment.changed
    assert type(network["plain"]) is elman.nn.RNN
    for one, expected in zip(network.values(), said, strict=True):
        assert torch.equal(one(x)[0], expected)


@pytest.mark.parametrize("name", ["identity", "gru"])
def test_its_state_makes_another_network_the_same(name):
    network, other = mixed(), mixed()
    treatment, again = Treatment(network, change_cells=True), Treatment(other, change_cells=True)
    before = treatment.weights()
    treatment.apply(name, 20)
    again.load(treatment.state())
    other.load_state_dict(network.state_dict())
    x = torch.randn(7, 3, 2)
    for one, same in zip(network.values(), other.values(), strict=True):
        assert torch.equal(one(x)[0], same(x)[0])
    again.undo(before)
    assert torch.equal(other["plain"](x)[0], mixed()["plain"](x)[0])


def test_there_is_nothing_to_do_where_no_product_is_square():
    fed = nn.ModuleDict({"fed": elman.nn.RNN(2, 3, feedback="output")})
    assert Treatment(fed, change_cells=True).plan() == []
    apply_changes(fed, {"cell": "gru"})
    assert type(fed["fed"]) is elman.nn.RNN


def test_weights_that_something_computes_are_left_alone_and_small_gates_are_not_raised():
    computed, plain = elman.nn.RNN(3, 4), elman.nn.RNN(3, 4)
    torch.nn.utils.parametrizations.weight_norm(computed, "weight_hh_l0")
    with torch.no_grad():
        plain.weight_hh_l0.copy_(0.3 * torch.eye(4))
    network = torch.nn.ModuleList([computed, plain])
    before = [one.weight_hh_l0.detach().clone() for one in network]
    treatment = Treatment(network, change_cells=False)
    treatment.apply("spectral", 0)
    for one, other in zip(network, before, strict=True):
        assert torch.equal(one.weight_hh_l0, other)
    treatment.apply("orthogonal", 0)
    assert torch.equal(computed.weight_hh_l0, before[0])
    assert not torch.equal(plain.weight_hh_l0, before[1])

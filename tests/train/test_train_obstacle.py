"""A remedy that cannot act says so, and leaves its turn to the next one."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import elman
from elman.train._remedy import Remedies
from elman.train._treatment import Treatment

X = torch.randn(60, 4, 2)


def treating(module, **more):
    """What treats a module, what it notes, and a gradient that vanished in it."""
    noted = []
    optimizer = torch.optim.SGD(module.parameters(), 1.0)
    remedies = Remedies(module, optimizer, noted.append, renew=lambda: optimizer, **more)
    found = elman.diagnostics.diagnose(next(iter(module.children())), X, needed=59)
    found = replace(found, reach=replace(found.reach, lag=3), kind="vanishing", dead=0.0)
    return remedies, noted, found


def tried(remedies, noted, found):
    """The names of all that is tried where nothing helps."""
    for step in range(30):
        remedies.look(step, found)
    return [one["remedy"] for one in noted]


def test_grus_that_did_not_help_stay_as_there_is_nothing_that_they_lack():
    torch.manual_seed(0)
    module = nn.ModuleDict({"layer": elman.nn.RNN(2, 5, init="recurrent")})
    remedies, noted, found = treating(module, change_cells=True)
    # GRUs come with the biases that chrono would give them, and simple cells have no such gates
    assert tried(remedies, noted, found) == ["identity", "identity undone", "gru"]
    assert type(module["layer"]) is elman.nn.GRU
    assert remedies.changed == {"cell": "gru"}


@pytest.mark.parametrize("computed", [False, True])
def test_gates_without_biases_that_can_be_set_are_said_to_have_none(computed):
    layer = elman.nn.GRU(2, 5, bias=computed)
    if computed:
        parametrizations.weight_norm(layer, "bias_ih_l0", dim=None)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    remedies, noted, found = treating(nn.ModuleDict({"layer": layer}))
    assert tried(remedies, noted, found) == ["chrono left out"]
    assert noted[0]["why"] == "no layer has gates with biases that are parameters."
    assert not remedies.tried
    assert all(torch.equal(p, before[name]) for name, p in layer.named_parameters())
    # nor is it said again behind a checkpoint
    again, more, _ = treating(nn.ModuleDict({"layer": layer}))
    again.load(remedies.state())
    assert tried(again, more, found) == []


def test_the_next_remedy_has_its_turn():
    module = nn.ModuleDict({"layer": elman.nn.RNN(2, 5)})
    parametrizations.weight_norm(module["layer"], "bias_hh_l0", dim=None)
    remedies, noted, found = treating(module, change_cells=True)
    names = tried(remedies, noted, found)
    assert names == ["orthogonal", "identity left out", "orthogonal undone", "gru"]
    assert noted[1]["why"] == "no layer of simple cells has biases that are parameters."
    assert remedies.tried == ["orthogonal", "gru"]


def test_gates_beside_simple_cells_are_treated_last():
    module = nn.ModuleDict({"rnn": elman.nn.RNN(2, 5), "gru": elman.nn.GRU(2, 5)})
    assert Treatment(module).plan() == ["orthogonal", "identity", "chrono"]
    fed = nn.ModuleDict({"fed": elman.nn.RNN(2, 3, feedback="output"), "gru": module["gru"]})
    assert Treatment(fed).plan()[-1] == "chrono"
    before = module["gru"].bias_ih_l0.detach().clone()
    Treatment(fed).apply("chrono", 20)
    assert not torch.equal(module["gru"].bias_ih_l0, before)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (elman.nn.RNN(2, 3, feedback="output"), "no layer has a square W that is a parameter."),
        (elman.nn.RNN(2, 3, init="recurrent"), "no W has a spectral radius above 1."),
    ],
)
def test_an_explosion_that_no_scaling_helps_against_is_left_to_the_others(layer, why):
    remedies, noted, found = treating(nn.ModuleDict({"layer": layer}))
    assert not remedies.look(0, replace(found, kind="exploding"))
    assert [(one["remedy"], one["why"]) for one in noted] == [("spectral left out", why)]

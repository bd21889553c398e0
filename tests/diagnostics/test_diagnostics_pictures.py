"""Every picture is written and shows something."""

import matplotlib.image
import numpy as np
import pytest
import torch

import elman
from elman.diagnostics import (
    diagnose,
    plot_gates,
    plot_reach,
    plot_states,
    plot_unrolled,
    probe,
    watch,
)


def check(path):
    """Not blank, and readable in grey: what is drawn differs in brightness."""
    image = matplotlib.image.imread(path)[..., :3]
    grey = image.mean(-1)
    assert grey.std() > 0.02
    assert (grey < 0.5).mean() > 0.002
    return image


@pytest.fixture
def layer():
    return elman.nn.LSTM(3, 8, 2, bidirectional=True)


def test_reach_gates_states_and_unrolled(tmp_path, layer):
    x = torch.randn(30, 4, 3)
    found = diagnose(layer, x, needed=20)
    path = tmp_path / "a.png"
    plot_reach(probe(layer, x), path, found)
    check(path)
    for one in (layer, elman.nn.RNN(3, 8), elman.nn.RNN(3, 8, nonlinearity="relu")):
        plot_gates(one, one.trace(x), path)
        check(path)
    plot_states(layer.trace(x)[0].output[:, 0], path, ["a", " "] * 15)
    check(path)
    plot_unrolled(0.6 ** np.arange(9.0)[::-1], path, list("recurrent"))
    check(path)
    with pytest.raises(ValueError, match="41 steps; give at most 40"):
        plot_unrolled(np.ones(41), path)


def test_a_flow_draws_its_last_pass_and_its_history(tmp_path, layer):
    with watch(layer) as flow:
        with pytest.raises(ValueError, match="no backward pass was seen"):
            flow.plot(tmp_path)
        for step in range(4):
            layer(torch.randn(12, 2, 3))[0][-1].sum().backward()
            flow.note(step)
    made = flow.plot(tmp_path / "new")
    assert [one.name for one in made][:2] == ["gradient.png", "history.png"]
    assert len(made) == 5
    for one in made:
        check(one)


def test_pictures_stand_extremes(tmp_path):
    layer = elman.nn.RNN(1, 4, nonlinearity="identity")
    with torch.no_grad():
        layer.weight_hh_l0.mul_(1e-9)
    x = torch.randn(20, 2, 1)
    plot_reach(probe(layer, x), tmp_path / "a.png", diagnose(layer, x, needed=15))
    check(tmp_path / "a.png")
    plot_reach(probe(layer, x[:1]), tmp_path / "b.png", diagnose(layer, x[:1]))
    plot_states(torch.zeros(3, 4), tmp_path / "c.png")

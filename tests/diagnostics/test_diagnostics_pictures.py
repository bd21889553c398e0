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


def test_what_lies_behind_a_rows_end_is_no_value_of_a_gate(tmp_path):
    layer, x, lengths = elman.nn.GRU(3, 8), torch.randn(30, 1, 3), torch.tensor([5])
    plot_gates(layer, layer.trace(x, lengths=lengths), tmp_path / "a.png", lengths)
    plot_gates(layer, layer.trace(x[:5]), tmp_path / "b.png")
    assert np.array_equal(check(tmp_path / "a.png"), check(tmp_path / "b.png"))


def test_a_short_unrolled_network_has_its_words_inside(tmp_path):
    plot_unrolled(np.ones(2), tmp_path / "a.png", ["a", "b"])
    image = check(tmp_path / "a.png")
    assert image[:, :3].min() == image[:, -3:].min() == 1


def test_no_gradient_and_a_large_one_differ(tmp_path):
    layer = elman.nn.RNN(1, 4)
    with watch(layer) as flow:
        for step in range(2):
            layer(torch.randn(4 + 4 * step, 2, 1))[0][-1].sum().backward()
            flow.note(step)
    _, history = flow.plot(tmp_path)
    image = check(history)
    left = image[int(0.25 * len(image)), int(0.15 * image.shape[1]) : int(0.35 * image.shape[1])]
    assert left.std() > 0.02

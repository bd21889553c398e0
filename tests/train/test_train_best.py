"""What is kept as best while remedies change the network, and what a checkpoint tells of it."""

import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

import elman
from elman.train import Checkup, Interrupted, Loss, Run, TrainOptions, apply_changes, fit
from elman.train import _monitor as monitor
from elman.train._checkpoint import load_checkpoint, save_checkpoint

X = torch.randn(9, 2, 1, generator=torch.Generator().manual_seed(0))


class Recall:
    """Tells the first number at the last step."""

    def __init__(self):
        torch.manual_seed(0)
        self.module = nn.ModuleDict({"layers": elman.nn.RNN(1, 4), "head": nn.Linear(4, 1)})

    def __call__(self, x):
        return self.module["head"](self.module["layers"](x)[0][-1])

    def loss(self, batch, carry):
        return Loss((self(batch) - batch[0]).square().mean(), batch.shape[1])


class Same:
    """The same batch again and again; interrupted before one of them."""

    def __init__(self, stop=None):
        self.stop = stop

    def __len__(self):
        return 20

    def epoch(self, epoch, start=0):
        for index in range(start, 20):
            if index == self.stop and index > start:
                signal.raise_signal(signal.SIGINT)
            yield X


@pytest.fixture
def vanished(monkeypatch):
    """Whatever is tried, the gradient does not arrive."""
    found = elman.diagnostics.diagnose(elman.nn.RNN(1, 4), X, needed=8)
    found = replace(found, reach=replace(found.reach, lag=3), kind="vanishing", dead=0.0)
    monkeypatch.setattr(monitor, "diagnose_run", lambda *_, **__: found)
    assert not found.can_learn


def train(best=0, batches=None, folder=None, **options):
    """A training whose lowest loss is at a step, its history, and what it told there."""
    objective, told = Recall(), []

    def evaluate():
        told.append(objective(X))
        # what this network told is known from the training that was not cut off, too
        return {"loss": float(len(told) + first != best)}

    run = None if folder is None else Run.start(folder, task="recall", params={}, data={})
    state = None if run is None else load_checkpoint(run.checkpoints)
    first = 0 if state is None else state["progress"]["step"]
    options = TrainOptions(epochs=1, lr=1e-3, evaluate_every=1, **options)
    history = fit(
        objective, batches or Same(), options=options, evaluate=evaluate, run=run,
        checkup=Checkup(needed=8, every=1),
    )  # fmt: skip
    return objective, history, told


# the network is a tanh network's weights alone at first, then one of ReLUs, then of GRUs
@pytest.mark.parametrize(
    ("best", "changed", "steps"),
    [(1, {}, 5), (4, {"nonlinearity": "relu"}, 8), (7, {"cell": "gru"}, 20), (2, {}, 8)],
)
def test_the_best_is_a_network_with_its_weights(tmp_path, vanished, best, changed, steps):
    options = {"best": best, "max_steps": steps, "remedy": "auto", "change_cell": True}
    objective, history, told = train(**options)
    names = [one["remedy"] for one in history.records if "remedy" in one]
    assert names[:3] == ["orthogonal", "orthogonal undone", "identity"]
    assert "gru" in names or steps == 5
    assert history.best_step == best
    assert history.changed == changed
    assert torch.equal(objective(X), told[best - 1])
    again = Recall()
    apply_changes(again.module, history.changed)
    again.module.load_state_dict(objective.module.state_dict())
    assert torch.equal(again(X), objective(X))

    with pytest.raises(Interrupted):
        train(**options, batches=Same(stop=steps - 1), folder=tmp_path)
    resumed, history, _ = train(**options, folder=tmp_path)
    assert torch.equal(resumed(X), objective(X))
    assert history.changed == changed


def test_an_older_checkpoint_has_no_best_where_it_may_be_of_another_network(tmp_path, vanished):
    options = {"best": 1, "remedy": "auto"}
    with pytest.raises(Interrupted):
        train(**options, batches=Same(stop=12), folder=tmp_path)
    state = load_checkpoint(tmp_path / "checkpoints")
    del state["progress"]["best_changed"], state["monitor"], state["course"]
    state["progress"]["done"] = False
    save_checkpoint(tmp_path / "checkpoints", state["progress"]["step"], state)
    _, history, _ = train(**options, folder=tmp_path)
    assert history.steps == 20
    assert history.best_step > 12


@pytest.mark.parametrize("remedy", ["none", "auto"])
def test_a_training_that_is_given_up_is_so_at_the_same_step_after_a_cut(tmp_path, vanished, remedy):
    options = {"give_up": True, "keep_best": False, "remedy": remedy}
    objective, expected, _ = train(**options)
    assert (expected.gave_up, expected.steps) == (True, 4)
    with pytest.raises(Interrupted):
        train(**options, batches=Same(stop=2), folder=tmp_path)
    resumed, history, _ = train(**options, folder=tmp_path)
    assert (history.gave_up, history.steps) == (True, 4)
    assert torch.equal(resumed(X), objective(X))
    assert history.records == expected.records
    # and where nothing is left to be looked at
    assert train(**options, folder=tmp_path)[1].diagnosis == expected.diagnosis
    # what was given up goes on where it may
    assert train(**options | {"give_up": False}, folder=tmp_path)[1].steps == 20

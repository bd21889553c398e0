"""Watching and treating a training."""

import contextlib
import math
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

import elman
from elman.train import Checkup, Diverged, Interrupted, Loss, Run, TrainOptions, apply_changes, fit
from elman.train._remedy import Remedies


class Marked:
    """Batches whose answer is the first number of each sequence."""

    def __init__(self, count, steps, rows=16):
        self.count, self.steps, self.rows = count, steps, rows

    def __len__(self):
        return self.count

    def epoch(self, epoch, start=0):
        for index in range(start, self.count):
            generator = torch.Generator().manual_seed(index)
            yield torch.randn(self.steps, self.rows, 1, generator=generator)


class Recall:
    """Tells the first number at the last step."""

    def __init__(self, layer):
        self.module = nn.Sequential()
        self.module.add_module("layers", layer)
        self.module.add_module("head", nn.Linear(layer.hidden_size, 1))

    def loss(self, batch, carry):
        output, _ = self.module.layers(batch)
        value = (self.module.head(output[-1]) - batch[0]).square().mean()
        return Loss(value, batch.shape[1])


def simple(**more):
    torch.manual_seed(0)
    return Recall(elman.nn.RNN(1, 16, **more))


def records(history, name):
    return [one for one in history.records if name in one]


def is_finite(module):
    return all(bool(torch.isfinite(p).all()) for p in module.parameters())


def test_a_watched_training_is_the_same_training():
    plain, watched = simple(), simple()
    batches = Marked(12, 20)
    fit(plain, batches, options=TrainOptions(epochs=1))
    history = fit(
        watched, batches, options=TrainOptions(epochs=1, watch=True), checkup=Checkup(needed=19)
    )
    for one, other in zip(plain.module.parameters(), watched.module.parameters(), strict=True):
        assert torch.equal(one, other)
    looks = records(history, "diagnosis")
    assert looks[0]["step"] == 0
    # before the first step, and behind each one
    assert len(looks) == 13
    assert history.diagnosis["needed"] == 19
    assert len(history.flow.history) == 12


@pytest.mark.parametrize("remedy", ["none", "auto"])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_a_learning_rate_a_hundred_times_too_high_never_leaves_weights_that_are_not_finite(
    remedy, nonlinearity
):
    objective = simple(nonlinearity=nonlinearity, init="recurrent")
    # the learning rate that would do, a hundred and a million times
    for lr in (0.2, 2e3):
        options = TrainOptions(epochs=1, lr=lr, clip_norm=None, optimizer="sgd", remedy=remedy)
        # it may end early, with a word
        with contextlib.suppress(Diverged):
            assert fit(objective, Marked(60, 40), options=options).steps == 60
        assert is_finite(objective.module)


def test_after_an_explosion_it_goes_back_and_learns_on_with_a_smaller_rate():
    objective = simple(nonlinearity="relu", init="recurrent")
    options = TrainOptions(
        epochs=1, lr=1.0, clip_norm=None, optimizer="sgd", schedule="constant", remedy="auto"
    )
    history = fit(objective, Marked(200, 30), options=options)
    back = [one for one in records(history, "remedy") if one["remedy"].startswith("back")]
    assert back
    assert "the learning rate is now 0.5 times what it was" in back[0]["why"]
    losses = [one["loss"] for one in records(history, "loss")]
    assert is_finite(objective.module)
    assert all(math.isfinite(one) for one in losses[-50:])
    assert sum(losses[-50:]) < sum(losses[:3]) / 3 * 50 * 1.5


def test_a_vanishing_gradient_is_mended_before_the_first_step():
    objective = simple()
    history = fit(
        objective, Marked(40, 60), options=TrainOptions(epochs=1, remedy="auto"),
        checkup=Checkup(needed=59),
    )  # fmt: skip
    first = records(history, "remedy")[0]
    assert (first["step"], first["remedy"]) == (0, "orthogonal")
    assert "the answer lies 59 steps back: this model cannot learn it as it is." in first["why"]
    reaches = [one["reach"] for one in records(history, "diagnosis")]
    assert reaches[0] < 20
    assert reaches[1] is None or reaches[1] > 2 * reaches[0]


def test_a_remedy_starts_an_average_anew():
    objective = simple()
    fit(
        objective, Marked(40, 60), options=TrainOptions(epochs=1, remedy="auto", lr=1e-9,
        average=0.999), checkup=Checkup(needed=59),
    )  # fmt: skip
    # the weights hardly moved behind the remedy: the average is orthogonal as they are
    w = objective.module.layers.weight_hh_l0.detach()
    torch.testing.assert_close(w @ w.T, torch.eye(len(w)), rtol=0, atol=1e-5)


def test_a_remedy_that_does_not_help_is_undone_and_the_next_one_tried():
    objective = simple(init="recurrent")
    history = fit(
        objective, Marked(60, 200), options=TrainOptions(epochs=1, lr=1e-2, remedy="auto"),
        checkup=Checkup(needed=199, every=5),
    )  # fmt: skip
    names = [one["remedy"] for one in records(history, "remedy")]
    assert names[0] == "identity"
    assert history.changed == {"nonlinearity": "relu"} or "identity undone" in names
    again = simple(init="recurrent")
    apply_changes(again.module, history.changed)
    again.module.load_state_dict(objective.module.state_dict())
    batch = next(Marked(1, 20).epoch(0))
    assert torch.equal(again.loss(batch, None).value, objective.loss(batch, None).value)


class Killing(Marked):
    """Kills the units of a layer of ReLUs at a batch."""

    def __init__(self, count, steps, layer, at):
        super().__init__(count, steps)
        self.layer, self.at = layer, at

    def epoch(self, epoch, start=0):
        for index, batch in enumerate(super().epoch(epoch, start), start):
            if index == self.at:
                self.layer.bias_ih_l0.data.fill_(-1000.0)
            yield batch


@pytest.mark.parametrize(("remedy", "dead"), [("auto", False), ("none", True)])
def test_units_that_died_come_back_with_a_smaller_learning_rate(remedy, dead):
    objective = simple(init="recurrent", nonlinearity="relu")
    layer = objective.module.layers
    history = fit(
        objective, Killing(120, 10, layer, at=65), options=TrainOptions(
            epochs=1, lr=1e-2, schedule="constant", watch=True, remedy=remedy
        ), checkup=Checkup(needed=9, every=10),
    )  # fmt: skip
    assert (history.diagnosis["kind"] == "dead") is dead
    losses = [one["loss"] for one in records(history, "loss")]
    # they learned before the 65th step, and go on from there
    assert (sum(losses[-20:]) < 0.6 * sum(losses[:20])) is not dead
    if not dead:
        (back,) = records(history, "remedy")
        assert (back["step"], back["remedy"]) == (70, "back to the last good step")
        said = "100% of the units never move; the learning rate is now 0.1 times what it was."
        assert back["why"] == said


def treated():
    """A tanh network, the notes of what treats it, that, and a gradient that vanished."""
    module, noted = simple(init="recurrent").module, []
    optimizer = torch.optim.SGD(module.parameters(), 1.0)
    treating = Remedies(module, optimizer, noted.append, renew=lambda: optimizer)
    found = elman.diagnostics.diagnose(module.layers, torch.randn(60, 4, 1), needed=59)
    found = replace(found, reach=replace(found.reach, lag=3), kind="vanishing")
    return module, noted, treating, found


def test_a_remedy_under_which_units_keep_dying_is_undone():
    module, noted, treating, vanished = treated()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    assert treating.look(0, vanished)
    assert module.layers.cell.f.name == "relu"
    kept = module.layers.weight_hh_l0.detach().clone()
    rates = []
    for step in (10, 20, 30):
        module.layers.weight_hh_l0.data.zero_()
        assert treating.look(step, replace(vanished, kind="dead", dead=0.99))
        rates.append(treating.rate)
        if step < 30:
            assert torch.equal(module.layers.weight_hh_l0, kept)
    assert rates == pytest.approx([0.1, 0.01, 1.0])
    assert [one["remedy"] for one in noted] == [
        "identity",
        "back to the last good step",
        "back to the last good step",
        "identity undone",
    ]
    assert not treating.changed
    assert module.layers.cell.f.name == "tanh"
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())
    # it is not undone twice
    for step in (40, 50):
        assert treating.look(step, replace(vanished, kind="dead", dead=0.99))
    assert not treating.look(60, replace(vanished, kind="dead", dead=0.99))


@pytest.mark.parametrize(("after", "undone"), [(0.7, True), (0.55, False)])
def test_a_remedy_that_leaves_a_loss_far_above_the_one_before_it_is_undone(after, undone):
    module, noted, treating, vanished = treated()
    for step in range(40):
        treating.stepped(step, 0.5)
    assert not treating.look(20, vanished)
    assert not treating.look(30, vanished)
    learned = module.layers.weight_hh_l0.detach().clone()
    assert treating.look(40, vanished)
    healthy = replace(vanished, kind="healthy", reach=replace(vanished.reach, lag=None))
    for step in range(40, 80):
        treating.stepped(step, after)
        # as many steps as there were before
        if step % 10 == 0:
            assert not treating.look(step, healthy)
    assert treating.look(80, healthy) is undone
    if not undone:
        assert [one["remedy"] for one in noted] == ["identity"]
        return
    assert [one["remedy"] for one in noted] == ["identity", "identity undone"]
    assert noted[-1]["why"] == "the loss is 0.7, and was 0.5 before it, after as many steps."
    assert torch.equal(module.layers.weight_hh_l0, learned)
    assert module.layers.cell.f.name == "tanh"


def test_the_cell_is_changed_only_where_that_is_allowed():
    options = {"epochs": 1, "remedy": "auto", "lr": 3e-2}
    checkup = Checkup(needed=299, every=4)
    kept = simple(init="recurrent")
    fit(kept, Marked(40, 300), options=TrainOptions(**options), checkup=checkup)
    assert type(kept.module.layers) is elman.nn.RNN
    free = simple(init="recurrent", nonlinearity="sigmoid")
    history = fit(
        free, Marked(60, 300), options=TrainOptions(change_cell=True, **options), checkup=checkup
    )
    names = [one["remedy"] for one in records(history, "remedy")]
    if "gru" in names:
        assert type(free.module.layers) is elman.nn.GRU
        assert history.changed == {"cell": "gru"}


def test_a_gradient_that_arrives_is_left_alone():
    objective = Recall(elman.nn.GRU(1, 8))
    elman.diagnostics.remedies.chrono(objective.module.layers, 50)
    history = fit(
        objective, Marked(20, 20), options=TrainOptions(epochs=1, remedy="auto"),
        checkup=Checkup(needed=19),
    )  # fmt: skip
    assert not records(history, "remedy")
    assert not history.changed


def test_a_hopeless_training_stops_early_if_asked():
    options = {"epochs": 1, "lr": 1e-4}
    checkup = Checkup(needed=199, every=2)
    history = fit(
        simple(), Marked(60, 200), options=TrainOptions(give_up=True, **options), checkup=checkup
    )
    assert history.gave_up
    assert 12 <= history.steps < 20
    history = fit(
        simple(), Marked(20, 200), options=TrainOptions(watch=True, **options), checkup=checkup
    )
    assert not history.gave_up
    assert history.steps == 20


class Stopping(Marked):
    """Is interrupted at a batch."""

    def __init__(self, count, steps, stop):
        super().__init__(count, steps)
        self.stop = stop

    def epoch(self, epoch, start=0):
        for index, batch in enumerate(super().epoch(epoch, start), start):
            if index == self.stop and not start and self.taken:
                signal.raise_signal(signal.SIGINT)
            self.taken = True
            yield batch

    taken = False


@pytest.mark.parametrize("change_cell", [False, True])
@pytest.mark.parametrize("stop", [3, 17, 26])
def test_a_treated_training_resumes_bit_for_bit(tmp_path, stop, change_cell):
    def train(folder, batches):
        objective = simple(init="recurrent")
        run = Run.start(folder, task="recall", params={}, data={})
        options = TrainOptions(epochs=1, lr=5e-3, remedy="auto", change_cell=change_cell)
        checkup = Checkup(needed=119, every=3)
        return objective, fit(objective, batches, options=options, run=run, checkup=checkup)

    whole, expected = train(tmp_path / "whole", Marked(30, 120))
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", Stopping(30, 120, stop))
    again, history = train(tmp_path / "cut", Marked(30, 120))
    for one, other in zip(whole.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert records(history, "remedy") == records(expected, "remedy")
    assert history.changed == expected.changed


@pytest.mark.parametrize(("name", "value"), [("remedy", "magic"), ("remedy", None)])
def test_options_are_checked(name, value):
    with pytest.raises(ValueError, match=f"fit: {name}={value!r} is not known; give one of"):
        fit(simple(), Marked(1, 3), options=TrainOptions(**{name: value}))

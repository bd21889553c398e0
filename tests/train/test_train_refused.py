"""What no training can follow is refused in one line, and what it can be said as it is."""

import numpy as np
import pytest
import torch
from torch import nn
from train.trainings import Copy, Memory, start, train, weights

import elman
from elman.train import Checkup, Diverged, Loss, TrainOptions, fit


class Nothing:
    module = nn.Identity()

    def loss(self, batch, carry):
        return Loss(batch.mean(), 1)


def frozen():
    objective = Memory()
    objective.module.requires_grad_(False)
    return objective


@pytest.mark.parametrize(("make", "name"), [(Nothing, "Identity"), (frozen, "ModuleDict")])
def test_a_module_without_anything_to_learn_is_refused(make, name):
    with pytest.raises(ValueError, match="^fit: ") as caught:
        fit(make(), Copy(), options=TrainOptions())
    assert str(caught.value) == (
        f"fit: {name} has no parameter that asks for a gradient; give a module with one."
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"patience": 2},
         "fit: patience=2 without evaluations; hold data out for them, or leave patience out."),
        ({"change_cell": True}, 'fit: change_cell=True with remedy="none", which changes nothing;'
         ' give remedy="auto", or leave change_cell out.'),
    ],
)  # fmt: skip
def test_options_that_nothing_would_follow_are_refused(given, text):
    with pytest.raises(ValueError, match="^fit: ") as caught:
        train(TrainOptions(**given))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (None, 'fit: evaluate gave nothing, and no loss; give the validation loss as "loss".'),
        ({"loss": None},
         "fit: evaluate gave the loss None; give the validation loss as a number."),
    ],
)  # fmt: skip
def test_an_evaluation_without_a_number_is_refused(figures, text):
    with pytest.raises(ValueError, match="^fit: ") as caught:
        train(TrainOptions(epochs=1), evaluate=lambda: figures)
    assert str(caught.value) == text


def test_figures_may_be_tensors(tmp_path):
    figures = {"loss": torch.tensor(0.5), "right": torch.tensor([3])}
    _, history = train(TrainOptions(epochs=1), start(tmp_path), evaluate=figures.copy)
    assert history.records[-1] == {
        "step": 6, "epoch": 0, "validation_loss": 0.5, "validation_right": 3,
    }  # fmt: skip
    assert history.best_loss == 0.5


class Short(Copy):
    """Epochs of a batch less than there should be."""

    def epoch(self, epoch, start=0):
        yield from list(super().epoch(epoch, start))[:-1]


def test_an_epoch_that_ends_within_a_step_is_refused():
    assert train(TrainOptions(epochs=2), batches=Short())[1].steps == 10
    with pytest.raises(ValueError, match="^fit: ") as caught:
        train(TrainOptions(accumulate=2), batches=Short())
    assert str(caught.value) == (
        "fit: epoch 0 gave 5 batches where their len is 6, which ends within a step of"
        " accumulate=2; make the two the same."
    )


def test_gradients_that_something_before_left_are_no_part_of_a_step():
    options = TrainOptions(epochs=1, optimizer="sgd", clip_norm=None)
    one, other = Memory(0.0), Memory(0.0)
    other.module.load_state_dict(one.module.state_dict())
    for parameter in other.module.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    histories = [fit(each, Copy(), options=options) for each in (one, other)]
    assert [each.skipped for each in histories] == [0, 0]
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize(("carry", "kind"), [(np.ones(2), "ndarray"), (Loss(None, 1), "Loss")])
def test_what_a_checkpoint_cannot_hold_is_refused(tmp_path, carry, kind):
    class Carrying(Memory):
        def loss(self, batch, carried):
            return super().loss(batch, None)._replace(carry=(None, carry))

    with pytest.raises(TypeError, match="^checkpoint: ") as caught:
        fit(
            Carrying(), Copy(), options=TrainOptions(checkpoint_seconds=0.0), run=start(tmp_path)
        )  # fmt: skip
    assert str(caught.value) == (
        f"checkpoint: state.progress.carry.1 is a {kind}, which it cannot hold; hand on tensors and"
        " numbers, or dicts, lists and plain tuples of them."
    )


@pytest.mark.parametrize("every", [0, -1, 2.5])
def test_a_checkup_is_every_so_many_steps(every):
    objective = Memory()
    objective.module["lstm"] = elman.nn.LSTM(3, 6)
    with pytest.raises(ValueError, match=rf"^Checkup: every={every}; give a whole number above"):
        fit(objective, Copy(), options=TrainOptions(watch=True), checkup=Checkup(every=every))


def test_where_remedies_could_not_stop_explosions_that_is_said():
    class Broken(Memory):
        def loss(self, batch, carry):
            found = super().loss(batch, None)
            return found._replace(value=found.value * float("inf"))

    objective = Broken()
    objective.module["lstm"] = elman.nn.LSTM(3, 6)
    with pytest.raises(Diverged) as caught:
        fit(objective, Copy(), options=TrainOptions(remedy="auto"))
    assert str(caught.value) == (
        "training: the loss (inf) or the gradient norm (nan) exploded again and again, down to a"
        " learning rate of 6e-05 times what it was, at step 14 with lr=0.002 and clip_norm=1.0; the"
        " last good weights are kept. Try a lower lr or a smaller clip_norm, or look for extreme"
        " values in the data."
    )

"""The learning rate: up, and down again."""

import pytest
import torch
from train.trainings import Copy, Memory, Stopping, start, train

from elman.train import Interrupted, TrainOptions, fit
from elman.train._checkpoint import load_checkpoint, save_checkpoint

PLATEAU = TrainOptions(epochs=3, lr=0.08, schedule="plateau", warmup_steps=8)


def rates(history):
    return [one["lr"] for one in history.records if "lr" in one]


def test_a_plateau_is_warmed_up_to():
    history = fit(Memory(), Copy(), options=PLATEAU, evaluate=lambda: {"loss": 1.0})
    # the evaluation within the warm-up does not count, the one behind it is the one to compare with
    up = [0.08 * (n + 1) / 9 for n in range(1, 9)]
    assert rates(history) == pytest.approx(up + [0.08] * 10)
    losses = iter([1.0, 0.5, 0.5, 0.4])
    longer = TrainOptions(**vars(PLATEAU) | {"epochs": 4})
    history = fit(Memory(), Copy(), options=longer, evaluate=lambda: {"loss": next(losses)})
    assert rates(history) == pytest.approx(up + [0.08] * 10 + [0.04] * 6)


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_without_evaluations_it_rises_and_stays(name):
    options = TrainOptions(epochs=1, lr=0.3, schedule=name, warmup_steps=2)
    assert rates(fit(Memory(), Copy(), options=options)) == pytest.approx([0.2] + [0.3] * 5)


def test_a_run_of_before_goes_on_without_the_warm_up_that_it_never_had(tmp_path):
    figures = {"evaluate": lambda: {"loss": 1.0}}
    plain = TrainOptions(**vars(PLATEAU) | {"warmup_steps": 0})
    expected, whole = train(plain, **figures)
    with pytest.raises(Interrupted):
        train(plain, start(tmp_path), Stopping(), **figures)
    state = load_checkpoint(tmp_path / "checkpoints")
    del state["course"]
    save_checkpoint(tmp_path / "checkpoints", state["progress"]["step"], state)
    found, history = train(PLATEAU, start(tmp_path), **figures)
    assert rates(history) == rates(whole)
    assert torch.equal(found, expected)

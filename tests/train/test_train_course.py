"""A run goes on with the options that its steps follow from, or not at all."""

import numpy as np
import pytest
import torch
from train.trainings import Copy, Stopping, start, train

from elman.train import Interrupted, Run, TrainOptions
from elman.train._checkpoint import load_checkpoint, save_checkpoint


def cut_off(folder, options):
    with pytest.raises(Interrupted):
        train(options, start(folder), Stopping(), evaluate=lambda: {"loss": 1.0})


@pytest.mark.parametrize(
    ("begun", "now", "said"),
    [
        ({}, {"lr": 0.1}, "lr: here 0.002, now 0.1"),
        ({}, {"optimizer": "sgd"}, "optimizer: here 'adamw', now 'sgd'"),
        ({}, {"accumulate": 4}, "accumulate: here 1, now 4"),
        ({}, {"epochs": 8}, "epochs: here 4, now 8"),
        ({"schedule": "linear"}, {"max_steps": 20}, "max_steps: here None, now 20"),
        ({"schedule": "constant"}, {"warmup_steps": 3, "clip_norm": None},
         "clip_norm: here 1.0, now None; warmup_steps: here 0, now 3"),
        ({}, {"schedule": "constant"}, "schedule: here 'cosine', now 'constant'"),
        ({"schedule": "plateau"}, {"evaluate_every": 5}, "evaluate_every: here None, now 5"),
        ({"average": 0.9}, {"average": 0.0}, "average: here 0.9, now 0.0"),
    ],
)  # fmt: skip
def test_other_steps_are_refused(tmp_path, begun, now, said):
    cut_off(tmp_path, TrainOptions(**{"epochs": 4} | begun))
    before = sorted(tmp_path.rglob("*")), (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="holds a run") as caught:
        train(TrainOptions(**{"epochs": 4} | begun | now), Run.open(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: holds a run with other options: {said}."
        " Give the same options to go on, or another folder."
    )
    assert (sorted(tmp_path.rglob("*")), (tmp_path / "metrics.jsonl").read_bytes()) == before


def test_another_number_of_batches_is_refused_where_the_rate_falls_with_it(tmp_path):
    cut_off(tmp_path, TrainOptions(epochs=4))
    with pytest.raises(ValueError, match="options: batches in an epoch: here 6, now 12. Give"):
        train(TrainOptions(epochs=4), Run.open(tmp_path), Copy(12))


def test_the_same_numbers_are_the_same_whatever_they_are_written_as(tmp_path):
    numpys = {"epochs": np.int64(4), "lr": np.float64(0.5), "warmup_steps": np.int64(2)}
    cut_off(tmp_path, TrainOptions(**numpys))
    assert train(TrainOptions(epochs=4, lr=0.5, warmup_steps=2), start(tmp_path))[1].steps == 24


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_a_finished_training_may_be_made_longer(tmp_path, schedule, seconds):
    losses = {"loss": 1.0}
    options = {"schedule": schedule, "checkpoint_seconds": seconds, "lr": 0.05, "warmup_steps": 3}
    expected, whole = train(TrainOptions(epochs=4, **options), evaluate=losses.copy)
    train(TrainOptions(epochs=2, **options), start(tmp_path), evaluate=losses.copy)
    found, longer = train(TrainOptions(epochs=4, **options), start(tmp_path), evaluate=losses.copy)
    assert torch.equal(found, expected)
    figures = [[one for one in h.records if "loss" in one] for h in (whole, longer)]
    assert figures[0] == figures[1]
    judged = [[r["step"] for r in h.records if "loss" not in r] for h in (whole, longer)]
    assert judged[0] == judged[1] == [6, 12, 18, 24]
    # and no shorter than it is
    again = train(TrainOptions(epochs=1, **options), start(tmp_path), evaluate=losses.copy)[1]
    assert again.steps >= 18
    assert again.records == longer.records[: len(again.records)]


def test_what_ends_a_training_may_be_another(tmp_path):
    losses = {"evaluate": lambda: {"loss": 1.0}}
    expected, _ = train(TrainOptions(epochs=6), **losses)
    _, history = train(TrainOptions(epochs=6, patience=2), start(tmp_path), **losses)
    assert history.steps == 18
    more = TrainOptions(
        epochs=6, watch=False, keep_best=False, checkpoint_seconds=1.0, device="cpu"
    )
    last, history = train(more, start(tmp_path), **losses)
    assert history.steps == 36
    kept, _ = train(TrainOptions(epochs=6), start(tmp_path), **losses)
    assert torch.equal(kept, expected)
    assert not torch.equal(last, kept)


def test_a_checkpoint_of_before_goes_on(tmp_path):
    options = TrainOptions(epochs=4, schedule="constant")
    expected, _ = train(options, evaluate=lambda: {"loss": 1.0})
    cut_off(tmp_path, options)
    state = load_checkpoint(tmp_path / "checkpoints")
    del state["course"], state["monitor"]
    for name in ("judged", "best_changed"):
        del state["progress"][name]
    state["progress"]["done"] = False
    save_checkpoint(tmp_path / "checkpoints", state["progress"]["step"], state)
    found, _ = train(options, start(tmp_path), evaluate=lambda: {"loss": 1.0})
    assert torch.equal(found, expected)

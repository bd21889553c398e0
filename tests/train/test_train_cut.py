"""A training that was cut off has the same history, and the same end, as one that was not."""

import numpy as np
import pytest
import torch
from torch import nn
from train.trainings import Copy, Memory, Stopping, start, train, weights

import elman
from elman.train import Checkup, Diverged, Interrupted, TrainOptions, fit, seed
from elman.train._checkpoint import load_checkpoint, save_checkpoint


class Watched(Memory):
    """The same, with a layer that can be watched."""

    def __init__(self, kind=elman.nn.LSTM):
        super().__init__(carry=False)
        self.module["lstm"] = kind(3, 6)


def watched(options, batches, run=None, every=None, kind=elman.nn.LSTM):
    seed(0)
    objective = Watched(kind)
    checkup = Checkup(needed=4, every=every)
    return objective, fit(objective, batches, options=options, run=run, checkup=checkup)


def assert_same_flow(found, expected):
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert list(one) == list(other)
        for place, norms in one.items():
            assert norms.dtype == other[place].dtype
            np.testing.assert_array_equal(norms, other[place])


@pytest.mark.parametrize("every", [None, 1, 2, 5])
def test_what_was_watched_is_remembered(tmp_path, every):
    options = TrainOptions(epochs=4, watch=True)
    _, expected = watched(options, Copy(), every=every)
    with pytest.raises(Interrupted):
        watched(options, Stopping(), start(tmp_path), every)
    _, history = watched(options, Copy(), start(tmp_path), every)
    assert expected.flow.history[0][0] == 0
    assert_same_flow(history.flow.history, expected.flow.history)
    # and where nothing was left to be seen
    _, history = watched(options, Copy(), start(tmp_path), every)
    assert_same_flow(history.flow.history, expected.flow.history)


def test_what_is_remembered_of_a_long_training_is_not_more_than_of_a_short_one(tmp_path):
    options = TrainOptions(epochs=40, watch=True)
    _, expected = watched(options, Copy(), every=1)
    noted = [step for step, _ in expected.flow.history]
    # every step until there were 81, and then every fourth
    assert noted == list(range(0, 240, 4))
    with pytest.raises(Interrupted):
        watched(options, Stopping(), start(tmp_path), 1)
    _, history = watched(options, Copy(), start(tmp_path), 1)
    assert_same_flow(history.flow.history, expected.flow.history)


def test_a_checkpoint_of_before_has_no_history(tmp_path):
    options = TrainOptions(epochs=4, watch=True)
    with pytest.raises(Interrupted):
        watched(options, Stopping(), start(tmp_path), 1)
    state = load_checkpoint(tmp_path / "checkpoints")
    del state["monitor"]["history"], state["monitor"]["apart"], state["good"], state["not_finite"]
    save_checkpoint(tmp_path / "checkpoints", state["progress"]["step"], state)
    _, history = watched(options, Copy(), start(tmp_path), 1)
    assert [step for step, _ in history.flow.history] == list(range(16, 24))


def test_a_layer_that_takes_anothers_place_is_watched_in_its_turn():
    rnn = elman.nn.RNN(2, 3)
    model, x = nn.ModuleDict({"layer": rnn}), torch.randn(5, 1, 2)
    with elman.diagnostics.watch(model) as flow:
        model["layer"] = elman.nn.GRU(2, 3)
        flow.follow()
        assert rnn.watch is None
        model["layer"](x)[0].sum().backward()
        (seen,) = flow.last.values()
        assert bool(seen.norms["h"].all())
    assert model["layer"].watch is None


OPTIONS = {
    "lr": np.float32(0.01), "clip_norm": np.float32(1), "clip_value": np.float16(0.5),
    "weight_decay": np.float32(0.1), "average": np.float32(0.9), "accumulate": np.int8(2),
    "warmup_steps": np.int32(2), "max_steps": np.uint8(7), "patience": np.int16(3),
    "evaluate_every": np.int64(2), "keep_best": np.bool_(True), "watch": np.bool_(False),
    "checkpoint_seconds": np.float32(0), "random_state": np.int64(0),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_options_may_be_numpys(tmp_path, name):
    figures = {"evaluate": lambda: {"loss": np.float32(1.5), "words": np.int64(3)}}
    given = OPTIONS[name]
    expected, _ = train(TrainOptions(epochs=4, **{name: given.item()}), **figures)
    options = TrainOptions(epochs=4, **{name: given})
    found, whole = train(options, start(tmp_path / "whole"), **figures)
    assert torch.equal(found, expected)
    run = start(tmp_path / "cut")
    if name != "max_steps":
        with pytest.raises(Interrupted):
            train(options, run, Stopping(), **figures)
    found, history = train(options, run, **figures)
    assert torch.equal(found, expected)
    assert history.records == whole.records
    assert type(whole.best_loss) is float
    assert {type(one) for record in whole.records for one in record.values()} <= {int, float}


def test_what_a_checkup_is_told_may_be_numpys(tmp_path):
    options = TrainOptions(epochs=1, watch=True)
    checkup = Checkup(needed=np.int64(4), window=np.int32(5), carried=np.int64(2), every=np.int8(2))
    history = fit(Watched(), Copy(), options=options, run=start(tmp_path), checkup=checkup)
    assert type(history.diagnosis["needed"]) is type(history.diagnosis["window"]) is int


class Blowing(Memory):
    """Losses that are another number of times as large in some steps."""

    def __init__(self, times, otherwise=1.0, step=0):
        seed(0)
        super().__init__(dropout=0.0)
        self.times, self.otherwise, self.step = times, otherwise, step

    def loss(self, batch, carry):
        self.step += 1
        loss = super().loss(batch, carry)
        return loss._replace(value=loss.value * self.times.get(self.step, self.otherwise))


def test_losses_that_are_not_finite_are_the_same_records_after_a_cut(tmp_path):
    times = {2: float("nan"), 7: float("inf"), 9: float("nan")}
    options = TrainOptions(epochs=4)
    whole = fit(Blowing(times), Copy(), options=options)
    with pytest.raises(Interrupted):
        fit(Blowing(times), Stopping(), options=options, run=start(tmp_path))
    history = fit(Blowing({}), Copy(), options=options, run=start(tmp_path))
    expected, found = (
        [one["loss"] for one in h.records if "loss" in one] for h in (whole, history)
    )
    np.testing.assert_array_equal(found, expected)
    assert [step for step, one in enumerate(found, 1) if not np.isfinite(one)] == [2, 7, 9]


def test_the_last_good_weights_are_the_same_after_a_cut(tmp_path):
    # hardly a step, save one beyond all numbers, behind which no loss is finite
    times = {"times": {124 + 30: 1e12}, "otherwise": 1e-33}
    sgd = {"lr": 1e30, "clip_norm": None, "optimizer": "sgd", "schedule": "constant"}
    options = TrainOptions(epochs=4, **sgd)
    whole, resumed = Blowing(**times), Blowing(**times, step=124)
    with pytest.raises(Diverged, match="at step 157 "):
        fit(whole, Copy(60), options=options)
    with pytest.raises(Interrupted):
        fit(Blowing(**times), Stopping(60), options=options, run=start(tmp_path))
    with pytest.raises(Diverged, match="at step 157 "):
        fit(resumed, Copy(60), options=options, run=start(tmp_path))
    assert bool(weights(whole).isfinite().all())
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(whole), weights(Blowing({})))

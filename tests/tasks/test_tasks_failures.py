"""A call that fails leaves nothing behind that stands in the way of the mended one; a training that
led nowhere says so.
"""

from datetime import date

import numpy as np
import pytest
import torch

import elman
from elman.data import Calendar, Series
from elman.tasks import _estimator
from elman.train import Diverged, Interrupted

RNG = np.random.default_rng(0)
X, Y = [RNG.normal(size=(4, 1)) for _ in range(40)], ["a", "b"] * 20
WIDE = {"hidden_size": 100_000_000, "epochs": 1}


def days(seconds):
    times = np.datetime64("2024-01-01", "s") + np.arange(90) * np.timedelta64(seconds, "s")
    return Series(np.sin(np.arange(90.0)), calendar=Calendar.of(times)[0])


@pytest.mark.parametrize(
    "call",
    [
        lambda run: elman.SequenceClassifier(**WIDE).fit(X, Y, run=run),
        lambda run: elman.Forecaster(horizon=3, **WIDE).fit(np.arange(90.0), run=run),
        lambda run: elman.LanguageModel(**WIDE, embedding_size=8).fit(["some text " * 30], run=run),
        lambda run: elman.SequenceClassifier(class_weight={"a": "x"}).fit(X, Y, run=run),
        lambda run: elman.SequenceClassifier().fit(X, [date(2024, 1, 1), "a"] * 20, run=run),
        lambda run: elman.Forecaster(horizon=3).fit([days(86_400), days(3600)], run=run),
    ],
)
def test_what_fails_before_the_first_checkpoint_leaves_no_folder(tmp_path, call):
    with pytest.raises((ValueError, RuntimeError)):
        call(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def small(**more):
    return elman.SequenceClassifier(**{"hidden_size": 4, "epochs": 2, "batch_size": 18, **more})


def test_what_was_trained_stays(tmp_path, monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(_estimator, "inspect_into", fails)
    with pytest.raises(MemoryError):
        small().fit(X, Y, run=tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_an_older_folder_stays(tmp_path, monkeypatch):
    def stops(*_, **__):
        raise Interrupted("interrupted")

    run = small()._open(tmp_path / "run", {"source": "40 sequences", "content": "?"})
    content = elman.tasks._supervised._digest(X, Y)
    run.update(data={"source": "40 sequences", "content": content})
    monkeypatch.setattr(_estimator, "fit", stops)
    with pytest.raises(Interrupted):
        small().fit(X, Y, run=tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


FAST = {"lr": 1e30, "weight_decay": 1.0, "optimizer": "sgd", "clip_norm": None, "epochs": 1}


def test_a_training_that_ends_in_nothing_says_so(tmp_path):
    with pytest.raises(Diverged) as caught:
        small(**FAST).fit(X, Y)
    assert str(caught.value) == (
        "training: the loss on the held-out part is nan after step 2, the last one, with lr=1e+30"
        " and clip_norm=None. Try a lower lr or a smaller clip_norm, or look for extreme values in"
        " the data."
    )
    assert caught.value.history.steps == 2
    with pytest.raises(Diverged, match="a smaller clip_norm, or look"):
        small(**FAST).fit(X, Y, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # with a checkpoint the same call goes on, to the same end
    longer = FAST | {"epochs": 2, "max_steps": 3}
    for _ in range(2):
        with pytest.raises(Diverged, match="a smaller clip_norm, in another folder, or look"):
            small(**longer).fit(X, Y, run=tmp_path / "run")
    assert not elman.train.Run.open(tmp_path / "run").finished


@pytest.mark.parametrize("make", [elman.SequenceClassifier, elman.SequenceRegressor])
def test_outputs_that_are_no_numbers_have_no_figures_but_a_loss(make):
    model = make(hidden_size=4, epochs=1).fit(X, np.arange(40) % 2)
    with torch.no_grad():
        model.module_.body.head.bias.fill_(np.nan)
    found = model.evaluate(X, np.arange(40) % 2)
    assert list(found) == ["loss"]
    assert np.isnan(found["loss"])


def test_weights_that_are_no_numbers_are_seen_without_a_held_out_part(monkeypatch):
    trained = _estimator.fit

    def spoils(objective, *more, **options):
        history = trained(objective, *more, **options)
        objective.module.body.head.bias.data.fill_(np.inf)
        return history

    monkeypatch.setattr(_estimator, "fit", spoils)
    with pytest.raises(Diverged, match="some weights are not finite after step 6"):
        small(validation_fraction=0.0).fit(X, Y)

"""The loop: what it steps, skips, stops and saves."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from train.trainings import Copy, Memory, Stopping, start, train, weights

import elman
from elman.train import (
    Diverged,
    Interrupted,
    Loss,
    Run,
    TrainOptions,
    check_train_options,
    fit,
    seed,
)

SCRIPT = """
import sys, time
import torch
from elman.train import TrainOptions
from train.trainings import *
torch.set_num_threads(1)
options = TrainOptions(epochs=5, checkpoint_seconds=0.0, schedule=sys.argv[2], accumulate=2)
class Slow(Copy):
    def epoch(self, epoch, start=0):
        for batch in super().epoch(epoch, start):
            time.sleep(0.02)
            yield batch
print("ready", flush=True)
evaluate = lambda: {"loss": 1.0}
final, _ = train(options, start(sys.argv[1]), Slow(), evaluate=evaluate)
start(sys.argv[1]).save_weights({"final": final})
"""


def _script(folder, schedule):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), schedule],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_killed_at_any_moment_it_resumes_bit_for_bit(tmp_path, schedule):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = _script(whole, schedule)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for moment in (0.0, 0.12, 0.23, 0.31):
        process = _script(cut, schedule)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = _script(cut, schedule)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    expected, found = Run.open(whole), Run.open(cut)
    assert torch.equal(found.weights()["final"], expected.weights()["final"])
    assert found.metrics() == expected.metrics()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "exponential", "plateau"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_interrupted_it_resumes_bit_for_bit(tmp_path, schedule, optimizer):
    options = TrainOptions(
        epochs=4, schedule=schedule, optimizer=optimizer, warmup_steps=3, lr=0.05,
        momentum=0.5 if optimizer == "sgd" else 0.0,
    )  # fmt: skip
    figures = {"evaluate": lambda: {"loss": 1.0}}
    expected, _ = train(options, **figures)

    with pytest.raises(Interrupted, match=r"interrupted at step 16; .* the same command goes on"):
        train(options, start(tmp_path), Stopping(), **figures)
    found, history = train(options, start(tmp_path), **figures)
    assert torch.equal(found, expected)
    assert [r["step"] for r in history.records if "loss" in r] == list(range(1, 25))


def test_the_same_seed_gives_the_same_weights():
    options = TrainOptions(epochs=2)
    assert torch.equal(train(options)[0], train(options)[0])
    assert not torch.equal(train(options)[0], train(TrainOptions(epochs=2, random_state=1))[0])


def test_accumulation_is_the_big_batch():
    class Halves(Copy):
        def epoch(self, epoch, start=0):
            for batch in Copy(3, 4).epoch(epoch):
                yield batch[:, :1]
                yield batch[:, 1:]

    results = []
    for batches, accumulate in ((Copy(3, 4), 1), (Halves(6), 2)):
        seed(0)
        objective = Memory(dropout=0.0, carry=False)
        fit(objective, batches, options=TrainOptions(epochs=2, accumulate=accumulate))
        results.append(weights(objective))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_gradient():
    class Big:
        module = nn.Linear(1, 2, bias=False)

        def loss(self, batch, carry):
            return Loss((self.module.weight * torch.tensor([[300.0], [400.0]])).sum(), 1)

    def moved(**options):
        torch.nn.init.zeros_(Big.module.weight)
        sgd = TrainOptions(epochs=1, lr=1.0, optimizer="sgd", schedule="constant", **options)
        fit(Big(), Copy(1), options=sgd)
        return Big.module.weight.detach().flatten().tolist()

    assert moved(clip_norm=1.0) == pytest.approx([-0.6, -0.8])
    assert moved(clip_norm=None, clip_value=2.0) == [-2.0, -2.0]
    assert moved(clip_norm=None) == [-300.0, -400.0]


class Breaking(Memory):
    def __init__(self, bad):
        super().__init__()
        self.bad, self.calls = bad, 0

    def loss(self, batch, carry):
        self.calls += 1
        loss = super().loss(batch, carry)
        return loss._replace(value=loss.value * float("nan")) if self.calls in self.bad else loss


def test_steps_that_are_not_finite_are_skipped_and_counted():
    objective = Breaking({2, 3, 5})
    history = fit(objective, Copy(), options=TrainOptions(epochs=1))
    assert history.skipped == 3
    assert torch.isfinite(weights(objective)).all()


def test_three_in_a_row_stop_with_the_last_good_weights(tmp_path):
    seed(0)
    objective, run = Breaking({3, 4, 5}), start(tmp_path)
    good = Breaking(set())
    good.module.load_state_dict(objective.module.state_dict())
    with pytest.raises(Diverged, match=r"not finite 3 times in a row, at step 5 .* a lower lr"):
        fit(objective, Copy(), options=TrainOptions(epochs=1), run=run)
    saved = run.weights()
    kept = torch.cat([saved[name].flatten() for name, _ in objective.module.named_parameters()])
    assert torch.equal(kept, weights(objective))
    assert torch.isfinite(kept).all()
    assert not torch.equal(kept, weights(good))


def test_early_stopping_keeps_the_best():
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    snapshots = []
    objective = Memory()

    def evaluate():
        assert not objective.module.training
        torch.rand(7)
        snapshots.append(weights(objective))
        return {"loss": next(losses)}

    history = fit(objective, Copy(), options=TrainOptions(epochs=9, patience=2), evaluate=evaluate)
    assert (history.steps, history.best_step, history.best_loss) == (24, 12, 1.0)
    assert torch.equal(weights(objective), snapshots[1])


def test_evaluations_leave_the_training_as_it_was():
    options = TrainOptions(epochs=2, keep_best=False)
    drawing = {"evaluate": lambda: {"loss": float(torch.rand(3).sum())}}
    assert torch.equal(train(options, **drawing)[0], train(options)[0])
    every = train(TrainOptions(epochs=2, evaluate_every=5, max_steps=11), **drawing)[1]
    assert [r["step"] for r in every.records if "validation_loss" in r] == [5, 10, 11]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"epochs": 0}, "fit: epochs=0; give a whole number above zero."),
        ({"max_steps": 1.5}, "fit: max_steps=1.5; give a whole number above zero."),
        ({"lr": -1}, "fit: lr=-1; give a number above zero."),
        ({"lr": float("nan")}, "fit: lr=nan; give a number above zero."),
        ({"weight_decay": "x"}, "fit: weight_decay='x'; give a number, zero or above."),
        ({"optimizer": "adam"}, "fit: optimizer='adam' is not known; give one of adamw, sgd."),
        ({"schedule": "step"}, "fit: schedule='step' is not known; give one of constant, cosine,"
         " linear, exponential, plateau."),
        ({"warmup_steps": 2.5}, "fit: warmup_steps=2.5; give a whole number zero or above."),
        ({"warmup_steps": -1}, "fit: warmup_steps=-1; give a whole number zero or above."),
        ({"keep_best": "no"}, "fit: keep_best='no'; give True or False."),
        ({"watch": "no"}, "fit: watch='no'; give True or False."),
        ({"give_up": 1}, "fit: give_up=1; give True or False."),
        ({"change_cell": None}, "fit: change_cell=None; give True or False."),
        ({"momentum": 0.9}, "fit: momentum=0.9 with optimizer='adamw', which has none; give"
         ' optimizer="sgd", or leave momentum out.'),
        ({"random_state": "x"}, "fit: random_state='x'; give a whole number from 0 on as the seed,"
         " or None."),
    ],
)  # fmt: skip
def test_options_are_checked(wrong, text):
    with pytest.raises(ValueError, match=r"^fit: ") as caught:
        fit(Memory(), Copy(), options=TrainOptions(**wrong))
    assert str(caught.value) == text


def test_an_interrupt_while_patience_runs_out_is_heard(tmp_path):
    options = TrainOptions(epochs=9, patience=1)
    expected, _ = train(options, evaluate=lambda: {"loss": 1.0})
    losses = iter([1.0, 2.0])

    def evaluate():
        loss = next(losses)
        if loss == 2.0:
            signal.raise_signal(signal.SIGINT)
        return {"loss": loss}

    with pytest.raises(Interrupted, match=r"^interrupted at step 12; .* holds the training so far"):
        train(options, start(tmp_path), evaluate=evaluate)
    # there is nothing left to evaluate
    found, history = train(options, start(tmp_path), evaluate=evaluate)
    assert (history.steps, history.best_step) == (12, 6)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("watch", [False, True])
def test_data_without_a_batch_is_refused(watch):
    with pytest.raises(ValueError, match="^fit: the data has no batches; give at least one.$"):
        fit(Memory(), Copy(0), options=TrainOptions(watch=watch))


@pytest.mark.parametrize(
    ("figures", "gave"), [({"accuracy": 1.0, "f1": 0.5}, "accuracy, f1"), ({}, "nothing")]
)
def test_an_evaluation_without_a_loss_is_refused(figures, gave):
    with pytest.raises(ValueError, match=r"^fit: ") as caught:
        fit(Memory(), Copy(), options=TrainOptions(epochs=1), evaluate=lambda: figures)
    assert str(caught.value) == (
        f'fit: evaluate gave {gave}, and no loss; give the validation loss as "loss".'
    )


class Empty(Memory):
    """Batches whose losses are over no terms, where the first number is not above zero."""

    def loss(self, batch, carry):
        has_terms = bool(batch[0, 0, 0] > 0)
        loss = super().loss(batch * has_terms, None)
        return loss._replace(value=loss.value * has_terms, weight=4.0 * has_terms)


class Signed(Copy):
    """Two batches of terms, two without, two of which one has some."""

    def epoch(self, epoch, start=0):
        for batch, sign in zip(super().epoch(0), [1, 1, -1, -1, 1, -1], strict=True):
            yield batch.abs() * sign


def test_batches_without_terms_are_a_step_with_no_gradient():
    sgd = {"optimizer": "sgd", "schedule": "constant", "lr": 0.1}
    options = TrainOptions(epochs=1, accumulate=2, **sgd)
    history = fit(Empty(dropout=0.0), Signed(), options=options)
    assert (history.steps, history.skipped) == (3, 0)
    losses = [one["loss"] for one in history.records]
    assert losses[1] == history.records[1]["norm"] == 0
    assert min(losses[0], losses[2]) > 0


@pytest.mark.parametrize("make", [random.Random, np.random.RandomState, np.random.default_rng])
def test_a_generator_is_drawn_from(make):
    generator = make(0)
    first = seed(generator)
    drawn = torch.rand(3)
    assert seed(make(0)) == first != seed(generator)
    torch.manual_seed(first)
    assert torch.equal(torch.rand(3), drawn)
    check_train_options(TrainOptions(random_state=generator), "fit")


class Kinds(Memory):
    """Notes the type of what the layers give; torch's LSTM raises on a processor without bfloat16."""

    def __init__(self, dropout, carry):
        super().__init__(dropout, carry)
        self.module["lstm"] = elman.nn.LSTM(3, 6)

    def loss(self, batch, carry):
        found = super().loss(batch, carry)
        with torch.no_grad():
            self.kind = self.module["lstm"](batch)[0].dtype
        return found


def test_bfloat16_is_for_the_products_of_training_alone():
    found = {}
    for precision in ("float32", "bfloat16"):
        seed(0)
        objective = Kinds(dropout=0.0, carry=False)
        kinds = []

        def evaluate(objective=objective, kinds=kinds):
            kinds.append(objective.module["lstm"](torch.ones(2, 1, 3))[0].dtype)
            return {"loss": 1.0}

        options = TrainOptions(epochs=20, lr=0.01, precision=precision)
        history = fit(objective, Copy(), options=options, evaluate=evaluate)
        assert objective.kind is getattr(torch, precision)
        assert set(kinds) == {torch.float32}
        assert {p.dtype for p in objective.module.parameters()} == {torch.float32}
        found[precision] = [one["loss"] for one in history.records if "lr" in one]
    whole, half = found["float32"], found["bfloat16"]
    assert whole != half
    assert half[-1] == pytest.approx(whole[-1], rel=0.02)
    # and it learned
    assert half[-1] < 0.8 * half[0]


def test_an_unknown_precision_is_refused():
    with pytest.raises(
        ValueError, match="precision='half' is not known; give one of float32, bfloat16"
    ):
        train(TrainOptions(precision="half"))

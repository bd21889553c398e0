"""The moving average of the weights."""

import pytest
import torch
from torch import nn
from train.trainings import Copy, Memory, Stopping, start, train, weights

from elman.train import Interrupted, Loss, TrainOptions, fit
from elman.train._average import Average


class Noisy:
    """The mean of noisy numbers, which no step leaves in peace."""

    def __init__(self, noise):
        self.module, self.noise = nn.Linear(1, 1, bias=False), noise
        nn.init.zeros_(self.module.weight)

    def loss(self, batch, carry):
        target = 1 + self.noise * batch[0, :, :1]
        return Loss((self.module.weight - target).square().mean(), 1)


def test_it_is_the_average_by_hand():
    seen = []

    class Seeing(Memory):
        def loss(self, batch, carry):
            seen.append(weights(self))
            return super().loss(batch, carry)

    torch.manual_seed(0)
    last, other = Seeing(), Memory()
    other.module.load_state_dict(last.module.state_dict())
    state = torch.get_rng_state()
    fit(last, Copy(), options=TrainOptions(epochs=9))
    torch.set_rng_state(state)
    fit(other, Copy(), options=TrainOptions(epochs=9, average=0.6))
    average, after = seen[0].double(), [*seen[1:], weights(last)]
    for n, one in enumerate(after, 1):
        d = min(0.6, (1 + n) / (10 + n))
        average = d * average + (1 - d) * one.double()
    torch.testing.assert_close(weights(other).double(), average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights(other), weights(last), rtol=1e-3)


def test_weights_that_two_layers_share_are_one_average_which_moves_once():
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    module[1].weight = module[0].weight
    average, before = Average(module, 0.5), module[0].weight.item()
    module[0].weight.data.add_(1)
    average.update()
    assert average.weights["0.weight"] is average.weights["1.weight"]
    # the first step leaves 2 parts of 11 of what was there
    assert average.weights["0.weight"].item() == pytest.approx(before + 9 / 11)


def test_the_training_itself_is_the_same():
    figures = {"evaluate": lambda: {"loss": 1.0}}
    plain = train(TrainOptions(epochs=3), **figures)[1]
    averaged = train(TrainOptions(epochs=3, average=0.9), **figures)[1]
    assert plain.records == averaged.records
    assert len(plain.records) == 21


def test_the_average_is_what_is_judged_and_kept():
    objective, judged = Memory(), []

    def evaluate():
        judged.append(weights(objective))
        return {"loss": float(len(judged) != 2)}

    fit(objective, Copy(), options=TrainOptions(epochs=4, average=0.9), evaluate=evaluate)
    assert torch.equal(weights(objective), judged[1])
    assert not torch.equal(judged[1], judged[2])


def test_it_takes_off_the_noise_of_a_constant_rate():
    def error(**options):
        objective = Noisy(3.0)
        sgd = TrainOptions(epochs=80, lr=0.1, optimizer="sgd", schedule="constant", **options)
        history = fit(
            objective, Copy(10), options=sgd,
            evaluate=lambda: {"loss": (objective.module.weight.item() - 1) ** 2},
        )  # fmt: skip
        found = [one["validation_loss"] for one in history.records if "validation_loss" in one]
        return sum(found[20:]) / 60

    assert error(average=0.98) < error() / 3


def test_without_noise_it_ends_where_the_weights_end():
    objective = Noisy(0.0)
    sgd = {"epochs": 60, "lr": 0.2, "optimizer": "sgd", "schedule": "constant"}
    fit(objective, Copy(10), options=TrainOptions(average=0.9, **sgd))
    assert objective.module.weight.item() == pytest.approx(1, abs=1e-6)


def test_it_resumes_bit_for_bit(tmp_path):
    options = TrainOptions(epochs=4, average=0.95)
    expected, _ = train(options)

    with pytest.raises(Interrupted):
        train(options, start(tmp_path), Stopping())
    assert torch.equal(train(options, start(tmp_path))[0], expected)
    # and once more from the checkpoint of the end
    assert torch.equal(train(options, start(tmp_path))[0], expected)


@pytest.mark.parametrize("wrong", [1, -0.1, True, "x", float("nan")])
def test_a_decay_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=f"^fit: average={wrong!r}; give 0 up to below 1.$"):
        fit(Memory(), Copy(), options=TrainOptions(average=wrong))

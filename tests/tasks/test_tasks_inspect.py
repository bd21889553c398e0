"""Looking at the gradient of trained tasks, from Python and from the command line."""

import json

import numpy as np
import pytest
import torch

import elman
from elman.nn import RNN
from elman.train import scan_tail

TEXT = ["to be, or not to be, that is the question. " * 60]
PICTURES = ["gates.png", "loss.png", "reach.png", "states.png", "unrolled.png"]


def recall(count=400, steps=40):
    """Sequences whose class is told by their first number."""
    random = np.random.default_rng(0)
    x = [random.normal(size=(steps, 1)) for _ in range(count)]
    return x, [int(one[0, 0] > 0) for one in x]


def pictures(folder):
    return sorted(one.name for one in (folder / "plots").iterdir())


def test_a_run_carries_its_reach_and_pictures(tmp_path):
    run = tmp_path / "run"
    model = elman.LanguageModel(hidden_size=16, epochs=1, bptt=8, batch_size=4)
    model.fit(TEXT, run=run)
    card = (run / "README.md").read_text()
    assert "## Gradient through time" in card
    assert model.diagnosis_.sentence() in card
    assert pictures(run) == PICTURES
    found = json.loads((run / "diagnosis.json").read_text())
    assert found["kind"] == model.diagnosis_.kind
    assert str(elman.load(run).diagnosis_) == str(model.diagnosis_)


def test_a_training_on_torchs_kernels_is_looked_at_too(tmp_path):
    model = elman.LanguageModel(hidden_size=16, epochs=1, bptt=8, batch_size=4)
    with elman.ops.only("torch"):
        model.fit(TEXT, run=tmp_path / "run")
    assert pictures(tmp_path / "run") == PICTURES
    assert model.diagnosis_ is not None


def test_a_watched_run_draws_its_history_and_knows_how_far_back_its_answer_lies(tmp_path):
    x, y = recall()
    model = elman.SequenceClassifier(
        cell="rnn", init="torch", hidden_size=8, epochs=2, watch=True, validation_fraction=0.5
    )
    model.fit(x, y, run=tmp_path / "run")
    assert pictures(tmp_path / "run") == sorted([*PICTURES, "gradient-history.png"])
    assert model.diagnosis_.needed in range(30, 40)
    assert model.diagnosis_.kind == "vanishing"
    assert model.diagnosis_.can_learn is False
    assert "cannot learn it" in (tmp_path / "run" / "README.md").read_text()


def test_forecasts_are_looked_at_too(tmp_path):
    y = np.sin(np.arange(300) * 2 * np.pi / 12)
    model = elman.Forecaster(horizon=4, season=12, hidden_size=8, epochs=2, watch=True).fit(y)
    again = model.inspect(y, folder=tmp_path)
    assert again.reach.steps <= model.context_
    assert (tmp_path / "diagnosis.json").is_file()


def test_what_a_remedy_changed_is_there_when_the_run_is_opened(tmp_path):
    x, y = recall(steps=80)
    model = elman.SequenceClassifier(
        cell="rnn", hidden_size=8, epochs=8, remedy="auto", lr=1e-3, validation_fraction=0.5
    )
    model.fit(x, y, run=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["fitted"]["changed"] == model.history_.changed
    remedies = [one["remedy"] for one in model.history_.records if "remedy" in one]
    assert remedies
    again = elman.load(tmp_path / "run")
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    model.save(tmp_path / "copy")
    copy = elman.load(tmp_path / "copy")
    assert np.array_equal(copy.predict_proba(x), model.predict_proba(x))
    assert copy.history_.changed == model.history_.changed


def test_checkpointed_learns_what_full_does_and_truncated_something_else():
    x, y = recall()
    fitted = {
        bptt: elman.SequenceClassifier(hidden_size=8, epochs=3, bptt=bptt, bptt_steps=5).fit(x, y)
        for bptt in ("full", "checkpointed", "truncated")
    }
    full = fitted["full"].predict_proba(x)
    assert np.array_equal(full, fitted["checkpointed"].predict_proba(x))
    assert not np.array_equal(full, fitted["truncated"].predict_proba(x))


def test_truncated_gradients_go_back_so_many_steps_of_every_row():
    layer, lengths = RNN(2, 3), torch.tensor([9, 4, 0, 6])
    x = torch.randn(9, 4, 2, requires_grad=True)
    output = scan_tail(layer, x, lengths, 4)
    torch.testing.assert_close(output, layer(x, lengths=lengths)[0])
    output.sum().backward()
    time = torch.arange(9)[:, None]
    expected = (time < lengths) & (time >= lengths - 4)
    assert torch.equal(x.grad.abs().sum(-1) > 0, expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bptt": "half"}, "bptt='half' is not known; give one of full, truncated, checkpointed"),
        ({"bptt": "truncated", "bidirectional": True}, "reads from both ends"),
        ({"bptt_steps": 0}, "bptt_steps=0; give a whole number above zero"),
    ],
)
def test_options_that_cannot_be(options, said):
    x, y = recall(20, 5)
    with pytest.raises(ValueError, match=said):
        elman.SequenceClassifier(**options).fit(x, y)

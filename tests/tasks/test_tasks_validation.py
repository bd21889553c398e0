"""A held-out part that is given, instead of one that is taken from the data."""

import json

import numpy as np

from elman import LanguageModel, SequenceClassifier


def labelled(rows, seed):
    rng = np.random.default_rng(seed)
    kinds = [i % 2 for i in range(rows)]
    return [rng.normal(size=(4, 2)) + 2 * kind for kind in kinds], kinds


def test_a_classifier_trains_on_all_and_is_chosen_by_the_given_part(tmp_path):
    X, y = labelled(30, 0)
    held, labels = labelled(10, 1)
    # labels that the model cannot tell: the held-out accuracy shows which part was measured
    wrong = [1 - label for label in labels]
    model = SequenceClassifier(hidden_size=8, epochs=6, lr=0.02, keep_best=False)
    model.fit(X, y, validation=(held, wrong), run=tmp_path / "run")
    assert model.results_["accuracy"] == 0
    assert model.score(held, labels) == 1
    assert model.results_["sequences"] == 40


def test_a_language_model_is_measured_on_the_given_text(tmp_path):
    model = LanguageModel(hidden_size=8, epochs=1, bptt=8, batch_size=2)
    text, other = "abcabcabd " * 30, "dcba " * 9
    model.fit([text], validation=[other])
    assert model.results_["tokens"] == len(text) + 1
    # every token of the other text but its first is told, and its end
    assert model.results_["held_out_tokens"] == 2 * (len(other) // 2)


def test_the_run_says_which_file_it_was_chosen_by(tmp_path):
    for name in ("train", "valid"):
        (tmp_path / f"{name}.txt").write_text("to be or not to be. " * 40)
    model = LanguageModel(hidden_size=8, epochs=1, bptt=8, batch_size=2)
    path = tmp_path / "train.txt"
    model.fit(path, validation=tmp_path / "valid.txt", run=tmp_path / "run")
    said = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert said["validation"] == str(tmp_path / "valid.txt")

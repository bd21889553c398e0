"""A held-out part that is given, instead of one that is taken from the data."""

import json

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from elman import LanguageModel, SequenceClassifier, SequenceRegressor, SequenceTagger
from elman.tasks._supervised import _digest


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


def test_what_is_held_out_sets_no_scale_of_the_targets():
    X, _ = labelled(20, 0)
    y = np.arange(20.0)
    found = []
    for last in (0.5, 1e6):
        model = SequenceRegressor(hidden_size=4, epochs=1, keep_best=False)
        model.fit(X, y, validation=(X[:2], [0.0, last]))
        found.append(torch.cat([p.detach().flatten() for p in model.module_.parameters()]))
        assert model.target_scaler_.mean == pytest.approx(y.mean())
        assert model.target_scaler_.std == pytest.approx(y.std())
    assert torch.equal(*found)
    model = SequenceRegressor(hidden_size=4, epochs=1, validation_fraction=0.25).fit(X, y)
    train, held = model._split(y, 0)
    assert len(held) == 5
    assert model.target_scaler_.mean == pytest.approx(y[train].mean())


def test_a_class_that_only_the_given_part_has_is_refused(tmp_path):
    X, y = ["a b", "c d"] * 10, [1, 2] * 10
    model = SequenceClassifier(hidden_size=4, epochs=1)
    with pytest.raises(ValueError, match="label") as caught:
        model.fit(X, y, validation=(["a b"], [3]), run=tmp_path / "run")
    assert str(caught.value) == (
        "SequenceClassifier.fit: the label '3' was not seen in training; the classes are 1, 2."
    )
    assert not (tmp_path / "run").exists()
    # a file with other labels among its own has texts, and the same classes
    assert model.fit(X, y, validation=(X[:4], ["1", "2"] * 2)).classes_.tolist() == [1, 2]


def test_a_row_that_moves_between_the_parts_makes_another_run(tmp_path, monkeypatch):
    noted = []

    def begin(model, run, data):
        noted.append(data)
        raise InterruptedError

    monkeypatch.setattr(SequenceClassifier, "_begin", begin)
    rows = [f"{text},{kind}\n" for text, kind in [("a b", "x"), ("c d", "y")] * 10]

    def told(own):
        for name, part in (("train", rows[:own]), ("valid", rows[own:])):
            (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(part))
        with pytest.raises(InterruptedError):
            SequenceClassifier().fit(tmp_path / "train.csv", validation=tmp_path / "valid.csv")
        return noted[-1]

    assert told(14) == told(14)
    differing = {name for name, value in told(14).items() if told(6)[name] != value}
    assert differing == {"content", "validation_content"}


def test_runs_of_one_part_keep_their_digest():
    assert _digest(["a b", np.arange(3.0), [1, 2]], ["x", "y", 3]) == "474e14e073df11fd"


@pytest.mark.parametrize(
    ("rows", "kinds", "part", "held"),
    [
        # one of each class
        (30, 4, 0.1, [1, 1, 1, 1]),
        (6, 3, 0.4, [1, 1, 1]),
        # where that is too much, of as many classes as were asked for
        (60, 30, 0.1, 6),
        # what is left trains one of each
        (12, 3, 0.9, [3, 3, 3]),
        # the part is less than half a row
        (4, 2, 0.1, []),
    ],
)
def test_a_part_with_no_room_for_all_classes_is_held_out_too(rows, kinds, part, held):
    targets = np.arange(rows) % kinds
    train, held_out = SequenceClassifier(validation_fraction=part)._split(targets, 0)
    assert sorted([*train, *held_out]) == list(range(rows))
    counts = np.bincount(targets[held_out])
    if isinstance(held, int):
        assert sorted(counts[counts > 0]) == [1] * held
    else:
        assert counts.tolist() == held
    assert set(targets[train]) == set(range(kinds))


def test_a_part_with_room_for_all_classes_is_split_as_ever():
    targets = np.random.default_rng(5).integers(0, 3, 33)
    train, held_out = SequenceClassifier()._split(targets, 5)
    expected = train_test_split(np.arange(33), test_size=3, stratify=targets, random_state=5)
    assert sorted(expected[0]) == train.tolist()
    assert sorted(expected[1]) == held_out.tolist()


def test_classes_of_one_row_each_leave_nothing_to_hold_out():
    texts = [f"{kind} {kind}" for kind in "abcdefgh"]
    model = SequenceClassifier(hidden_size=4, epochs=1)
    with pytest.warns(UserWarning, match="every class has one sequence, and nothing is held out"):
        assert model.fit(texts, list("abcdefgh")).results_ == {"sequences": 8}


def test_which_tags_and_labels_go_together_tells_the_training_part():
    X, y = [["a", "b"], ["c", "d"]] * 6, [(["S", "T"], "one"), (["U", "V"], "two")] * 6
    model = SequenceTagger(hidden_size=4, epochs=1)
    model.fit(X, y, validation=([["a", "d"]], [(["S", "V"], "two")]))
    assert model._names.together.tolist() == [[6, 6, 0, 0], [0, 0, 6, 6]]
    # names that only the held-out part has are known
    model.fit(X, y, validation=([["a"]], [(["W"], "one")]))
    assert model.tags_ == ["S", "T", "U", "V", "W"]

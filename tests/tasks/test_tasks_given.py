"""What is given to a classifier: numbers that are scaled before they are rounded, labels that are
none, and what a mistake calls the sequence that it is in.
"""

import json
import re

import numpy as np
import pytest

import elman
from elman.data import Columns

RNG = np.random.default_rng(0)
NUMBERS = [RNG.normal(size=(4, 1)) for _ in range(80)]
TEXTS = ["good film", "bad film"] * 40
LABELS = ["up", "down"] * 40


def classifier(**more):
    return elman.SequenceClassifier(**{"hidden_size": 8, "epochs": 6, "lr": 0.02, **more})


def times(seed):
    """Two classes of times around 2026, in seconds: one is later by half a minute."""
    rng = np.random.default_rng(seed)
    return [1.77e9 + 60 * rng.normal(size=(6, 1)) + 90 * (i % 2) for i in range(60)]


def test_numbers_are_scaled_before_they_are_rounded(tmp_path):
    labels = ["early", "late"] * 30
    options = {"epochs": 20, "pooling": "mean"}
    fitted = classifier(**options).fit(times(0), labels)
    assert fitted.score(times(1), labels) > 0.85
    # lists, rows of lists and rows of steps hold the same numbers
    lists = [one.tolist() for one in times(1)]
    np.testing.assert_array_equal(fitted.predict_proba(lists), fitted.predict_proba(times(1)))
    rows = [{"sequence": x, "label": y} for x, y in zip(lists, labels, strict=True)]
    path = tmp_path / "times.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = classifier(**options).fit(path)
    assert table.evaluate(path)["accuracy"] > 0.85
    np.testing.assert_array_equal(table.predict_proba(path), table.predict_proba(lists))
    steps = [
        (i, x, y) for i, (one, y) in enumerate(zip(lists, labels, strict=True)) for (x,) in one
    ]
    long = dict(zip(("id", "x", "label"), zip(*steps, strict=True), strict=True))
    long = {name: list(values) for name, values in long.items()}
    stepped = classifier(**options).fit(long, columns=Columns(id="id"))
    assert stepped.evaluate(long)["accuracy"] > 0.85


def test_what_a_table_holds_has_the_digest_that_runs_of_before_have(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    rows = [{"sequence": [0.1 * i, 0.3, 1e9 + i], "label": i % 2} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fitted = classifier(epochs=1).fit(path, run=tmp_path / "run")
    data = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert data["content"] == "e2bcdebbadd018e9"
    assert fitted.results_


@pytest.mark.parametrize("odd", [float("nan"), np.float64("nan"), None])
def test_a_label_that_is_none_is_refused_with_its_place(odd):
    said = rf"^SequenceClassifier.fit: y\[3\] is {odd}, no label; give one, or drop that sequence.$"
    for others in (LABELS, [1.0, 2.0] * 40):
        with pytest.raises(ValueError, match=said):
            classifier().fit(TEXTS, [*others[:3], odd, *others[4:]])
    with pytest.raises(ValueError, match=r"fit, validation: y\[0\] is"):
        classifier().fit(TEXTS, LABELS, validation=(TEXTS[:2], [odd, "up"]))


def test_sequences_of_a_table_are_named_by_their_rows_and_those_of_a_list_by_their_number(tmp_path):
    holes = [[1.0, 2.0], [float("nan"), 1.0], [2.0]]
    path = tmp_path / "a.jsonl"
    rows = [{"sequence": x, "label": i} for i, x in enumerate(holes)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.ts").write_text("@classLabel true a b\n@data\n1,2:a\n?,1:b\n")
    cases = [
        (path, {}, f"{path}: nan in row 2, step 0, feature 0"),
        (tmp_path / "a.ts", {}, "a.ts: nan in row 2, step 0, feature 0"),
        (holes, {"y": [0, 1, 2]}, "SequenceClassifier.fit: nan in sequence 1, step 0"),
        (NUMBERS, {"y": LABELS, "validation": (holes, LABELS[:3])},
         "SequenceClassifier.fit, validation: nan in sequence 1"),
    ]  # fmt: skip
    for X, more, said in cases:
        with pytest.raises(ValueError, match=re.escape(said)):
            classifier().fit(X, **more)
    long = {"id": ["p", "q"], "x": [1.0, float("inf")], "label": ["a", "b"]}
    with pytest.raises(ValueError, match="row 2, column 'x': inf"):
        classifier(missing="ffill").fit(long, columns=Columns(id="id"))

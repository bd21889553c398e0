"""The .ts files of the time-series archives."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from elman import SequenceClassifier
from elman.data import read_ts

HEAD = "# a comment\n@problemName a\n@timeStamps false\n@classLabel true up down\n@data\n"


def written(folder, text):
    path = folder / "a.ts"
    path.write_text(text)
    return path


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, 2)).astype(np.float32) for n in (3, 1, 7)]
    labels = ["up", "down", "up"]
    lines = [
        ":".join([*(",".join(map(repr, map(float, channel))) for channel in one.T), label])
        for one, label in zip(sequences, labels, strict=True)
    ]
    path = tmp_path / "a.ts.gz"
    path.write_bytes(gzip.compress((HEAD + "\n".join(lines) + "\n").encode()))
    found, told = read_ts(path)
    assert told == labels
    assert all(np.array_equal(a, b) for a, b in zip(found, sequences, strict=True))


def test_missing_numbers_and_files_without_labels(tmp_path):
    found, told = read_ts(written(tmp_path, "@classLabel false\n@data\n1,?,3\n"))
    assert told is None
    np.testing.assert_array_equal(found[0], np.array([[1], [np.nan], [3]], np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2:up\n", "line 1 comes before @data"),
        (HEAD + "1,2:3:up\n", "line 6: channels of 1 and 2 steps; all need as many"),
        (HEAD + "1,x:up\n", "line 6: could not convert string to float: 'x'; mend the line"),
        (HEAD + "1,2:left\n", "line 6: the label 'left' is none of @classLabel's"),
        ("@timeStamps true\n", "line 1: steps with times of their own cannot be read"),
        (HEAD, "there are no sequences in it"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_ts(written(tmp_path, text))


def test_a_classifier_takes_such_a_file(tmp_path):
    lines = [f"{i % 2},{i % 2},1:{'up' if i % 2 else 'down'}" for i in range(30)]
    path = written(tmp_path, HEAD + "\n".join(lines) + "\n")
    model = SequenceClassifier(hidden_size=8, epochs=8, lr=0.02).fit(path)
    assert model.evaluate(path)["accuracy"] == 1
    assert model.predictions(path)["prediction"][:2] == ["down", "up"]


@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA names no folder of data")
def test_real_files(tmp_path):
    folder = Path(os.environ["ELMAN_DATA"]) / "uea-ucr"
    for path in sorted(folder.glob("*.ts.gz")):
        sequences, labels = read_ts(path)
        assert labels is not None
        assert len(sequences) == len(labels) > 0

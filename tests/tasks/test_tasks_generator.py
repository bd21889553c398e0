"""The generator: labels and vectors start texts and numbers; the estimator's contract."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman import SequenceGenerator

WORDS = {"up": "abc", "down": "cba", "flat": "bb"}


def generator(**options):
    small = {"hidden_size": 24, "epochs": 20, "lr": 0.02, "batch_size": 8}
    return SequenceGenerator(**{**small, **options})


def texts(count=60):
    kinds = [list(WORDS)[i % 3] for i in range(count)]
    return kinds, [WORDS[kind] for kind in kinds]


def curves(count=60, seed=0):
    """A slope and a length start a line of as many steps."""
    rng = np.random.default_rng(seed)
    X = np.stack([rng.uniform(-1, 1, count), rng.integers(3, 7, count)], 1)
    y = [np.stack([slope * np.arange(1, n + 1)], 1) for slope, n in X]
    return X, y


@pytest.mark.parametrize("condition", ["state", "input", "both"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_label_starts_a_text(condition, cell):
    X, y = texts()
    model = generator(condition=condition, cell=cell).fit(X, y)
    assert model.predict(list(WORDS)) == list(WORDS.values())
    assert model.classes_ == sorted(WORDS)
    # nothing is left to chance in these texts
    assert model.results_["loss"] < 0.3


def test_drawn_texts_come_as_often_as_they_should():
    X, y = ["a"] * 90, ["x", "x", "y"] * 30
    model = generator(epochs=30).fit(X, y)
    found = model.sample(["a"] * 300, seed=0)
    assert found == model.sample(["a"] * 300, seed=0)
    assert found.count("x") / 300 == pytest.approx(2 / 3, abs=0.1)
    assert set(model.sample(["a"] * 50, seed=1, temperature=0)) == {"x"}


def test_a_vector_starts_numbers_and_says_where_they_end():
    X, y = curves(200)
    model = generator(epochs=60, hidden_size=32, lr=0.01).fit(X, y)
    X, y = curves(20, 1)
    found = model.predict(X)
    right = [len(a) == len(b) for a, b in zip(found, y, strict=True)]
    assert np.mean(right) > 0.7
    close = [np.abs(a - b).mean() for a, b, ok in zip(found, y, right, strict=True) if ok]
    assert np.mean(close) < 0.4
    with pytest.raises(ValueError, match="numbers are not drawn; call predict"):
        model.sample(X)


def test_the_loss_is_that_of_a_loop_over_steps():
    X, y = texts(20)
    model = generator(epochs=2).fit(X, y)
    total = count = 0
    for start, text in zip(X[:5], y[:5], strict=True):
        vector = torch.eye(3)[sorted(WORDS).index(start)][None]
        state, feed = model.module_.body.start(vector), 1
        for token in [*model.vocabulary_.encode(text).tolist(), 1]:
            x = model.module_.embedded(torch.tensor([feed]))
            scores, state = model.module_.body.step(vector, x, state)
            total -= float(scores.detach().log_softmax(-1)[0, token])
            count, feed = count + 1, token
    assert model.evaluate(X[:5], y[:5])["loss"] == pytest.approx(total / count, rel=1e-5)


def test_the_run_opens_as_it_was(tmp_path):
    for number, (X, y) in enumerate((texts(30), curves(30))):
        run = tmp_path / f"run{number}"
        model = generator(epochs=3).fit(X, y, run=run)
        opened = elman.load(run)
        same = zip(opened.predict(X), model.predict(X), strict=True)
        assert all(np.array_equal(a, b) for a, b in same)
        assert opened.evaluate(X, y) == model.evaluate(X, y)
        opened.save(tmp_path / f"copy{number}")
        assert elman.load(tmp_path / f"copy{number}").results_ == model.results_
        assert model.diagnosis_ is not None


def test_tables_of_labels_and_of_numbers(tmp_path):
    X, y = texts(30)
    rows = [{"label": a, "name": b} for a, b in zip(X, y, strict=True)]
    path = tmp_path / "names.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = generator(epochs=12).fit(path)
    assert model.predictions(path)["start"] == X
    assert model.evaluate(path) == model.evaluate(X, y)
    X, y = curves(30)
    rows = [{"slope": a[0], "n": a[1], "sequence": b.tolist()} for a, b in zip(X, y, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = generator(epochs=2).fit(path)
    assert model.evaluate(path)["loss"] == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-3)
    path.write_text('{"label": "a", "y": [1, 2]}\n{"label": "b", "y": [1, null]}\n')
    with pytest.raises(ValueError, match="names.jsonl: the sequence of row 2 has nan in step 1"):
        generator().fit(path)
    path.write_text('{"label": "a", "n": 1}\n')
    with pytest.raises(ValueError, match="which column holds the sequences"):
        generator().fit(path)


def test_the_contract_of_an_estimator():
    model = generator(epochs=2)
    assert clone(model).get_params() == model.get_params()
    one, other = model.fit(*texts(20)), clone(model).fit(*texts(20))
    assert torch.equal(one.module_.body.head.weight, other.module_.body.head.weight)
    with pytest.raises(Exception, match="not fitted yet; call fit first"):
        generator().predict(["up"])


@pytest.mark.parametrize(
    ("X", "y", "options", "said"),
    [
        (["a", "b"], ["x"], {}, "2 sequences and 1 targets"),
        (["a", "b"], ["x", ""], {}, "sequence 1 is empty"),
        (["a", 1], ["x", "y"], {}, "neither labels alone nor vectors of one length"),
        ([[1.0], [np.nan]], ["x", "y"], {}, "give finite numbers"),
        (["a"], ["x"], {"condition": "first"}, "condition='first' is not known"),
        (["a"], ["x"], {"level": "words"}, "level='words' is not known"),
        (["a"], ["x"], {"beam": 0}, "beam=0; give a whole number above zero"),
        (["a"], ["x"], {"vocabulary_size": 1}, "vocabulary_size=1; give a whole number from 3 on"),
        (
            ["a", "b"],
            [[1.0], [1.0, np.nan, np.inf]],
            {},
            r"fit: sequence 1 has nan in step 1 \(2 such values\); mend it, or take it out",
        ),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, X, y, options, said):
    with pytest.raises(ValueError, match=said):
        generator(validation_fraction=0, **options).fit(X, y, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_fitted_model_does_not_know_is_named():
    model = generator(epochs=1).fit(*texts(12))
    with pytest.raises(ValueError, match="the label 'left' was not seen in training"):
        model.predict(["left"])
    model = generator(epochs=1).fit(*curves(12))
    with pytest.raises(ValueError, match="vectors of 3 numbers, the model was trained on 2"):
        model.predict([[1, 2, 3]])


def test_columns_that_were_guessed_hold_for_other_tables():
    X, y = curves()
    slopes, steps = X.T.tolist()
    table = {"slope": slopes, "steps": steps, "sequence": [one.tolist() for one in y]}
    model = generator(epochs=2).fit(table)
    assert model.columns_.start == ("slope", "steps")
    for one, other in zip(
        model.predictions({"steps": steps, "slope": slopes})["prediction"],
        model.predict(X),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)

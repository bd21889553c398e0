"""Classifiers and regressors learn, say what is wrong, and come back from their folders."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import elman
from elman.data import Columns, pad
from elman.tasks._pooled_network import Supervised

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 12, size=80)
SIGN = RNG.integers(0, 2, size=80)
NUMBERS = [RNG.normal(2 * s - 1, 0.5, size=(n, 2)) for n, s in zip(LENGTHS, SIGN, strict=True)]
LABELS = np.where(SIGN, "up", "down")
TEXTS = [
    " ".join(["good film" if s else "bad film"] * (n // 3))
    for n, s in zip(LENGTHS, SIGN, strict=True)
]


def classifier(**more):
    return elman.SequenceClassifier(**{"hidden_size": 8, "epochs": 6, "lr": 0.02, **more})


def regressor(**more):
    return elman.SequenceRegressor(**{"hidden_size": 8, "epochs": 15, "lr": 0.02, **more})


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


@pytest.mark.parametrize("X", [NUMBERS, TEXTS], ids=["numbers", "texts"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "gru", "pooling": "mean", "bidirectional": True, "class_weight": "balanced"},
        {"cell": "rnn", "pooling": "max", "input_dropout": 0.1, "level": "characters"},
        {"pooling": "attention", "num_layers": 2, "dropout": 0.1, "class_weight": {"up": 2.0}},
    ],
    ids=str,
)
def test_it_tells_classes_apart(X, options):
    model = classifier(**options).fit(X, LABELS)
    assert model.results_["accuracy"] >= 0.85
    assert model.score(X, LABELS) >= 0.9
    p = model.predict_proba(X)
    assert p.shape == (80, 2)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    # a row does not see its neighbours
    np.testing.assert_allclose(model.predict_proba(X[3:4]), p[3:4], atol=1e-5)
    assert model.evaluate(X, LABELS)["f1_up"] >= 0.9


def test_it_tells_numbers():
    y = np.array([x.mean() for x in NUMBERS])
    model = regressor(pooling="mean").fit(NUMBERS, y)
    assert model.results_["r2"] > 0.8
    assert model.predict(NUMBERS).shape == (80,)
    both = regressor(pooling="mean").fit(NUMBERS, np.stack([y, -y], 1))
    assert both.predict(NUMBERS).shape == (80, 2)
    assert both.score(NUMBERS, np.stack([y, -y], 1)) > 0.8


@pytest.mark.parametrize("make", [classifier, regressor])
def test_the_contract_of_scikit_learn(make):
    y = LABELS if make is classifier else SIGN * 1.0
    model = make(epochs=1, random_state=3)
    assert clone(model).get_params() == model.get_params()
    assert torch.equal(weights(model.fit(NUMBERS, y)), weights(clone(model).fit(NUMBERS, y)))
    search = GridSearchCV(make(epochs=1), {"hidden_size": [4, 8]}, cv=2).fit(NUMBERS, y)
    assert search.best_params_["hidden_size"] in (4, 8)
    assert len(cross_val_score(make_pipeline(make(epochs=1)), NUMBERS, y, cv=3)) == 3
    with pytest.raises(ValueError, match="not fitted yet"):
        make().predict(NUMBERS)


@pytest.mark.parametrize("X", [NUMBERS, TEXTS], ids=["numbers", "texts"])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_runs_come_back_as_they_were(tmp_path, make, X):
    y = LABELS if make is classifier else SIGN * 1.0
    model = make().fit(X, y, run=tmp_path / "run")
    again = elman.load(tmp_path / "run")
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.results_ == model.results_
    model.save(tmp_path / "saved")
    assert np.array_equal(elman.load(tmp_path / "saved").predict(X), model.predict(X))
    same = make().fit(X, y, run=tmp_path / "run")
    assert torch.equal(weights(same), weights(model))
    with pytest.raises(ValueError, match="content: here"):
        make().fit(X[::-1], y, run=tmp_path / "run")


def long_table():
    """`NUMBERS` with a row for each step."""
    rows = [(i, *step) for i, x in enumerate(NUMBERS) for step in x]
    long = {"id": [r[0] for r in rows], "a": [r[1] for r in rows], "b": [r[2] for r in rows]}
    long["label"] = [LABELS[r[0]] for r in rows]
    return long


def test_tables_in(tmp_path):
    table = pa.table({"text": TEXTS, "label": LABELS.tolist()})
    model = classifier().fit(table)
    assert model.evaluate(table)["accuracy"] > 0.9
    assert model.predict(table).shape == (80,)
    file = tmp_path / "a.csv"
    file.write_text(
        "text,label\n" + "".join(f"{t},{y}\n" for t, y in zip(TEXTS, LABELS, strict=True))
    )
    assert torch.equal(weights(classifier().fit(file)), weights(model))
    found = classifier().fit(long_table(), columns=Columns(id="id"))
    assert np.array_equal(
        found.predict(NUMBERS), classifier().fit(NUMBERS, LABELS).predict(NUMBERS)
    )


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_missing_values_are_handled_when_asked(missing):
    holes = [x.copy() for x in NUMBERS]
    for x in holes:
        x[1, 0] = np.nan
    with pytest.raises(ValueError, match="nan in sequence 0, step 1, feature 0"):
        classifier().fit(holes, LABELS)
    model = classifier(missing=missing).fit(holes, LABELS)
    assert model.score(holes, LABELS) > 0.9
    assert model.module_.body.layers.input_size == (4 if missing == "mask" else 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: classifier().fit(TEXTS, ["a"] * 80), "SequenceClassifier.fit: all labels are 'a';"
         " give sequences of two classes or more."),
        (lambda: classifier().fit(TEXTS, LABELS).evaluate(TEXTS[:1], ["side"]),
         "SequenceClassifier.evaluate: the label 'side' was not seen in training;"
         " the classes are 'down', 'up'."),
        (lambda: classifier().fit(TEXTS), "SequenceClassifier.fit: y is missing; give a target for"
         " each sequence."),
        (lambda: classifier().fit(TEXTS, LABELS[:3]), "SequenceClassifier.fit: 80 sequences and 3"
         " targets; give one for each."),
        (lambda: classifier().fit([], []), "SequenceClassifier.fit: there are no sequences; give at"
         " least one."),
        (lambda: classifier().fit([*TEXTS[:-1], ""], LABELS), "SequenceClassifier.fit: sequence 79"
         " is empty; drop it."),
        (lambda: classifier(class_weight={"x": 1}).fit(TEXTS, LABELS), "SequenceClassifier:"
         " class_weight={'x': 1}; give None, 'balanced', or a dict over 'down', 'up'."),
        (lambda: classifier(class_weight="balancd").fit(TEXTS, LABELS), "SequenceClassifier:"
         " class_weight='balancd'; give None, 'balanced', or a dict over 'down', 'up'."),
        (lambda: classifier(random_state=-1).fit(TEXTS, LABELS), "SequenceClassifier:"
         " random_state=-1; give a whole number from 0 on as the seed, or None."),
        (lambda: classifier(random_state="abc").fit(TEXTS, LABELS), "SequenceClassifier:"
         " random_state='abc'; give a whole number from 0 on as the seed, or None."),
        (lambda: classifier(level="word").fit(TEXTS, LABELS), "SequenceClassifier: level='word' is"
         " not known; give one of characters, words, subwords."),
        (lambda: classifier(pooling="sum").fit(TEXTS, LABELS), "Pooling: how='sum' is not known;"
         " give one of last, mean, max, attention."),
        (lambda: classifier(validation_fraction=1).fit(TEXTS, LABELS), "SequenceClassifier:"
         " validation_fraction=1; give 0 up to below 1."),
        (lambda: classifier(dropout="x").fit(TEXTS, LABELS), "SequenceClassifier: dropout='x'; give"
         " a number."),
        (lambda: classifier(gradient_clip="x").fit(TEXTS, LABELS), "SequenceClassifier:"
         " gradient_clip='x'; give a number, or None."),
        (lambda: classifier(dropout=2).fit(TEXTS, LABELS), "SequenceClassifier: dropout=2; give 0 up"
         " to 1."),
        (lambda: classifier(character_size=2.5).fit(TEXTS, LABELS), "SequenceClassifier:"
         " character_size=2.5; give a whole number, 0 for none."),
        (lambda: classifier(lowercase="no").fit(TEXTS, LABELS), "SequenceClassifier:"
         " lowercase='no'; give True or False."),
        (lambda: classifier(embedding_size=-1).fit(TEXTS, LABELS), "SequenceClassifier:"
         " embedding_size=-1; give a whole number above zero."),
        (lambda: classifier(embedding_size="x").fit(TEXTS, LABELS), "SequenceClassifier:"
         " embedding_size='x'; give a whole number above zero."),
        (lambda: classifier().fit(NUMBERS, LABELS).predict([[[1.0]]]), "SequenceClassifier.predict:"
         " the sequences have 1 features, the model was trained on 2; give the same."),
        (lambda: classifier(class_weight={"up": "x"}).fit(TEXTS, LABELS), "SequenceClassifier:"
         " class_weight={'up': 'x'}; give numbers from 0 on, one of them above 0."),
        (lambda: classifier(class_weight={"up": -1.0}).fit(TEXTS, LABELS), "SequenceClassifier:"
         " class_weight={'up': -1.0}; give numbers from 0 on, one of them above 0."),
        (lambda: classifier(class_weight={"up": 0, "down": 0}).fit(TEXTS, LABELS),
         "SequenceClassifier: class_weight={'up': 0, 'down': 0}; give numbers from 0 on, one of them"
         " above 0."),
        (lambda: classifier(vocabulary_size=1).fit(TEXTS, LABELS), "SequenceClassifier:"
         " vocabulary_size=1; give a whole number from 3 on."),
        (lambda: classifier().fit(TEXTS, [date(2024, 1, 1)] * 80),
         "SequenceClassifier.fit: the label '2024-01-01' is a date; give texts or numbers as"
         " labels."),
        (lambda: classifier().fit({"text": ["a", "b", " "], "label": ["x", "y", "x"]}),
         "SequenceClassifier.fit: the text of row 3 is empty; drop that row."),
        (lambda: regressor().fit(NUMBERS, ["1.5", *LABELS[:79]]), "SequenceRegressor.fit: y[1] is"
         f" '{LABELS[0]}', no number; give a number for each."),
        (lambda: regressor().fit(NUMBERS, SIGN).evaluate(NUMBERS[:2], [1, "x"]),
         "SequenceRegressor.evaluate: y[1] is 'x', no number; give a number for each."),
        (lambda: regressor().fit({"text": ["a", "b"], "label": ["1.5", "two"]}), "SequenceRegressor.fit: the"
         " label of row 2 is 'two', no number; give a number for each."),
        (lambda: regressor().fit(NUMBERS[:2], [[1, 2], [3]]), "SequenceRegressor.fit: y holds"
         " numbers of 2 shapes; give as many for each sequence."),
        (lambda: regressor().fit(NUMBERS, [np.nan] * 80), "SequenceRegressor.fit: y[0] is not"
         " finite; drop that sequence."),
    ],
)  # fmt: skip
def test_mistakes(call, text):
    with pytest.raises(ValueError, match=r"\w") as caught:
        call()
    assert str(caught.value) == text


def test_numbers_and_flags_of_numpy_are_options_too(tmp_path):
    given = {
        "label_smoothing": np.float32(0.125),
        "vocabulary_size": np.int64(600),
        "lowercase": np.bool_(False),
    }
    classifier(epochs=1, **given).fit(TEXTS, LABELS, run=tmp_path / "run")
    params = elman.load(tmp_path / "run").get_params()
    assert {name: params[name] for name in given} == given
    assert [type(params[name]) for name in given] == [float, int, bool]


def test_weights_of_classes_may_be_given_by_their_names():
    # the keys of a file of options are texts
    one, other = (classifier(class_weight=w).fit(NUMBERS, SIGN) for w in ({1: 3.0}, {"1": 3.0}))
    assert torch.equal(weights(one), weights(other))
    assert not torch.equal(weights(one), weights(classifier().fit(NUMBERS, SIGN)))


def test_a_text_among_numbers_and_a_lone_text():
    with pytest.raises(TypeError, match="X is a str"):
        classifier().fit("text", ["a"])
    with pytest.raises(TypeError, match="sequence 0 is a list, the others are texts"):
        classifier().fit(TEXTS, LABELS).predict([[1.0]])


def test_label_smoothing_is_the_mix_with_all_classes():
    model = classifier(epochs=1).fit(NUMBERS, LABELS)
    x, lengths = pad([one.astype(np.float32) for one in NUMBERS[:9]])
    target = torch.from_numpy((LABELS[:9] == "up").astype(np.int64))
    log_p = model.module_(x, lengths).log_softmax(-1)
    for e in (0.0, 0.2):
        objective = Supervised(model.module_, classes=True, label_smoothing=e)
        true, all_of_them = log_p[torch.arange(9), target], log_p.mean(-1)
        expected = -((1 - e) * true + e * all_of_them).mean()
        torch.testing.assert_close(objective.loss((x, lengths, target), None).value, expected)


def test_label_smoothing_doubts_labels_that_are_wrong():
    wrong = np.where(np.arange(80) % 5 == 0, np.where(SIGN, "down", "up"), LABELS)
    hard = {"hidden_size": 32, "epochs": 40, "validation_fraction": 0.0}
    plain, smooth = (classifier(**hard, label_smoothing=e) for e in (0.0, 0.2))
    others = [RNG.normal(2 * s - 1, 0.5, size=(n, 2)) for n, s in zip(LENGTHS, SIGN, strict=True)]
    for model in (plain, smooth):
        model.fit(NUMBERS, wrong)
    assert smooth.evaluate(others, LABELS)["loss"] < plain.evaluate(others, LABELS)["loss"]
    # where all labels are right it tells the same
    for model in (plain, smooth):
        assert model.fit(NUMBERS, LABELS).score(others, LABELS) == 1
    with pytest.raises(ValueError, match="label_smoothing=1; give 0 up to below 1"):
        classifier(label_smoothing=1).fit(NUMBERS, LABELS)


def test_few_sequences_are_all_trained_on():
    model = classifier().fit(NUMBERS[:4], ["a", "a", "b", "b"])
    assert model.results_ == {"sequences": 4}


def test_the_spelling_of_words_tells_where_the_words_do_not(tmp_path):
    rng = np.random.default_rng(0)

    def word(end):
        return "".join(rng.choice(list("bcdfg"), 6)) + end

    kinds = ["many" if i % 2 else "one" for i in range(120)]
    texts = [f"the {word('s' if kind == 'many' else 'a')} there" for kind in kinds]
    small = {"level": "words", "hidden_size": 12, "epochs": 15, "lr": 0.02, "batch_size": 8}
    without = elman.SequenceClassifier(**small).fit(texts[:90], kinds[:90])
    model = elman.SequenceClassifier(**small, character_size=8, word_dropout=0.2)
    model.fit(texts[:90], kinds[:90], run=tmp_path / "run")
    assert without.score(texts[90:], kinds[90:]) < 0.75
    assert model.score(texts[90:], kinds[90:]) > 0.9
    opened = elman.load(tmp_path / "run")
    assert opened.predict(texts).tolist() == model.predict(texts).tolist()
    assert opened.inspect(write_texts(tmp_path, texts, kinds)).kind
    with pytest.raises(ValueError, match="character_size=4 with level='subwords'"):
        elman.SequenceClassifier(level="subwords", character_size=4).fit(texts, kinds)


def test_rare_words_are_dropped_as_rare_as_they_are(tmp_path):
    texts, kinds = ["a b"] * 8 + ["a a"] * 4, ["x"] * 8 + ["y"] * 4
    model = elman.SequenceClassifier(
        hidden_size=4, epochs=1, character_size=2, rare_word_dropout=2.0, validation_fraction=0.0
    )
    model.fit(texts, kinds, run=tmp_path / "run")
    # "a" sixteen times and "b" eight times, behind the unknown word and the end of a text
    torch.testing.assert_close(model.module_.words.gone[2:], torch.tensor([2 / 18, 2 / 10]))
    assert elman.load(tmp_path / "run").predict(texts).tolist() == model.predict(texts).tolist()
    with pytest.raises(ValueError, match="SequenceClassifier: rare_word_dropout=-1; give a number"):
        elman.SequenceClassifier(rare_word_dropout=-1).fit(texts, kinds)


def write_texts(folder, texts, kinds):
    rows = "".join(f"{text},{kind}\n" for text, kind in zip(texts, kinds, strict=True))
    (folder / "texts.csv").write_text("text,label\n" + rows)
    return folder / "texts.csv"


def test_a_class_of_one_row_trains_and_the_rest_is_held_out():
    model = classifier().fit([*TEXTS, "another one"], [*LABELS, "alone"])
    assert "accuracy" in model.results_
    assert "alone" in model.classes_


def test_labels_of_digits_are_those_of_a_file_that_has_letters_too():
    labels = (LABELS == "up").astype(int)
    model = classifier().fit(TEXTS, labels.astype(str))
    assert model.evaluate(TEXTS, labels)["accuracy"] > 0.9


def test_an_option_that_shows_late_and_an_interrupt_leave_no_folder(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="class_weight='balancd'"):
        classifier(class_weight="balancd").fit(TEXTS, LABELS, run=tmp_path / "run")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(elman.SequenceClassifier, "_learn_from", interrupt)
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(TEXTS, LABELS, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numpys_numbers_are_numbers():
    model = classifier(epochs=np.int64(1), lr=np.float64(0.01), batch_size=np.int32(16))
    assert model.fit(TEXTS, LABELS).results_["sequences"] == len(TEXTS)


def test_columns_that_were_guessed_hold_for_other_tables():
    long = long_table()
    model = classifier().fit(long, columns=Columns(id="id"))
    assert model.columns_ == Columns(label="label", id="id", features=("a", "b"))
    other = {"more": long["a"], "b": long["b"], "a": long["a"], "id": long["id"]}
    assert np.array_equal(model.predict(other), model.predict(NUMBERS))

"""The translator: levels, attention, n-best, files, the estimator's contract."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman import Translator


def reversals(count, seed=0):
    """Letters, and the same letters from the end."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcd"), rng.integers(2, 5))) for _ in range(count)]
    return words, [word[::-1] for word in words]


def translator(**options):
    small = {
        "source_level": "characters", "target_level": "characters", "hidden_size": 32,
        "embedding_size": 16, "epochs": 25, "lr": 0.01, "batch_size": 16,
    }  # fmt: skip
    return Translator(**{**small, **options})


@pytest.fixture(scope="module")
def fitted():
    return translator().fit(*reversals(250))


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "additive"},
        {"attention": "multiplicative", "cell": "lstm", "upper_layers": 1},
        {"attention": "none", "hidden_size": 64},
        {"tied": True, "embedding_size": 32, "label_smoothing": 0.1, "num_layers": 2},
        {"encoder_size": 16, "cell": "lstm"},
        {"encoder_size": [16, 32], "num_layers": 2, "decoder_layers": 1},
    ],
)
def test_it_learns_to_turn_words_round(options):
    # without attention a single vector must hold the word, which takes more of them to learn
    count = 800 if options.get("attention") == "none" else 250
    model = translator(**options).fit(*reversals(count))
    assert model.results_["accuracy"] > 0.8
    words, turned = reversals(40, 1)
    assert model.score(words, turned) > 0.8


def test_the_encoder_has_its_own_size(tmp_path):
    words, turned = reversals(30)
    model = translator(encoder_size=12, num_layers=2, epochs=1)
    model.fit(words, turned, run=tmp_path / "run")
    encoder, decoder = model.module_.encoder, model.module_.decoder
    assert (encoder.hidden_size, encoder.num_layers, decoder.hidden_size) == (12, 2, 32)
    assert elman.load(tmp_path / "run").predict(words) == model.predict(words)


def test_each_layer_of_the_encoder_has_its_own_size(tmp_path):
    words, turned = reversals(30)
    model = translator(encoder_size=(8, 12), decoder_layers=1, num_layers=2, epochs=1, dropout=0.1)
    model.fit(words, turned, run=tmp_path / "run")
    (below,), encoder = model.module_.below_encoder, model.module_.encoder
    assert (below.input_size, below.hidden_size) == (16, 8)
    assert (encoder.input_size, encoder.hidden_size) == (16, 12)
    assert (encoder.num_layers, model.module_.decoder.num_layers) == (1, 1)
    assert elman.load(tmp_path / "run").predict(words) == model.predict(words)
    # the same options go on with the run
    same = translator(encoder_size=[8, 12], decoder_layers=1, num_layers=2, epochs=1, dropout=0.1)
    assert same.fit(words, turned, run=tmp_path / "run").predict(words) == model.predict(words)


def test_scheduled_sampling_learns_too():
    model = translator(teacher_forcing=0.7, epochs=10).fit(*reversals(250))
    assert model.results_["accuracy"] > 0.6


def test_the_best_comes_first_and_a_beam_of_one_is_greedy(fitted):
    words = reversals(20, 2)[0]
    found = fitted.n_best(words, best=3)
    assert all(len(texts) == 3 for texts in found)
    assert all(one[0][1] >= one[-1][1] - 5 for one in found)
    assert [texts[0][0] for texts in found] == fitted.predict(words)
    with pytest.raises(ValueError, match="best=9 with beam=5; give 1 up to the beam"):
        fitted.n_best(words, best=9)


def test_the_attention_reads_from_the_end(fitted):
    weights, written, read = fitted.weights("abcd")
    assert (written, read) == (["d", "c", "b", "a", "(end)"], list("abcd"))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    weights = fitted.weights("abcd", "dcb")[0]
    assert weights.shape == (4, 4)


def test_company_changes_nothing(fitted):
    words = reversals(20, 3)[0]
    assert fitted.predict(words) == [fitted.predict([one])[0] for one in words]


def test_words_subwords_and_tokens():
    X = ["der Hund schläft heute hier.", "die Katze schläft heute hier."] * 30
    y = ["the dog sleeps here today.", "the cat sleeps here today."] * 30
    for level in ("words", "subwords", "tokens"):
        small = {"source_level": level, "target_level": level, "vocabulary_size": 300}
        model = translator(**small, epochs=40).fit(X, y)
        assert model.predict(X[:2]) == y[:2], level
        assert model.results_["bleu"] == pytest.approx(100)
        assert ("tok:none" in model.results_["bleu_signature"]) == (level == "tokens")


def test_bleu_on_raw_texts_stands_beside(tmp_path):
    X = ["der hund , er schläft heute .", "die katze , sie schläft heute ."] * 30
    y = ["the dog &apos;s here , asleep .", "the cat &apos;s here , asleep ."] * 30
    raw = ["The dog's here, asleep.", "The cat's here, asleep."] * 30
    model = translator(source_level="tokens", target_level="tokens", epochs=40).fit(X, y)
    assert "bleu_raw" not in model.evaluate(X, y)
    found = model.evaluate(X, y, raw=raw)
    assert (found["bleu"], found["bleu_raw"]) == pytest.approx((100, 100))
    assert "case:mixed" in found["bleu_raw_signature"]
    assert "tok:13a" in found["bleu_raw_signature"]
    # a name that lost its capital is a fault there
    named = [one.replace("dog", "Dog") for one in raw]
    (tmp_path / "raw.en").write_text("\n".join(named), encoding="utf-8")
    found = model.evaluate(X, y, raw=tmp_path / "raw.en")
    assert found["bleu"] == pytest.approx(100)
    assert 50 < found["bleu_raw"] < 95
    with pytest.raises(ValueError, match=r"raw.en: 60 raw texts and 2 sources: number 3 has no"):
        model.evaluate(X[:2], y[:2], raw=tmp_path / "raw.en")


def test_text_that_is_not_cut_is_compared_as_it_is():
    X, y = (
        ["der Hund schläft.", "die Katze schläft."] * 30,
        ["The dog sleeps.", "the cat sleeps ."] * 30,
    )
    small = {"source_level": "subwords", "target_level": "subwords", "vocabulary_size": 300}
    model = translator(**small, epochs=40).fit(X, y)
    found = model.evaluate(X, y, raw=y)
    assert found["bleu_raw"] == found["bleu"] == pytest.approx(100)


def test_where_a_source_has_several_targets_each_is_right():
    model = translator(epochs=20).fit(["ab", "ab", "cd"] * 20, ["x", "y", "z"] * 20)
    assert model.score(["ab", "ab", "cd"], ["x", "y", "z"]) == 1


def test_the_run_opens_as_it_was(tmp_path, fitted):
    words, turned = reversals(60)
    model = translator(epochs=3).fit(words, turned, run=tmp_path / "run")
    opened = elman.load(tmp_path / "run")
    assert opened.predict(words) == model.predict(words)
    assert opened.evaluate(words, turned) == model.evaluate(words, turned)
    opened.save(tmp_path / "copy")
    assert elman.load(tmp_path / "copy").predict(words) == model.predict(words)
    assert (tmp_path / "run" / "plots" / "attention.png").is_file()
    assert "attention.png" in (tmp_path / "run" / "README.md").read_text()
    assert model.diagnosis_ is not None


def test_the_contract_of_an_estimator():
    model = translator(epochs=2)
    assert clone(model).get_params() == model.get_params()
    one, other = model.fit(*reversals(30)), clone(model).fit(*reversals(30))
    assert torch.equal(one.module_.head.weight, other.module_.head.weight)
    with pytest.raises(Exception, match="not fitted yet; call fit first"):
        translator().predict(["ab"])


@pytest.mark.parametrize(
    ("X", "y", "options", "said"),
    [
        (["a", " "], ["x", "y"], {}, r"source 1 is no text \(' '\)"),
        (["a", "b"], ["x", ""], {}, r"target 1 is no text \(''\)"),
        (["a"], ["x", "y"], {}, "1 sequences and 2 targets"),
        (["a"], ["x"], {"source_level": "letters"}, "source_level='letters' is not known"),
        (["a"], ["x"], {"tied": True}, "tied=True with hidden_size=32 and embedding_size=16"),
        (["a"], ["x"], {"teacher_forcing": 2}, "teacher_forcing=2; give 0 up to 1"),
        (["a"], ["x"], {"beam": 0}, "beam=0; give a whole number above zero"),
        (["a"], ["x"], {"beam": None}, "beam=None; give a whole number above zero"),
        (["a"], ["x"], {"min_count": True}, "min_count=True; give a whole number above zero"),
        (["a"], ["x"], {"upper_layers": -1}, "upper_layers=-1; give a whole number, 0 for none"),
        (["a"], ["x"], {"encoder_size": 0}, "encoder_size=0; give a whole number above zero"),
        (["a"], ["x"], {"encoder_size": [8, 8]}, r"encoder_size=\[8, 8\]; .* each of num_layers=1"),
        (
            ["a"],
            ["x"],
            {"encoder_size": [0]},
            r"encoder_size=\[0\]; give a whole number above zero",
        ),
        (["a"], ["x"], {"encoder_size": "8"}, "encoder_size='8'; give a whole number above zero"),
        (["a"], ["x"], {"decoder_layers": 0}, "decoder_layers=0; give a whole number above zero"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, X, y, options, said):
    with pytest.raises(ValueError, match=said):
        translator(**options).fit(X, y, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_without_tokens_is_named(fitted):
    model = translator(source_level="subwords", epochs=1, vocabulary_size=300)
    model.fit(*reversals(20))
    with pytest.raises(ValueError, match="is no text"):
        model.predict(["", "ab"])
    with pytest.raises(ValueError, match="attention='none'; train a model with attention"):
        translator(attention="none", epochs=1).fit(*reversals(20)).weights("ab")


@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA names no folder of data")
def test_real_words_are_inflected():
    file = Path(os.environ["ELMAN_DATA"]) / "sigmorphon2016" / "turkish-task1-dev.gz"
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    X = [" ".join([*features.split(","), *lemma]) for lemma, features, _ in rows]
    y = [" ".join(form) for _, _, form in rows]
    model = translator(source_level="tokens", target_level="tokens", hidden_size=64, epochs=6)
    model.fit(X, y)
    assert model.results_["chrf"] > 40


def test_columns_that_were_guessed_hold_for_other_tables(tmp_path):
    words, turned = reversals(30)
    held = {"there": turned, "here": words}
    model = translator(epochs=1).fit({"here": words, "there": turned}, validation=held)
    assert (model.columns_.source, model.columns_.target) == ("here", "there")
    model.save(tmp_path / "run")
    opened = elman.load(tmp_path / "run")
    # a text column before it is not what was learned
    assert opened.predict({"key": turned, "here": words}) == model.predict(words)
    with pytest.raises(ValueError, match="no column 'here'"):
        opened.predict({"key": turned})

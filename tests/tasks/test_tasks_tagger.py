"""The tagger: spans, characters, CRF, files, the estimator's contract."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman import SequenceTagger
from elman.data import spans_of
from elman.tasks._word_features import words_of

NAMES = ["Ada", "Bo", "Cy", "Dee", "Eve", "Flo"]


def sentences(count, seed=0):
    """A name of one or two words, then what it does; the tag hangs on the word before."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(count):
        words = list(rng.choice(NAMES, rng.integers(1, 3), replace=False))
        kind = rng.choice(["meets", "to"])
        place = kind == "to"
        X.append([kind, *words, "today"])
        tag = "LOC" if place else "PER"
        y.append(["O", f"B-{tag}", *[f"I-{tag}"] * (len(words) - 1), "O"])
    return X, y


def tagger(**options):
    small = {
        "hidden_size": 16,
        "embedding_size": 8,
        "character_size": 4,
        "epochs": 12,
        "lr": 0.02,
        "batch_size": 8,
    }
    return SequenceTagger(**{**small, **options})


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_learns_what_hangs_on_the_words_beside(crf, cell):
    X, y = sentences(60)
    model = tagger(crf=crf, cell=cell).fit(X, y)
    assert model.is_bio_
    assert model.results_["span_f1"] > 0.9
    assert model.score(*sentences(20, 1)) > 0.9


def test_characters_tell_of_words_that_were_never_seen():
    rng = np.random.default_rng(0)
    letters = list("bcdfg")

    def word(end):
        return "".join(rng.choice(letters, 5)) + end

    X = [[word("s" if i % 2 else "a"), word("s" if i % 3 else "a")] for i in range(80)]
    y = [["PLURAL" if w.endswith("s") else "ONE" for w in one] for one in X]
    found = {}
    for size in (0, 8):
        model = tagger(character_size=size, word_dropout=0.3, epochs=15).fit(X[:60], y[:60])
        found[size] = model.score(X[60:], y[60:])
    assert found[8] > 0.95
    assert found[0] < 0.8


def test_rare_words_are_dropped_as_rare_as_they_are():
    X, y = [["a", "b"]] * 8 + [["a", "a"]], [["X", "Y"]] * 8 + [["X", "X"]]
    model = tagger(rare_word_dropout=2, word_dropout=0, validation_fraction=0.0, epochs=1)
    gone = model.fit(X, y).module_.words.gone
    # the unknown word, the end of a text, "a" ten times and "b" eight times
    torch.testing.assert_close(gone[2:], torch.tensor([2 / 12, 2 / 10]))
    both = tagger(rare_word_dropout=2.0, word_dropout=0.5, validation_fraction=0.0, epochs=1)
    torch.testing.assert_close(both.fit(X, y).module_.words.gone[2:], 1 - 0.5 * (1 - gone[2:]))
    with pytest.raises(ValueError, match="rare_word_dropout=-1; give a number, 0 or above"):
        tagger(rare_word_dropout=-1).fit(X, y)


def spelled(count, rng):
    """Words whose tag is in their last letter."""
    made = ["".join(rng.choice(list("bcdfghklmnp"), 5)) + "sa"[i % 2] for i in range(count)]
    return [[word] for word in made], [["PLURAL" if word[-1] == "s" else "ONE"] for word in made]


def loss_of_new_words(**options):
    """How surprising words are that were never seen, of a model that tells those that were."""
    rng = np.random.default_rng(0)
    (X, y), new = spelled(40, rng), spelled(100, rng)
    small = {"word_dropout": 0.0, "embedding_size": 64, "epochs": 8, "validation_fraction": 0.0}
    model = tagger(**{**small, **options}).fit(X * 3, y * 3)
    assert model.score(X, y) == 1
    return model.evaluate(*new)["loss"]


def test_dropping_rare_words_makes_their_spelling_tell():
    assert loss_of_new_words(rare_word_dropout=3.0) < loss_of_new_words() / 2


def test_the_dropout_of_characters_is_another_one():
    much = {"dropout": 0.6, "epochs": 4}
    same = loss_of_new_words(**much)
    assert loss_of_new_words(**much, character_dropout=0.6) == same
    assert loss_of_new_words(**much, character_dropout=0.0) < same / 2
    with pytest.raises(ValueError, match="character_dropout=1; give 0 up to below 1"):
        tagger(character_dropout=1).fit(*sentences(4))


def test_a_crf_tells_no_sequence_that_cannot_be():
    X, y = sentences(40)
    # hardly trained: the scores of the tags are about chance
    model = tagger(crf=True, epochs=1, lr=1e-4).fit(X, y)
    for tags in model.predict(X):
        assert all(tags[span.start].startswith("B-") for span in spans_of(tags))


def test_padding_and_company_change_nothing():
    X, y = sentences(40)
    for crf in (False, True):
        model = tagger(crf=crf).fit(X, y)
        long = [["to", *NAMES, *NAMES, "today"]]
        assert model.predict([*X, *long])[: len(X)] == [model.predict([one])[0] for one in X]


def test_the_run_opens_as_it_was_and_goes_on(tmp_path):
    X, y = sentences(40)
    X[0][1] = "New York"
    model = tagger(crf=True).fit(X, y, run=tmp_path / "run")
    opened = elman.load(tmp_path / "run")
    assert opened.predict(X) == model.predict(X)
    assert opened.evaluate(X, y) == model.evaluate(X, y)
    opened.save(tmp_path / "copy")
    assert elman.load(tmp_path / "copy").predict(X) == model.predict(X)
    again = tagger(crf=True).fit(X, y, run=tmp_path / "run")
    assert again.results_ == model.results_


def test_the_contract_of_an_estimator():
    X, y = sentences(30)
    model = tagger(epochs=2)
    assert clone(model).get_params() == model.get_params()
    one, other = model.fit(X, y), clone(model).fit(X, y)
    assert torch.equal(one.module_.body.head.weight, other.module_.body.head.weight)
    with pytest.raises(Exception, match="not fitted yet; call fit first"):
        tagger().predict(X)


def test_it_looks_at_its_gradient(tmp_path):
    X, y = sentences(40)
    model = tagger(epochs=2).fit(X, y, run=tmp_path / "run")
    assert model.diagnosis_ is not None
    assert (tmp_path / "run" / "plots" / "reach.png").is_file()


@pytest.mark.parametrize(
    ("X", "y", "said"),
    [
        ([["a", "b"]], [["X"]], "sentence 0 has 2 words and 1 tags; give one for each"),
        ([["a"], []], [["X"], []], "sentence 1 is no list of words"),
        (["ab"], [["X", "Y"]], "sentence 0 is a str .'ab'….; give lists of words"),
        ([["a"]], None, "y is missing"),
        ([], [], "there are no sequences"),
        (
            [["a", "b"]],
            [["B-P", "I-Q"]],
            "sentence 0, word 2: the tag 'I-Q' behind 'B-P' goes on with what has not begun",
        ),
        (
            [["a"], ["b"]],
            [["B-P"], ["I-P"]],
            "sentence 1, word 1: the tag 'I-P' at the start goes on",
        ),
    ],
)
def test_bad_sentences_are_named(X, y, said):
    with pytest.raises((ValueError, TypeError), match=said):
        tagger().fit(X, y)


def test_bad_files_and_options_leave_nothing_behind(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a O\nb O\n\nc O\nd I-P\ne B-P\n")
    with pytest.raises(ValueError, match=r"a\.conll: line 5: the tag 'I-P' behind 'O'"):
        tagger().fit(path, run=tmp_path / "run")
    with pytest.raises(ValueError, match="word_dropout=1; give 0 up to below 1"):
        tagger(word_dropout=1).fit(*sentences(4), run=tmp_path / "run")
    with pytest.raises(TypeError, match="give lists of words, or a Path"):
        tagger().fit("a b", ["X"])
    assert not (tmp_path / "run").exists()


def queries(count, seed=0):
    """Sentences whose first word says whether they are about a place or a person."""
    X, y = sentences(count, seed)
    return X, [(tags, "go" if one[0] == "to" else "see") for one, tags in zip(X, y, strict=True)]


@pytest.mark.parametrize("crf", [False, True])
def test_it_tells_a_label_of_each_sentence_too(crf, tmp_path):
    X, y = queries(60)
    model = tagger(crf=crf).fit(X, y, run=tmp_path / "run")
    assert model.labels_ == ["go", "see"]
    new, true = queries(20, 1)
    told = model.predict(new)
    right = [a == b for a, b in zip(told, true, strict=True)]
    found = model.evaluate(new, true)
    assert found["exact_match"] == model.score(new, true) == pytest.approx(np.mean(right))
    labels = [a[1] == b[1] for a, b in zip(told, true, strict=True)]
    assert found["label_accuracy"] == pytest.approx(np.mean(labels))
    assert min(found["label_accuracy"], found["span_f1"]) > 0.9
    # company changes nothing, and the run opens as it was
    long = [["to", *NAMES, *NAMES, "today"]]
    assert model.predict([*new, *long])[:20] == [model.predict([one])[0] for one in new] == told
    opened = elman.load(tmp_path / "run")
    assert opened.predict(new) == told
    assert opened.evaluate(new, true) == found


def test_the_loss_is_that_of_the_tags_and_of_the_labels():
    X, y = queries(12)
    model = tagger(epochs=2, label_weight=2.5, validation_fraction=0.0).fit(X, y)
    module = model.module_
    pairs = model._encode(X, y, "here")
    (words, tags, labels), *_ = model._sentences(pairs).epoch(0)
    scores, label_scores = module.scores(words)
    p, q = scores.log_softmax(-1), label_scores.log_softmax(-1)
    of_tags = -torch.stack([
        p[t, b, tags[t, b]] for b, length in enumerate(words.lengths) for t in range(length)
    ]).mean()  # fmt: skip
    of_labels = -torch.stack([q[b, label] for b, label in enumerate(labels)]).mean()
    found = model._objective(module, pairs).loss((words, tags, labels), None).value
    torch.testing.assert_close(found, of_tags + 2.5 * of_labels)


def test_what_a_tag_costs_is_how_often_it_was_missed():
    X, y = queries(60)
    model = tagger(epochs=1, validation_fraction=0.0).fit(X, y)
    cost = dict(zip(model.tags_, model.module_.clash.T.tolist(), strict=True))
    words = [sum(len(tags) for tags, label in y if label == one) for one in ("go", "see")]
    places = sum(tags.count("B-LOC") for tags, _ in y)
    missed = np.log1p(places * words[1] / sum(words))
    assert cost["O"] == [0.0, 0.0]
    assert cost["B-LOC"] == pytest.approx([0.0, missed])
    assert cost["B-PER"][1] == 0.0 < cost["B-PER"][0]


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("sure", [0.0, 8.0])
def test_label_and_tags_are_told_as_one(crf, sure):
    X, y = queries(60)
    model = tagger(crf=crf, epochs=4, validation_fraction=0.0).fit(X, y)
    module = model.module_
    with torch.no_grad():
        # a label that knows nothing hears the tags, one that is sure is heard by them
        module.label_head.weight.zero_()
        module.label_head.bias.copy_(torch.tensor([sure, 0.0]))
    X = [["meets", "Ada", "Bo", "today"], ["to", "Flo"], ["Bo", "meets", "Flo"], ["today", "Ada"]]
    pairs, differ = model._encode(X, None, "here"), 0
    for row, told in enumerate(model._decode(pairs)):
        scores, labels = (one.detach() for one in module.scores(words_of([pairs.inputs[row]])))
        every = torch.tensor(list(itertools.product(range(len(model.tags_)), repeat=len(X[row]))))
        lengths = torch.full((len(every),), len(X[row]))
        p = scores[:, 0].gather(1, every.T).sum(0)
        if crf:
            p = module.crf.score(scores.expand(-1, len(every), -1), every.T, lengths)
        costs = torch.stack([cost[every].sum(1) for cost in module.clash])
        label = int((labels[0] + torch.logsumexp(p - costs, 1)).argmax())
        tags = every[(p - costs[label]).argmax()].tolist()
        assert (told.label, told.tags.tolist()) == (label, tags)
        alone = int(labels[0].argmax()), every[p.argmax()].tolist()
        differ += alone != (label, tags)
    assert differ


def test_labels_that_do_not_fit_are_named(tmp_path):
    X, y = queries(20)
    tags = [one for one, _ in y]
    with pytest.raises(
        ValueError, match="sentence 0 has a label and sentence 1 has none; give all"
    ):
        tagger().fit(X, [y[0], *tags[1:]], run=tmp_path / "run")
    with pytest.raises(ValueError, match="all labels are 'one'; give sentences of two labels"):
        tagger().fit(X, [(one, "one") for one in tags], run=tmp_path / "run")
    with pytest.raises(ValueError, match="label_weight=0; give a number above 0"):
        tagger(label_weight=0).fit(X, y, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    model = tagger(epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="sentence 0 has no label, and the model tells one"):
        model.evaluate(X, tags)
    with pytest.raises(ValueError, match="the label 'fly' of sentence 0 was not seen in training"):
        model.evaluate(X[:1], [(tags[0], "fly")])
    with pytest.raises(ValueError, match="has a label, and the model was trained without"):
        tagger(epochs=1).fit(X, tags).evaluate(X, y)
    # the tags of two words in a tuple are no tags with a label
    assert tagger(epochs=1).fit([["a", "b"]] * 4, [("X", "Y")] * 4).labels_ == []


def test_a_tag_that_was_not_seen_is_named():
    X, y = sentences(20)
    model = tagger(epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="the tag 'B-ORG' of sentence 0 was not seen in training"):
        model.evaluate([["x"]], [["B-ORG"]])


@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA names no folder of data")
def test_slots_of_real_queries(tmp_path):
    folder = Path(os.environ["ELMAN_DATA"]) / "snips" / "train"
    texts, slots = (
        [line.split() for line in (folder / name).read_text().splitlines()[:1500]]
        for name in ("seq.in", "seq.out")
    )
    model = SequenceTagger(hidden_size=64, epochs=4, lr=0.005, crf=True).fit(texts, slots)
    assert model.results_["span_f1"] > 0.6

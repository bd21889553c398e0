"""The language model learns, measures, generates, resumes and comes back from its folder."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import elman
from elman.tasks import NGram

TEXT = ["to be, or not to be, that is the question: whether tis nobler. " * 40]


def model(**more):
    options = {"hidden_size": 24, "epochs": 4, "bptt": 16, "batch_size": 4, "lr": 0.01}
    return elman.LanguageModel(**{**options, **more})


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({}, 0.7),
        ({"cell": "gru", "num_layers": 2, "dropout": 0.1, "input_dropout": 0.1}, 0.7),
        ({"cell": "rnn", "nonlinearity": "relu", "tied": False, "lr": 0.003, "epochs": 15}, 0.7),
        ({"level": "words", "embedding_size": 8, "batch_size": 2, "epochs": 8}, 0.5),
        ({"level": "subwords", "vocabulary_size": 300}, 0.7),
        ({"level": "subwords", "vocabulary_size": 300, "sampled_softmax": 60}, 0.7),
        ({"bptt": 8, "bptt_gradient": 20}, 0.7),
        ({"bptt": 16, "bptt_gradient": 5}, 0.7),
    ],
    ids=str,
)
def test_it_learns(options, share):
    fitted = model(**options).fit(TEXT)
    size = len(fitted.vocabulary_)
    assert fitted.results_["loss"] < share * math.log(size)
    assert fitted.results_["perplexity"] == pytest.approx(math.exp(fitted.results_["loss"]))
    assert fitted.generate("to", length=8, seed=0) == fitted.generate("to", length=8, seed=0)


def test_a_sampled_softmax_is_drawn_by_the_seed_and_measured_in_full():
    options = {"level": "subwords", "batch_size": 1, "bptt": 8, "epochs": 1, "sampled_softmax": 12}
    one, same, full = (model(**{**options, **more}).fit(TEXT) for more in (
        {}, {}, {"sampled_softmax": None}
    ))  # fmt: skip
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(full))
    module = one.module_.train()
    features, target = torch.randn(3, 1, 24), torch.tensor([[2], [9], [11]])
    sampled = module.loss(features, target)
    module.eval()
    expected = torch.nn.functional.cross_entropy(
        module.scores(features).flatten(0, 1), target.flatten()
    )
    assert torch.allclose(module.loss(features, target), expected)
    assert not torch.allclose(sampled, expected)


def test_tokens_are_what_stands_between_blanks():
    fitted = model(level="tokens", batch_size=2, epochs=25).fit(["un@@ seen , <unk> <eos> " * 40])
    assert sorted(fitted.vocabulary_.tokens) == [",", "<eos>", "<unk>", "seen", "un@@"]
    found = fitted.evaluate(["un@@ seen , <unk> <eos>"])
    assert found["held_out_tokens"] == 5
    assert fitted.generate("un@@ seen", length=3, temperature=0) == "un@@ seen , <unk> <eos>"


def test_bits_per_character_are_those_of_the_text():
    fitted = model().fit(TEXT)
    found = fitted.evaluate(["to be, or not"])
    assert found["held_out_tokens"] == 13
    # one token a character, the first given by nothing; the end token counts as surprise, not as text
    assert found["bits_per_character"] == pytest.approx(found["loss"] / math.log(2))
    assert fitted.score(["to be, or not"]) == -found["loss"]
    # of a training: its held-out tokens are cut into streams of one length, the rest is not scored
    text = ["".join(TEXT)[:200]]
    told = model(batch_size=8).fit(text).results_
    assert told["held_out_tokens"] == 16
    assert told["bits_per_character"] == pytest.approx(told["loss"] / math.log(2))


def test_generating_obeys_its_options():
    fitted = model(epochs=40).fit(TEXT)
    greedy = fitted.generate("to be", length=30, temperature=0)
    assert greedy.startswith("to be, or not")
    assert fitted.generate("to be", length=30, top_k=1, seed=5) == greedy
    assert fitted.generate("to be", length=30, top_p=1e-9, seed=6) == greedy
    assert "".join(fitted.stream("to be", length=30, temperature=0)) == greedy
    texts = {fitted.generate("to", length=20, temperature=3.0, seed=s) for s in range(4)}
    assert len(texts) == 4
    for wrong in (
        {"temperature": -1}, {"temperature": math.nan}, {"temperature": math.inf},
        {"temperature": 1e-300}, {"temperature": 1e300}, {"top_k": 0}, {"top_k": 2.5},
        {"top_p": 0.0}, {"seed": 2**63}, {"seed": 0.5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"LanguageModel.generate: {next(iter(wrong))}="):
            fitted.generate("to", **wrong)


def test_the_contract_of_scikit_learn():
    one = model(random_state=3)
    other = clone(one)
    assert other.get_params() == one.get_params()
    assert torch.equal(weights(one.fit(TEXT)), weights(other.fit(TEXT)))
    search = GridSearchCV(model(epochs=1), {"hidden_size": [8, 16]}, cv=2)
    search.fit(TEXT * 4)
    assert search.best_params_["hidden_size"] in (8, 16)
    assert Pipeline([("model", model(epochs=1))]).fit(TEXT).score(TEXT) < 0
    with pytest.raises(ValueError, match="not fitted yet; call fit first"):
        model().generate("to")


def test_a_run_comes_back_as_it_was(tmp_path):
    fitted = model().fit(TEXT, run=tmp_path / "run")
    again = elman.load(tmp_path / "run")
    assert again.results_ == fitted.results_
    assert torch.equal(weights(again), weights(fitted))
    assert again.generate("to", seed=1) == fitted.generate("to", seed=1)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {
        "README.md", "checkpoints", "config.json", "diagnosis.json", "metrics.jsonl", "model.safetensors", "plots",
        "vocabulary.json",
    }  # fmt: skip
    fitted.save(tmp_path / "saved")
    assert torch.equal(weights(elman.load(tmp_path / "saved")), weights(fitted))


def test_the_same_call_on_a_finished_run_changes_nothing(tmp_path):
    fitted = model().fit(TEXT, run=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = model().fit(TEXT, run=tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert torch.equal(weights(again), weights(fitted))
    with pytest.raises(ValueError, match="epochs: here 4, now 5"):
        model(epochs=5).fit(TEXT, run=tmp_path)
    with pytest.raises(ValueError, match="content: here '"):
        model().fit(["other text"], run=tmp_path)


SCRIPT = """
import sys, torch
from test_tasks_language_model import *
torch.set_num_threads(1)
model(epochs=12, dropout=0.2, checkpoint_seconds=0.0).fit(TEXT, run=sys.argv[1])
"""


def recorded(folder):
    file = folder / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_killed_it_ends_with_the_same_weights(tmp_path):
    def start(folder):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder)], env=environment, stderr=subprocess.PIPE
        )

    process = start(tmp_path / "whole")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    # of 432 steps, on a quick machine as on a slow one
    for steps in (40, 150, 260):
        process = start(tmp_path / "cut")
        while recorded(tmp_path / "cut") < steps:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start(tmp_path / "cut")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            {"level": "word"},
            "level='word' is not known; give one of characters, words, tokens, subwords, notes.",
        ),
        (
            {"level": "words", "vocabulary_size": 1},
            "LanguageModel: vocabulary_size=1; give a whole number from 3 on.",
        ),
        ({"bptt": 0}, "LanguageModel: bptt=0; give a whole number above zero."),
        (
            {"sampled_softmax": 0.5},
            "LanguageModel: sampled_softmax=0.5; give a whole number above zero.",
        ),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0; give 0 up to below 1."),
        ({"validation_fraction": "half"}, "validation_fraction='half'; give 0 up to below 1."),
        ({"validation_fraction": True}, "validation_fraction=True; give 0 up to below 1."),
        ({"cell": "grru"}, "cell='grru' is not known; give one of rnn, gru, lstm."),
        ({"lr": 0}, "LanguageModel: lr=0; give a number above zero."),
        ({"device": "gpu"}, "device='gpu' is not there; give auto, cpu or cuda."),
    ],
)
def test_mistakes_in_options(wrong, text):
    with pytest.raises(ValueError, match=r"\w") as caught:
        model(**wrong).fit(TEXT)
    assert text in str(caught.value)


def test_mistakes_in_texts_and_folders(tmp_path):
    with pytest.raises(TypeError, match="X is a str"):
        model().fit("text")
    with pytest.raises(FileNotFoundError):
        model().fit(tmp_path / "no.txt", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="the file is empty"):
        model().fit(tmp_path / "empty.txt", run=tmp_path / "run")
    fitted = model(epochs=1).fit(TEXT, run=tmp_path / "ok")
    config = elman.train.Run.open(tmp_path / "ok")
    config.update(status="training")
    with pytest.raises(ValueError, match="the training has not finished"):
        elman.load(tmp_path / "ok")
    config.update(status="finished", params={**config.config["params"], "hidden_size": 25})
    with pytest.raises(ValueError, match="the weights do not fit the model"):
        elman.load(tmp_path / "ok")
    config.update(params={**config.config["params"], "novel": 1})
    with pytest.raises(ValueError, match="the unknown option 'novel'"):
        elman.load(tmp_path / "ok")
    config.update(task="novel")
    with pytest.raises(ValueError, match="the task 'novel' is not known"):
        elman.load(tmp_path / "ok")
    assert fitted.module_ is not None


def test_ngrams_are_distributions():
    ids = [0, 1, 2, 0, 1, 3, 0, 1, 2]
    trigram = NGram(3, tokens=5).fit(ids)
    for context in [(), (1,), (0, 1), (4, 4), (2, 0)]:
        total = sum(trigram.probability(context, token) for token in range(5))
        assert total == pytest.approx(1.0)
    assert trigram.perplexity(ids) < NGram(1, tokens=5).fit(ids).perplexity(ids)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        # named, and guessed by its usual name; the other column would be guessed later
        ({"body": "left right left " * 30, "text": "9 8 7 6 5 4"}, "body"),
        ({"text": "left right left " * 30, "title": "9 8 7 6 5 4"}, None),
    ],
)
def test_a_tables_column_is_that_of_the_training(tmp_path, made, named):
    table = tmp_path / "a.jsonl"
    table.write_text(json.dumps(made) + "\n")
    fitted = model(epochs=1).fit(table, run=tmp_path / "run", column=named)
    again = elman.load(tmp_path / "run")
    assert again.column_ == fitted.column_ == (named or "text")
    found = again.evaluate(table)
    assert found["held_out_tokens"] == len("left right left " * 30)
    assert found == fitted.evaluate(table) == fitted.evaluate(table, column=fitted.column_)
    assert again.inspect(table).reach.steps > 10
    other = tmp_path / "b.jsonl"
    other.write_text(json.dumps({"sentence": "left"}) + "\n")
    with pytest.raises(ValueError, match=f"b.jsonl: no column '{fitted.column_}'"):
        again.evaluate(other)
    # a run of before has noted what was named
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["fitted"]["column"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert elman.load(tmp_path / "run").column_ == named


def test_the_column_of_the_training_holds_for_its_validation(tmp_path):
    (tmp_path / "a.csv").write_text("sentence\n" + "left right left right\n" * 30)
    (tmp_path / "b.csv").write_text("text,sentence\n" + "0,left right\n" * 30)
    fitted = model(epochs=1).fit(tmp_path / "a.csv", validation=tmp_path / "b.csv")
    assert fitted.results_["held_out_tokens"] > 200


@pytest.mark.parametrize(
    ("level", "known"), [("characters", "z"), ("words", "zebra"), ("tokens", "zebra")]
)
def test_the_vocabulary_is_that_of_the_text_that_is_trained_on(tmp_path, level, known):
    texts = ["left right left right " * 40, "left right " * 5 + "zebra"]
    held = model(level=level, epochs=1).fit(texts)
    assert known not in held.vocabulary_.to_json()[level]
    assert math.isfinite(held.results_["loss"])
    assert held.results_["bits_per_character"] > 0
    unknown = 3 if level == "characters" else 1
    assert held.evaluate(["left zebra"])["unknown_tokens"] == unknown
    assert held.evaluate(["left right"])["unknown_tokens"] == 0
    # what is not held out is known, to the token
    whole = model(level=level, epochs=1, validation_fraction=0.0).fit(texts)
    assert known in whole.vocabulary_.to_json()[level]
    count = whole.results_["tokens"]
    least = model(level=level, epochs=1, validation_fraction=2.4 / count).fit(texts)
    # the last word, or its last letter, and the end
    assert least.results_["vocabulary"] == whole.results_["vocabulary"] - 1


def test_a_training_that_was_cut_off_keeps_its_vocabulary(tmp_path):
    run = model()._open(tmp_path, {})
    texts = ["left right " * 90 + "zebra"]
    given = elman.tasks._language_model.TextMaterial(model()).given(texts, None, "f")
    content = elman.data.fingerprint(given.content)
    run.update(data={"source": "1 texts", "content": content, "column": None})
    # a run of before, whose vocabulary knew what is held out
    vocabulary = elman.data.CharacterVocabulary.fit([iter(texts)])
    run.write_json("vocabulary.json", vocabulary.to_json())
    fitted = model().fit(texts, run=tmp_path)
    assert fitted.vocabulary_.characters == vocabulary.characters
    assert "z" in fitted.vocabulary_.characters

"""The recognizer: CTC, streaming, files, the estimator's contract."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.io import wavfile
from sklearn.base import clone
from torch.nn.functional import ctc_loss

import elman
from elman import SequenceClassifier, SpeechRecognizer
from elman.data import SpeechColumns

LETTERS = "abc"
RATE = 8000


def spoken(text, rng):
    """Frames of each letter, of unequal length and not quite equal; silence between words."""
    frames = []
    for letter in f" {text} ":
        one = np.zeros((rng.integers(3, 6), 4))
        one[:, " abc".index(letter)] = 1
        frames += [one, np.zeros((2, 4))]
    found = np.concatenate(frames)
    return (found + rng.normal(0, 0.05, found.shape)).astype(np.float32)


def utterances(count, seed=0):
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 4))) for _ in range(2)]
        texts.append(" ".join(words))
    return [spoken(text, rng) for text in texts], texts


def recognizer(**options):
    small = {"hidden_size": 24, "epochs": 15, "lr": 0.02, "batch_size": 8, "stack": 2}
    return SpeechRecognizer(**{**small, **options})


@pytest.fixture(scope="module")
def fitted():
    return recognizer(bidirectional=False).fit(*utterances(120))


@pytest.mark.parametrize(
    "options", [{}, {"cell": "gru", "augment": True, "epochs": 25}, {"stack": 1, "num_layers": 2}]
)
def test_it_learns_to_write_what_is_said(options):
    model = recognizer(**options).fit(*utterances(120))
    assert model.results_["wer"] < 0.2
    X, y = utterances(30, 1)
    assert model.score(X, y) > 0.8
    assert model.evaluate(X, y)["cer"] < 0.1


def test_words_as_symbols():
    rng = np.random.default_rng(0)
    y = [" ".join(rng.choice(["aa", "bb", "cc"], rng.integers(1, 4))) for _ in range(120)]
    model = recognizer(level="words").fit([spoken(one, rng) for one in y], y)
    assert model.results_["wer"] < 0.2
    X = [spoken("aa", rng), spoken("bb", rng)]
    # a word that was never heard is a fault like another
    known, unknown = (model.evaluate(X, ["aa", one])["wer"] for one in ("bb", "cba"))
    assert (known, unknown) == (0, 0.5)
    # "bb" to "cba" takes two of five characters, whatever is told of the word
    found = model.evaluate(X, ["aa", "cba"])
    assert found["cer"] == pytest.approx(2 / 5)
    assert found["loss"] == pytest.approx(model.evaluate(X[:1], ["aa"])["loss"], rel=1e-4)
    assert set(model.evaluate(X[:1], ["cba"])) == {"wer", "cer"}
    assert set(" ".join(model.predict([spoken("aa bb", rng)])).split()) <= {"aa", "bb", "cc"}


def test_the_loss_is_torchs_over_the_symbols(fitted):
    X, y = utterances(6, 2)
    total = count = 0.0
    for x, text in zip(X, y, strict=True):
        scaled = torch.from_numpy(fitted.scaler_.transform(x))[:, None]
        log_p = fitted.module_(scaled, torch.tensor([len(x)]))[0].detach()
        ids = torch.from_numpy(fitted.vocabulary_.encode(text).astype(np.int64))
        steps = torch.tensor([len(log_p)])
        one = ctc_loss(log_p, ids[None], steps, torch.tensor([len(ids)]), reduction="sum")
        total, count = total + float(one), count + len(ids)
    assert fitted.evaluate(X, y)["loss"] == pytest.approx(total / count, rel=1e-4)


def test_a_beam_is_as_good_as_the_likeliest_steps(fitted):
    X, y = utterances(30, 3)
    greedy = fitted.evaluate(X, y)["wer"]
    fitted.beam = 8
    try:
        assert fitted.evaluate(X, y)["wer"] <= greedy + 0.02
    finally:
        fitted.beam = 1


@pytest.mark.parametrize("piece", [1, 3, 10, 1000])
def test_piece_by_piece_it_hears_the_same(fitted, piece):
    X, _ = utterances(5, 4)
    heard = fitted.listen()
    for x, text in zip(X, fitted.predict(X), strict=True):
        parts = [heard.feed(x[i : i + piece]) for i in range(0, len(x), piece)]
        assert "".join([*parts, heard.end()]) == text


def test_a_model_that_reads_from_both_ends_cannot_listen():
    model = recognizer(epochs=1).fit(*utterances(20))
    with pytest.raises(ValueError, match="train with bidirectional=False"):
        model.listen()


def test_company_changes_nothing(fitted):
    X, _ = utterances(12, 5)
    assert fitted.predict(X) == [fitted.predict([x])[0] for x in X]


def tone(pitch, seconds=0.15):
    return np.sin(2 * np.pi * pitch * np.arange(int(RATE * seconds)) / RATE) * 0.4


def sounds(folder, count, seed=0):
    """WAV files in which a high tone is an h and a low one an l, and the table that names them."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(count):
        text = "".join(rng.choice(["h", "l"], rng.integers(1, 4)))
        quiet = np.zeros(RATE // 20)
        parts = [quiet]
        for letter in text:
            parts += [tone(2000 if letter == "h" else 400), quiet]
        samples = np.concatenate(parts) + rng.normal(0, 0.001, sum(map(len, parts)))
        wavfile.write(folder / f"{i}.wav", RATE, (samples * 32767).astype(np.int16))
        rows.append({"file": f"{i}.wav", "text": text})
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "all.jsonl"


def test_from_sounds_to_text_and_back_from_the_folder(tmp_path):
    table = sounds(tmp_path, 60)
    model = recognizer(bidirectional=False, mel_bins=16, stack=3, epochs=20)
    model.fit(table, run=tmp_path / "run")
    assert model.results_["wer"] < 0.4
    opened = elman.load(tmp_path / "run")
    assert opened.predict(table) == model.predict(table)
    assert opened.mel_.rate == RATE
    assert opened.predictions(tmp_path / "3.wav")["prediction"] == [model.predict(table)[3]]
    samples = wavfile.read(tmp_path / "3.wav")[1] / 32768
    heard = opened.listen()
    pieces = [heard.feed(samples[i : i + 777]) for i in range(0, len(samples), 777)]
    assert "".join([*pieces, heard.end()]) == model.predict(table)[3]
    opened.save(tmp_path / "copy")
    assert elman.load(tmp_path / "copy").predict(table) == model.predict(table)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_features_in_a_column_of_lists(tmp_path, kind):
    (X, y), path = utterances(60), tmp_path / f"all.{kind}"
    table = pa.table({"frames": [x.tolist() for x in X], "speaker": ["a"] * 60, "text": y})
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    model = recognizer(epochs=2).fit(path, run=tmp_path / "run")
    by_hand = recognizer(epochs=2).fit(X, y)
    assert model.predict(path) == by_hand.predict(X)
    assert torch.equal(model.module_.body.head.weight, by_hand.module_.body.head.weight)
    opened = elman.load(tmp_path / "run")
    assert opened.evaluate(path) == by_hand.evaluate(X, y)
    assert opened.predictions(path)["file"][:2] == ["1", "2"]


def test_lists_that_cannot_be_features_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    for rows, said in (
        ([[[1.0, 2.0]], [[1.0]]], "sequence 1 has 1 features, but sequence 0 has 2"),
        ([[[1.0]], [[float("nan")]]], "row 2 has NaN or infinite numbers; mend it"),
        ([[[1.0]], None], "row 2 has nothing in column 'x'; drop it"),
        ([[[1.0]], [[1.0], [1.0, 2.0]]], "row 2 holds no rectangular list of numbers"),
    ):
        pq.write_table(pa.table({"x": rows, "text": ["a", "b"]}), path)
        with pytest.raises(ValueError, match=f"a.parquet: {said}"):
            recognizer().fit(path, run=tmp_path / "run")
    pq.write_table(pa.table({"x": [[[1.0]]], "words": ["a"]}), path)
    with pytest.raises(ValueError, match=r"holds the text\? .* 'x', 'words'.*--text-column"):
        recognizer().fit(path, run=tmp_path / "run")
    with pytest.raises(ValueError, match="no column 'y'; the columns are 'x', 'words'"):
        recognizer().fit(path, columns=SpeechColumns(sequence="y", text="words"))
    assert not (tmp_path / "run").exists()


def test_sounds_in_folders_are_classified(tmp_path):
    rng = np.random.default_rng(0)
    for name, pitch in (("high", 2000), ("low", 400)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(20):
            samples = tone(pitch * rng.uniform(0.9, 1.1), rng.uniform(0.1, 0.2))
            wavfile.write(tmp_path / "data" / name / f"{i}.wav", RATE, samples)
    model = SequenceClassifier(hidden_size=8, epochs=8, lr=0.02, batch_size=8)
    model.fit(tmp_path / "data", run=tmp_path / "run")
    opened = elman.load(tmp_path / "run")
    assert opened.evaluate(tmp_path / "data")["accuracy"] == 1
    found = opened.predictions(tmp_path / "data" / "low")
    assert found["prediction"] == ["low"] * 20
    assert found["file"][0].endswith("0.wav")


def test_the_contract_of_an_estimator():
    model = recognizer(epochs=2)
    assert clone(model).get_params() == model.get_params()
    one, other = model.fit(*utterances(20)), clone(model).fit(*utterances(20))
    assert torch.equal(one.module_.body.head.weight, other.module_.body.head.weight)
    with pytest.raises(Exception, match="not fitted yet; call fit first"):
        recognizer().predict(utterances(2)[0])


def test_texts_that_cannot_be_are_named(fitted, tmp_path):
    X, y = utterances(4)
    with pytest.raises(ValueError, match="the text of utterance 1 has 'x', which training never"):
        fitted.evaluate(X, [y[0], "axb", y[2], y[3]])
    with pytest.raises(ValueError, match="utterance 2 makes 1 steps, and its 3 symbols"):
        fitted.evaluate([X[0], X[1], X[2][:2], X[3]], [y[0], y[1], "aab", y[3]])
    with pytest.raises(ValueError, match="the text of utterance 0 is empty"):
        recognizer().fit(X, ["", *y[1:]], run=tmp_path / "run")
    with pytest.raises(ValueError, match="4 features a frame, the model was trained on 4|3 feat"):
        fitted.predict([x[:, :3] for x in X])
    holes = [x.copy() for x in X]
    holes[2][1, 3] = np.nan
    for call in (lambda: recognizer().fit(holes, y), lambda: fitted.predict(holes)):
        with pytest.raises(ValueError, match=r"utterance 2 has nan in step 1 \(1 such values\)"):
            call()
    with pytest.raises(ValueError, match="stack=0; give a whole number above zero"):
        recognizer(stack=0).fit(X, y, run=tmp_path / "run")
    with pytest.raises(ValueError, match="level='letters' is not known"):
        recognizer(level="letters").fit(X, y, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_second_fit_forgets_the_rate_of_the_first(tmp_path):
    rates = []
    model = recognizer(epochs=1, mel_bins=8)
    for rate in (8000, 4000):
        folder = tmp_path / str(rate)
        folder.mkdir()
        for i in range(8):
            samples = np.random.default_rng(i).normal(0, 0.1, rate)
            wavfile.write(folder / f"{i}.wav", rate, samples)
            (folder / f"{i}.txt").write_text("ab")
        model.fit(folder)
        rates.append(model.mel_.rate)
    assert rates == [8000, 4000]
    # a held-out part at another rate is brought to that of the training
    with pytest.warns(UserWarning, match="the features are made at 4000"):
        model.fit(tmp_path / "4000", validation=tmp_path / "8000")
    assert model.mel_.rate == 4000


def test_a_text_that_is_none_is_refused():
    with pytest.raises(
        ValueError, match=r"^SpeechRecognizer.fit: y\[1\] is nan, no text; give one"
    ):
        elman.SpeechRecognizer().fit([np.zeros((9, 2))] * 2, ["a", float("nan")])

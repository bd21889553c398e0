"""Sounds, features, and the files that name them."""

import json

import numpy as np
import pytest
from scipy.io import wavfile

from elman.data import (
    LogMel,
    Resampled,
    SpeechColumns,
    features_of,
    read_features,
    read_folders,
    read_utterances,
    read_wav,
)

TONE = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000) * 0.5


def wav(path, samples=TONE, rate=8000, kind="int16"):
    if kind == "int16":
        samples = (samples * 32767).astype(np.int16)
    elif kind == "int32":
        samples = (samples * (2**31 - 1)).astype(np.int32)
    elif kind == "uint8":
        samples = (samples * 127 + 128).astype(np.uint8)
    else:
        samples = samples.astype(kind)
    wavfile.write(path, rate, samples)
    return path


def mfc(path, frames, count=None):
    numbers = np.asarray(frames, ">f4")
    head = np.array([numbers.size if count is None else count], ">i4")
    path.write_bytes(head.tobytes() + numbers.tobytes())
    return path


@pytest.mark.parametrize(
    ("kind", "close"),
    [("int16", 1e-4), ("int32", 1e-8), ("uint8", 1 / 64), ("float32", 1e-6), ("float64", 1e-12)],
)
def test_a_sound_of_any_width_is_read_as_it_was_written(tmp_path, kind, close):
    samples, rate = read_wav(wav(tmp_path / "a.wav", kind=kind))
    assert rate == 8000
    np.testing.assert_allclose(samples, TONE, atol=close)


def test_channels_are_averaged_and_other_rates_resampled(tmp_path):
    both = np.stack([TONE, np.zeros_like(TONE)], 1)
    samples, _ = read_wav(wav(tmp_path / "two.wav", both, kind="float32"))
    np.testing.assert_allclose(samples, TONE / 2, atol=1e-6)
    samples, rate = read_wav(wav(tmp_path / "a.wav"), 16000)
    assert (len(samples), rate) == (16000, 8000)
    true = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 0.5
    np.testing.assert_allclose(samples[200:-200], true[200:-200], atol=2e-3)


def test_sounds_at_other_rates_are_resampled_with_one_notice(tmp_path):
    files = [wav(tmp_path / f"{i}.wav", rate=rate) for i, rate in enumerate((8000, 4000, 16000))]
    said = r"1\.wav: 4000 samples a second, the features are made at 8000; resampled \(2 of 3"
    with pytest.warns(Resampled, match=said) as notices:
        found, mel = features_of(files, LogMel())
    assert len(notices) == 1
    assert mel.rate == 8000
    assert [len(one) for one in found] == [98, 198, 48]


def test_log_mel_features_find_the_tone(tmp_path):
    mel = LogMel(rate=8000, bins=24)
    low, high = (mel.of(np.sin(2 * np.pi * f * np.arange(4000) / 8000)) for f in (300, 2500))
    assert low.shape == (48, 24)
    assert low.mean(0).argmax() < high.mean(0).argmax()
    assert np.array_equal(low, mel.of(np.sin(2 * np.pi * 300 * np.arange(4000) / 8000)))


def test_features_in_pieces_are_those_of_the_whole():
    mel = LogMel(rate=8000)
    frontend, found = mel.frontend(), []
    found += [frontend.feed(TONE[first : first + 731]) for first in range(0, 8000, 731)]
    found.append(frontend.end())
    np.testing.assert_allclose(np.concatenate(found), mel.of(TONE), rtol=1e-6)


def test_feature_files_round_trip(tmp_path):
    frames = np.random.default_rng(0).normal(size=(7, 13)).astype(np.float32)
    np.save(tmp_path / "a.npy", frames)
    assert np.array_equal(read_features(tmp_path / "a.npy"), frames)
    assert np.array_equal(read_features(mfc(tmp_path / "a.mfc", frames)), frames)
    assert np.array_equal(read_features(mfc(tmp_path / "b.MFC", frames)), frames)


@pytest.mark.parametrize("cut", [0, 4, 20, 43])
def test_a_broken_wav_is_named(tmp_path, cut):
    path = wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"a\.wav: "):
        read_wav(path)


@pytest.mark.parametrize(("bad", "said"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_a_sound_that_is_not_finite_is_named(tmp_path, bad, said):
    samples = np.stack([TONE, TONE], 1)
    samples[70, 1] = bad
    path = wav(tmp_path / "a.wav", samples, kind="float32")
    with pytest.raises(ValueError, match=rf"a\.wav: sample 70 is {said}; mend the sound, or take"):
        read_wav(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: mfc(p.with_suffix(".mfc"), np.ones((2, 13)), 27), "says it holds 27 numbers"),
        (lambda p: mfc(p.with_suffix(".mfc"), np.ones((2, 5))), "13 cepstra a frame"),
        (lambda p: np.save(p.with_suffix(".npy"), np.ones(3)), "float64 of shape .3,.; give num"),
        (lambda p: p.with_suffix(".npy").write_bytes(b"no"), r"cannot be read as \.npy"),
    ],
)
def test_feature_files_that_do_not_fit_are_named(tmp_path, make, said):
    make(tmp_path / "a")
    (path,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match=said):
        read_features(path)


def test_utterances_of_a_table_a_folder_and_a_single_file(tmp_path):
    for name in ("a", "b"):
        wav(tmp_path / f"{name}.wav")
        (tmp_path / f"{name}.txt").write_text(f"this is {name}\n")
    rows = [{"file": f"{n}.wav", "text": f"this is {n}", "who": "x"} for n in "ab"]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_table = read_utterances(tmp_path / "all.jsonl", LogMel())
    by_folder = read_utterances(tmp_path, LogMel())
    assert by_table.texts == by_folder.texts == ["this is a", "this is b"]
    assert by_table.mel == by_folder.mel == LogMel(rate=8000)
    assert np.array_equal(by_table.features[1], by_folder.features[1])
    alone = read_utterances(tmp_path / "a.wav", LogMel(), labelled=False)
    assert np.array_equal(alone.features[0], by_table.features[0])
    named = SpeechColumns(file="file", text="who")
    assert read_utterances(tmp_path / "all.jsonl", LogMel(), named).texts == ["x", "x"]


def test_what_is_missing_among_utterances_is_named(tmp_path):
    wav(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"there is no a\.txt beside it"):
        read_utterances(tmp_path, LogMel())
    with pytest.raises(ValueError, match="what is said in it is missing"):
        read_utterances(tmp_path / "a.wav", LogMel())
    (tmp_path / "t.csv").write_text("x,n\na,1\n")
    with pytest.raises(ValueError, match="which column holds the file"):
        read_utterances(tmp_path / "t.csv", LogMel())
    (tmp_path / "t.csv").write_text("file,text\nno.wav,hm\n")
    with pytest.raises(FileNotFoundError, match=r"no\.wav: no such file"):
        read_utterances(tmp_path / "t.csv", LogMel())
    wav(tmp_path / "a.wav", TONE[:50])
    with pytest.raises(ValueError, match=r"a\.wav: the sound has 50 samples, a frame takes 200"):
        read_utterances(tmp_path / "a.wav", LogMel(), labelled=False)


def test_folders_are_classes(tmp_path):
    for name, count in (("one", 2), ("two", 1)):
        (tmp_path / name).mkdir()
        for i in range(count):
            wav(tmp_path / name / f"{i}.wav")
    found = read_folders(tmp_path, LogMel())
    assert found.labels == ["one", "one", "two"]
    assert found.sequences[0].shape == (98, 40)
    assert read_folders(tmp_path / "one", LogMel(), labelled=False).labels is None
    wav(tmp_path / "loose.wav")
    with pytest.raises(ValueError, match=r"loose\.wav: it lies in no class's folder"):
        read_folders(tmp_path, LogMel())
    (tmp_path / "loose.wav").unlink()
    (tmp_path / "two" / "1.txt").write_text("text")
    with pytest.raises(ValueError, match=r"1\.txt: a text, and others are none"):
        read_folders(tmp_path, LogMel())

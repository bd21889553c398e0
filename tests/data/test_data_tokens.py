"""The corpus on disk and its windows."""

import numpy as np
import pytest
import torch

from elman.data import CharacterVocabulary, StreamWindows, TokenFile, WordVocabulary


@pytest.fixture
def tokens(tmp_path):
    texts = ["abcd" * 7, "xy", "hello world " * 3]
    vocabulary = CharacterVocabulary.fit(iter([t]) for t in texts)
    return TokenFile.write(tmp_path / "tokens", (iter([t]) for t in texts), vocabulary)


def test_documents_follow_each_other_with_their_ends(tokens):
    ids = tokens.read(0, len(tokens))
    assert len(ids) == 28 + 2 + 36 + 3
    assert np.nonzero(ids == 1)[0].tolist() == [28, 31, 68]
    assert np.array_equal(tokens.read(10, 20), ids[10:20])


def test_wide_vocabularies_need_wide_ids(tmp_path):
    words = WordVocabulary([f"w{i}" for i in range(70_000)])
    tokens = TokenFile.write(tmp_path / "t", [iter(["w69999 w3"])], words)
    assert tokens.read(0, 3).tolist() == [70_001, 5, 1]


@pytest.mark.parametrize(("rows", "bptt", "context"), [(1, 5, 0), (3, 4, 0), (4, 3, 5), (7, 99, 2)])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (5, 61)])
def test_windows_cover_every_pair_once(tokens, rows, bptt, context, start, stop):
    windows = StreamWindows(
        tokens, batch_size=rows, bptt=bptt, context=context, start=start, stop=stop
    )
    ids = torch.from_numpy(tokens.read(0, len(tokens)).astype(np.int64))[start:stop]
    inputs, targets, resets, before = [], [], [], None
    for window in windows.epoch(0):
        if before is not None:
            # what is repeated is the end of the window before
            assert window.context == before.next_context
            tail = before.input[len(before.input) - window.context :]
            assert torch.equal(window.input[: window.context], tail)
        assert window.context <= context
        inputs.append(window.input[window.context :])
        targets.append(window.target[window.context :])
        resets.append(window.resets[window.context :])
        before = window
    assert before.next_context == 0
    streams = torch.cat(inputs).T.flatten()
    used = windows.steps * rows
    assert len(ids) - 1 - used < rows
    assert torch.equal(streams, ids[:used])
    assert torch.equal(torch.cat(targets).T.flatten(), ids[1 : used + 1])
    marks = torch.cat(resets).T.flatten()
    assert torch.equal(marks[1:], ids[: used - 1] == 1)
    assert bool(marks[0]) == (start == 0)


def test_an_epoch_can_start_anywhere(tokens):
    windows = StreamWindows(tokens, batch_size=2, bptt=5, context=3)
    whole, part = list(windows.epoch(0)), list(windows.epoch(1, start=3))
    assert len(whole) == len(windows)
    assert len(part) == len(whole) - 3
    assert torch.equal(part[0].input, whole[3].input)


def test_short_and_empty_texts(tokens, tmp_path):
    assert StreamWindows(tokens, batch_size=99, bptt=5, stop=4).batch_size == 3
    with pytest.raises(ValueError, match="1 tokens are too few to predict one from another"):
        StreamWindows(tokens, batch_size=2, bptt=5, stop=1)
    with pytest.raises(ValueError, match="the text has no tokens"):
        TokenFile.write(tmp_path / "e", [iter([""])], CharacterVocabulary(["a"]))
    assert not (tmp_path / "e").exists()

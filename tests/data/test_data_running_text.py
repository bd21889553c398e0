"""Tokens made into running text."""

import gzip
import os
from pathlib import Path

import pytest

from elman.data import running_text, running_texts


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("", ""),
        ("a man , in red .", "a man, in red."),
        ("the man &apos;s dog doesn &apos;t run !", "the man's dog doesn't run!"),
        ("do n't , they 're here", "don't, they're here"),
        ("signs say &quot; stop &quot; and &quot; go . &quot;", 'signs say "stop" and "go."'),
        ("( so ) he said : yes ; or no ?", "(so) he said: yes; or no?"),
        ("t-shirt , mother @-@ in @-@ law", "t-shirt, mother-in-law"),
        ("the dogs &apos; toys , 5 % , $ 4", "the dogs' toys, 5%, $4"),
        ("wait ... what", "wait... what"),
        ("a &amp; b &#124; c", "a & b | c"),
    ],
)
def test_marks_go_to_the_words_they_belong_to(tokens, text):
    assert running_text(tokens) == text


def test_capitals_at_the_start_only_where_there_are_none_at_all():
    assert running_texts(["a b .", "", "é c"]) == ["A b.", "", "É c"]
    assert running_texts(["a b .", "a New c"]) == ["a b.", "a New c"]


@pytest.mark.skipif("ELMAN_DATA" not in os.environ, reason="ELMAN_DATA names no folder of data")
def test_real_captions_come_back_but_for_their_names():
    folder, found = Path(os.environ["ELMAN_DATA"]) / "multi30k", {}
    for kind, name in (("tok", "val.lc.norm.tok.en.gz"), ("raw", "val.en.gz")):
        with gzip.open(folder / kind / name, "rt", encoding="utf-8") as stream:
            found[kind] = [" ".join(line.split()) for line in stream]
    made = running_texts(found["tok"])
    same = [a.lower() == b.lower() for a, b in zip(made, found["raw"], strict=True)]
    assert sum(same) > 0.99 * len(same)

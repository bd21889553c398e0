import json
import re
import unicodedata

import numpy as np
import pytest

from elman.data import (
    CharacterVocabulary,
    SubwordVocabulary,
    WordVocabulary,
    vocabulary_from_json,
)

TEXT = "Don't panic: \"it's (only) 42 %\", said she.\nNaïve ☃ — twice, twice!\n"


def _one(text):
    return [iter([text])]


def is_mark(one):
    return unicodedata.category(one).startswith("M")


def test_characters_are_lossless():
    vocabulary = CharacterVocabulary.fit(_one(TEXT))
    assert vocabulary.decode(vocabulary.encode(TEXT)) == TEXT
    assert len(vocabulary) == len(set(TEXT)) + 2
    assert vocabulary.decode([0, 1]) == "�"
    assert len(CharacterVocabulary.fit(_one("aab"), min_count=2)) == 3


def test_words_read_and_write_well():
    vocabulary = WordVocabulary.fit(_one(TEXT))
    assert vocabulary.words[:2] == ["\n", '"']
    text = "twice, (only) 42%!\nshe said: Don't panic."
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.decode(vocabulary.encode("she said unheard")) == "she said <unk>"
    small = WordVocabulary.fit(_one("b b a a c"), max_size=4)
    assert small.words == ["a", "b"]
    assert WordVocabulary.fit(_one("The the"), lowercase=True).encode("THE").tolist() == [2]
    assert WordVocabulary.fit(_one("a a b"), min_count=2).words == ["a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("cafe\u0301's e\u0301a", ["cafe\u0301's", "e\u0301a"]),
        (
            "\U00011103\U00011127\U00011101, ☃\ufe0f",
            ["\U00011103\U00011127\U00011101", ",", "☃\ufe0f"],
        ),
        (" \u0301a", ["\u0301", "a"]),
    ],
)
def test_marks_belong_to_what_they_stand_on(text, words):
    assert WordVocabulary.split(text) == words


def test_texts_without_marks_are_split_as_they_were():
    others = [chr(one) for one in range(0x3100) if not is_mark(chr(one))]
    text = "".join(f"a{one}b's {one}{one}" for one in others)
    assert WordVocabulary.split(text) == re.findall(r"\n|\w+(?:['’]\w+)*|[^\w\s]", text)


def test_every_mark_is_known():
    word = "x" + "".join(filter(is_mark, map(chr, range(0x110000))))
    assert len(word) > 2000
    assert WordVocabulary.split(word) == [word]


def test_subwords_write_every_text():
    vocabulary = SubwordVocabulary.fit(_one(TEXT * 20), max_size=320)
    assert vocabulary.decode(vocabulary.encode(TEXT + "żółw 🐢")) == TEXT + "żółw 🐢"
    assert len(vocabulary) <= 320
    assert len(vocabulary.encode("twice")) < 5


@pytest.mark.parametrize("kind", [CharacterVocabulary, WordVocabulary, SubwordVocabulary])
def test_saved_and_read_again_it_is_the_same(kind):
    vocabulary = kind.fit(_one(TEXT))
    again = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert np.array_equal(again.encode(TEXT), vocabulary.encode(TEXT))
    assert len(again) == len(vocabulary)


def test_a_damaged_vocabulary_is_refused():
    with pytest.raises(ValueError, match="kind None is not known"):
        vocabulary_from_json({})


@pytest.mark.parametrize(
    "text",
    [
        "It costs $3.50, not 1,000.25 (or 12%).",
        "a well-known, state-of-the-art model; and/or 24/7",
        "at 10:30, on 2024-01-31: -5, -2.5 (-1)",
        'He said: "No, it isn\'t \'mine\'." "Why?" she asked.',
        "“Curly,” she said, ‘too’ [see below {here}].",
        "the dogs' bones, rock 'n' roll, \"the boys' bikes\"",
        "e.g. the U.S. team, i.e. they: 3, 4, 5. Then 6.",
        "1. first\n2. second\n- a point\n- another\n",
        '("quoted in brackets") and "(the other way)".',
        "wait... what?! 50 of 7, 12 and 1,000,000: 99 left",
        "version 1.2.3, #4 and @home",
        '"open\n\n"a new paragraph" begins',
    ],
)
def test_words_are_written_as_the_text_had_them(text):
    vocabulary = WordVocabulary.fit(_one(text))
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    # a text that is written word by word is never taken back
    for end in range(len(ids)):
        assert text.startswith(vocabulary.decode(ids[:end]))


def test_an_unknown_word_is_a_word():
    vocabulary = WordVocabulary.fit(_one("well - known ' s"))
    assert vocabulary.decode(vocabulary.encode("well-x (y's)")) == "well-<unk> <unk> <unk> <unk>"

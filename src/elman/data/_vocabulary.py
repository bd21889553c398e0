"""Text as numbers: vocabularies of characters, words, tokens and subwords."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ._spacing import spaced

Ids = npt.NDArray[np.uint32]
Documents = Iterable[Iterator[str]]

UNKNOWN, END = 0, 1
"""The first two tokens of every vocabulary: what it does not know, and the end of a document."""

_CODE_POINTS = 0x110000


class Vocabulary(Protocol):
    """Turns text into token ids and back. Token 0 is the unknown one, token 1 the end of a
    document.
    """

    def __len__(self) -> int:
        """Tokens, the first two included."""
        ...

    def encode(self, text: str) -> Ids:
        """The ids of a text; the end is not added."""
        ...

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of ids."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `vocabulary_from_json` reads."""
        ...


class CharacterVocabulary:
    """Every character of a text is a token.

    Args:
        characters: the characters, in order.

    Example:
        >>> vocabulary = CharacterVocabulary.fit([iter(["abba"])])
        >>> vocabulary.encode("ba?").tolist(), vocabulary.decode([2, 3])
        ([3, 2, 0], 'ab')
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = list(characters)
        codes = np.array([ord(c) for c in self.characters], dtype=np.int64)
        self._ids = np.full(_CODE_POINTS, UNKNOWN, dtype=np.uint32)
        self._ids[codes] = np.arange(len(codes)) + END + 1

    @classmethod
    def fit(cls, documents: Documents, *, min_count: int = 1) -> CharacterVocabulary:
        """Collects the characters that occur at least `min_count` times."""
        counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        for pieces in documents:
            for text in pieces:
                codes, each = np.unique(_code_points(text), return_counts=True)
                counts[codes] += each
        return cls([chr(c) for c in np.nonzero(counts >= min_count)[0]])

    def __len__(self) -> int:
        return len(self.characters) + END + 1

    def encode(self, text: str) -> Ids:
        """The ids of the characters."""
        return self._ids[_code_points(text)]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The characters; an unknown one is �."""
        return "".join(
            "�" if i == UNKNOWN else "" if i == END else self.characters[i - 2] for i in ids
        )

    def to_json(self) -> dict[str, Any]:
        """The characters in order."""
        return {"kind": "characters", "characters": self.characters}


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    # surrogatepass: lone surrogates in a Python string are characters like others
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


_WORD = re.compile(r"\n|\w+(?:['’]\w+)*|[^\w\s]")


def _words(text: str) -> list[str]:
    return (_WORD if text.isascii() else _word_with_marks()).findall(text)


@cache
def _word_with_marks() -> re.Pattern[str]:
    """Words with the combining marks in them. Those are no letters to a regular expression: words
    of Hindi or Thai, and letters with accents that stand alone, would fall apart.
    """
    # all that Unicode has, without looking through the million of code points where none are
    codes = (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
    marks = [chr(one) for one in codes if unicodedata.category(chr(one)).startswith("M")]
    # a class is looked up at once below 65,536 alone; above, it is looked through
    low, high = ("".join(one for one in marks if (one > "\uffff") is far) for far in (False, True))
    word = r"\w+(?:M+\w*)*"
    pattern = rf"\n|{word}(?:['’]{word})*|[^\w\s]M*"
    return re.compile(pattern.replace("M", f"(?:[{low}]|(?=[^\0-\uffff])[{high}])"))


# words counted at once before the rare ones are dropped: bounds the memory at a few hundred MB
_MOST_COUNTED = 2_000_000


class WordVocabulary:
    """Words, numbers, punctuation marks and line ends are tokens, each with the combining marks
    behind it; the most frequent ones are known.

    Args:
        words: the words, most frequent first.
        lowercase: whether texts are lower-cased.

    Example:
        >>> vocabulary = WordVocabulary.fit([iter(["to be, or not to be"])])
        >>> vocabulary.decode(vocabulary.encode("or not, be"))
        'or not, be'
    """

    def __init__(self, words: Sequence[str], *, lowercase: bool = False) -> None:
        self.words, self.lowercase = list(words), lowercase
        self._ids = {word: i for i, word in enumerate(self.words, END + 1)}

    @classmethod
    def fit(
        cls,
        documents: Documents,
        *,
        max_size: int = 10_000,
        min_count: int = 1,
        lowercase: bool = False,
    ) -> WordVocabulary:
        """Collects the `max_size` most frequent words that occur at least `min_count` times."""
        counts: Counter[str] = Counter()
        for pieces in documents:
            for text in pieces:
                counts.update(_words(text.lower() if lowercase else text))
                if len(counts) > _MOST_COUNTED:
                    counts = Counter({word: n for word, n in counts.items() if n > 1})
        return cls(_commonest(counts, max_size, min_count), lowercase=lowercase)

    def __len__(self) -> int:
        return len(self.words) + END + 1

    def encode(self, text: str) -> Ids:
        """The ids of the words."""
        known, found = self._ids, self.split(text.lower() if self.lowercase else text)
        return np.array([known.get(word, UNKNOWN) for word in found], dtype=np.uint32)

    @staticmethod
    def split(text: str) -> list[str]:
        """The words, numbers, punctuation marks and line ends of a text."""
        return _words(text)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The words with spaces where they belong; an unknown one is <unk>."""
        return spaced("<unk>" if i == UNKNOWN else self.words[i - END - 1] for i in ids if i != END)

    def to_json(self) -> dict[str, Any]:
        """The words in order."""
        return {"kind": "words", "words": self.words, "lowercase": self.lowercase}


def _commonest(counts: Counter[str], size: int, least: int) -> list[str]:
    """The words that a vocabulary of this size has room for, most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, n in ranked[: size - END - 1] if n >= least]


class TokenVocabulary:
    """What stands between blanks is a token: for text that was cut into tokens before.

    Args:
        tokens: the tokens, most frequent first.
        lowercase: whether they are lower-cased.

    Example:
        >>> vocabulary = TokenVocabulary.fit([iter(["AH0 B EH1 T", "AH0"])])
        >>> vocabulary.encode("AH0 T ?").tolist(), vocabulary.decode([2, 3])
        ([2, 5, 0], 'AH0 B')
    """

    def __init__(self, tokens: Sequence[str], *, lowercase: bool = False) -> None:
        self.tokens, self.lowercase = list(tokens), lowercase
        self._ids = {token: i for i, token in enumerate(self.tokens, END + 1)}

    @classmethod
    def fit(
        cls,
        documents: Documents,
        *,
        max_size: int = 1_000_000,
        min_count: int = 1,
        lowercase: bool = False,
    ) -> TokenVocabulary:
        """Collects the `max_size` most frequent tokens that occur at least `min_count` times."""
        counts: Counter[str] = Counter()
        for pieces in documents:
            for text in pieces:
                counts.update((text.lower() if lowercase else text).split())
        return cls(_commonest(counts, max_size, min_count), lowercase=lowercase)

    def __len__(self) -> int:
        return len(self.tokens) + END + 1

    def encode(self, text: str) -> Ids:
        """The ids of the tokens."""
        return self.encode_tokens((text.lower() if self.lowercase else text).split())

    def encode_tokens(self, tokens: Iterable[str]) -> Ids:
        """The ids of tokens, which may have blanks in them."""
        known = self._ids
        if self.lowercase:
            tokens = (token.lower() for token in tokens)
        return np.array([known.get(token, UNKNOWN) for token in tokens], dtype=np.uint32)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The tokens with blanks between; an unknown one is <unk>."""
        return " ".join(
            "<unk>" if i == UNKNOWN else self.tokens[i - END - 1] for i in ids if i != END
        )

    def to_json(self) -> dict[str, Any]:
        """The tokens in order."""
        return {"kind": "tokens", "tokens": self.tokens, "lowercase": self.lowercase}


class SubwordVocabulary:
    """Byte-pair encoding over bytes, so that every text can be written; trained by the library
    tokenizers.

    Args:
        definition: the JSON of a `tokenizers.Tokenizer`.

    Reference:
        Sennrich, Haddow & Birch 2016, "Neural machine translation of rare words with subword
        units", ACL.

    Example:
        >>> vocabulary = SubwordVocabulary.fit([iter(["low lower lowest " * 9])], max_size=300)
        >>> vocabulary.decode(vocabulary.encode("lower ☃"))
        'lower ☃'
    """

    # characters to learn from; more changes the merges little
    _SAMPLE = 50_000_000

    def __init__(self, definition: str) -> None:
        from tokenizers import Tokenizer

        self._definition, self._tokenizer = definition, Tokenizer.from_str(definition)

    @classmethod
    def fit(cls, documents: Documents, *, max_size: int = 4_000) -> SubwordVocabulary:
        """Learns `max_size` subwords."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=max_size,
            special_tokens=["<unk>", "<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_first(documents, cls._SAMPLE), trainer)
        return cls(tokenizer.to_str())

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> Ids:
        """The ids of the subwords."""
        return np.array(self._tokenizer.encode(text).ids, dtype=np.uint32)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text."""
        return self._tokenizer.decode([int(i) for i in ids])

    def to_json(self) -> dict[str, Any]:
        """The definition of the tokenizer."""
        return {"kind": "subwords", "tokenizer": self._definition}


def _first(documents: Documents, characters: int) -> Iterator[str]:
    """The first so many characters, piece by piece."""
    for pieces in documents:
        for text in pieces:
            yield text[:characters]
            characters -= len(text)
            if characters <= 0:
                return


def fit_vocabulary(
    level: str,
    documents: Documents,
    *,
    max_size: int,
    min_count: int = 1,
    lowercase: bool = False,
) -> Vocabulary:
    """The vocabulary of documents.

    Args:
        level: "characters", "words", "tokens" or "subwords".
        documents: each an iterator over its parts.
        max_size: words, tokens or subwords at most; all characters are known.
        min_count: times that a word or token must occur.
        lowercase: whether words and tokens are lower-cased.

    Example:
        >>> len(fit_vocabulary("tokens", iter([iter(["a b a"])]), max_size=9, min_count=2))
        3
    """
    if level == "characters":
        return CharacterVocabulary.fit(documents)
    if level == "subwords":
        return SubwordVocabulary.fit(documents, max_size=max_size)
    made = WordVocabulary if level == "words" else TokenVocabulary
    return made.fit(documents, max_size=max_size, min_count=min_count, lowercase=lowercase)


def vocabulary_from_json(saved: dict[str, Any]) -> Vocabulary:
    """The vocabulary that `to_json` described.

    Raises:
        ValueError: it describes none.

    Example:
        >>> len(vocabulary_from_json({"kind": "characters", "characters": ["a"]}))
        3
    """
    kind = saved.get("kind")
    if kind == "characters":
        return CharacterVocabulary(saved["characters"])
    if kind == "words":
        return WordVocabulary(saved["words"], lowercase=saved["lowercase"])
    if kind == "tokens":
        return TokenVocabulary(saved["tokens"], lowercase=saved["lowercase"])
    if kind == "subwords":
        return SubwordVocabulary(saved["tokenizer"])
    raise ValueError(f"vocabulary: kind {kind!r} is not known; the file is damaged.")

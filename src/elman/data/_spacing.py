"""Words, numbers and marks as running text: what is written without a blank between."""

from __future__ import annotations

from collections.abc import Iterable

_CLOSING = frozenset(".,;:!?)]}%…»”’।")
_OPENING = frozenset("([{$#@£€«“‘„¿¡")
_QUOTES = frozenset("\"'")
# what joins the words before and behind it
_JOINING = frozenset("-/")


def spaced(words: Iterable[str]) -> str:
    r"""The text of words, numbers, marks and line ends, as `WordVocabulary.split` parts them: 3.50,
    1,000, 10:30, well-known, e.g., quotes and brackets are written as one is used to write them.

    A blank depends on what stands before it alone, so that a longer text begins with the shorter.

    Example:
        >>> spaced(["\"", "Well", "-", "known", "\"", ",", "(", "or", "3", ".", "50", ")", "."])
        '"Well-known", (or 3.50).'
    """
    spacing = Spacing()
    return "".join(spacing.add(word) for word in words)


class Spacing:
    """Writes a text word by word."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        # the word before, whether a blank stood before that, and whether one must not stand behind
        self._last, self._is_tight, self._glue = "\n", False, True
        self._before = ""

    def add(self, word: str) -> str:
        """The word, with a blank before it where one belongs."""
        if word == "\n" == self._last:
            # a paragraph ends
            self._open.clear()
        is_tight, glue = self._tight(word), self._holds(word)
        self._before, self._last = self._last, word
        self._is_tight, self._glue = is_tight, glue
        return word if is_tight else f" {word}"

    def _tight(self, word: str) -> bool:
        """Whether there is no blank before a word."""
        last = self._last
        if self._glue or word == "\n" or word in _CLOSING:
            return True
        if word in _QUOTES:
            # the ' behind an s is that of a plural
            return word in self._open or (word == "'" and last.endswith("s"))
        if word in _JOINING:
            return _is_word(last) or (word == last and self._is_tight)
        if last == "-":
            # of a number below zero, for the word before it is none
            return word.isdecimal() and self._before != "\n"
        return self._is_tight and _is_within(self._before, last, word)

    def _holds(self, word: str) -> bool:
        """Whether there is no blank behind a word that is added now."""
        if word in _QUOTES:
            if word in self._open:
                self._open.remove(word)
                return False
            if word == "'" and self._last.endswith("s") and not self._glue:
                return False
            self._open.add(word)
            return True
        if word in _JOINING:
            return _is_word(self._last) or (word == self._last and self._is_tight)
        return word == "\n" or word in _OPENING


def _is_word(text: str) -> bool:
    return text[:1].isalnum() or (text[:1] in "_<" and len(text) > 1)


def _is_within(before: str, mark: str, word: str) -> bool:
    """Whether a mark stands within a number, as 3.50, 1,000 and 10:30, or an abbreviation, as e.g.
    and U.S.
    """
    if before.isdecimal() and word.isdecimal():
        groups = ((",", 3, 3), (":", 2, 2))
        return mark == "." or any(
            mark == one and len(before) <= most and len(word) == size for one, most, size in groups
        )
    letters = before.isalpha() and word.isalpha() and len(before) == len(word) == 1
    return mark == "." and letters and before.isupper() == word.isupper()

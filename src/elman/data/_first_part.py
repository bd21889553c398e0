"""The documents up to a token: what a vocabulary may know of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ._vocabulary import Documents, WordVocabulary

_SPLIT: dict[str, Callable[[str], list[str]]] = {"words": WordVocabulary.split, "tokens": str.split}


def first_part(
    level: str, texts: Callable[[], Documents], part: Callable[[int], int]
) -> Iterator[Iterator[str]]:
    """The documents as far as their first tokens go, each document's end among the tokens.

    Subwords are not known before their vocabulary is: characters stand for them.

    Args:
        level: "characters", "words", "tokens" or "subwords".
        texts: gives the documents, each an iterator over its parts; called twice.
        part: how many tokens to take of so many.

    Example:
        >>> found = first_part("words", lambda: [iter(["a b c"]), iter(["d e"])], lambda n: n - 2)
        >>> [list(pieces) for pieces in found]
        [['a b c'], ['d']]
    """
    split = _SPLIT.get(level, list)
    blank = " " if level in _SPLIT else ""
    left = part(sum(1 + sum(len(split(text)) for text in pieces) for pieces in texts()))

    def begun(pieces: Iterator[str]) -> Iterator[str]:
        nonlocal left
        for text in pieces:
            if left <= 0:
                return
            found = split(text)
            yield text if len(found) <= left else blank.join(found[:left])
            left -= len(found)

    for pieces in texts():
        if left <= 0:
            return
        yield begun(pieces)
        left -= 1

"""Spans of words as tags: B- begins one, I- goes on, O is outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Span(NamedTuple):
    """A span of words of a kind; `stop` is the word behind it."""

    kind: str
    start: int
    stop: int


def is_bio(tags: Iterable[str]) -> bool:
    """Whether these tags mark spans.

    Example:
        >>> is_bio({"O", "B-PER", "I-PER"}), is_bio({"NOUN", "VERB"})
        (True, False)
    """
    kinds = set(tags)
    return any(tag.startswith("B-") for tag in kinds) and all(
        tag == "O" or tag.startswith(("B-", "I-")) for tag in kinds
    )


def may_follow(before: str | None, tag: str) -> bool:
    """Whether a tag may follow another one, or be first (None): I-X goes on with an X.

    Reference:
        Ramshaw & Marcus 1995, https://arxiv.org/abs/cmp-lg/9505040; every span begins with B-.

    Example:
        >>> may_follow("B-PER", "I-PER"), may_follow("O", "I-PER")
        (True, False)
    """
    if not tag.startswith("I-"):
        return True
    return before is not None and before[:2] in ("B-", "I-") and before[2:] == tag[2:]


def bio_rules(tags: Sequence[str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which tag may follow which, (K, K) [from, to], and which may be first, (K,).

    Example:
        >>> bio_rules(["B-A", "I-A", "O"])[1].tolist()
        [True, False, True]
    """
    allowed = np.array([[may_follow(one, other) for other in tags] for one in tags])
    return allowed, np.array([may_follow(None, one) for one in tags])


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans. An I- that cannot follow begins a span, as the CoNLL shared tasks count.

    Example:
        >>> spans_of(["B-PER", "I-PER", "O", "B-LOC"])
        [Span(kind='PER', start=0, stop=2), Span(kind='LOC', start=3, stop=4)]
    """
    found: list[Span] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag.startswith("I-") and may_follow(tags[i - 1] if i else None, tag):
            found[-1] = found[-1]._replace(stop=i + 1)
        else:
            found.append(Span(tag[2:], i, i + 1))
    return found


def span_scores(true: Iterable[Sequence[str]], found: Iterable[Sequence[str]]) -> dict[str, float]:
    """The precision, recall and F1 of whole spans, over all sentences together.

    Example:
        >>> span_scores([["B-A", "I-A"]], [["B-A", "O"]])["span_f1"]
        0.0
    """
    right = there = told = 0
    for one, other in zip(true, found, strict=True):
        a, b = set(spans_of(one)), set(spans_of(other))
        right, there, told = right + len(a & b), there + len(a), told + len(b)
    precision, recall = right / max(told, 1), right / max(there, 1)
    f1 = 2 * right / max(there + told, 1)
    return {"span_f1": f1, "span_precision": precision, "span_recall": recall}

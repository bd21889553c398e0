"""What a tagger tells of a sentence: the tags of its words and, where there are any, its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from elman.data import is_bio, may_follow


class Answer(NamedTuple):
    """The tags of a sentence's words, and its label; None for none."""

    tags: Any
    label: Any = None


def answers_of(given: Sequence[Any], where: str) -> list[Answer]:
    """Answers from lists of tags, or from pairs of such a list and a label.

    Raises:
        ValueError: some are pairs, and others are not.
    """
    pairs = [_is_pair(one) for one in given]
    if all(pairs):
        return [Answer(list(tags), label) for tags, label in given]
    if any(pairs):
        with_label, without = pairs.index(True), pairs.index(False)
        raise ValueError(
            f"{where}: sentence {with_label} has a label and sentence {without} has none; give all"
            " sentences pairs (tags, label), or none."
        )
    return [Answer(list(tags)) for tags in given]


def _is_pair(one: Any) -> bool:
    # the tags of two words may stand in a tuple as well
    if not isinstance(one, tuple) or len(one) != 2:
        return False
    return not isinstance(one[0], str) and isinstance(one[1], str)


class Names:
    """The tags and the labels that a model knows, and their numbers.

    Args:
        tags: sorted.
        labels: sorted; none for sentences without labels.
        together: how many words of sentences of a label (row) had a tag (column) in training;
            None where that is not known.
    """

    def __init__(self, tags: Sequence[str], labels: Sequence[str], together: Any = None) -> None:
        self.tags, self.labels = list(tags), list(labels)
        shape = (len(self.labels), len(self.tags))
        self.together = np.zeros(shape, np.int64)
        if together is not None:
            self.together += np.array(together, np.int64).reshape(shape)
        self._tags = {tag: i for i, tag in enumerate(self.tags)}
        self._labels = {label: i for i, label in enumerate(self.labels)}

    @classmethod
    def of(cls, answers: Sequence[Answer], train: Sequence[int], where: str) -> Names:
        """Those of these answers; which go together tell the ones that train.

        Raises:
            ValueError: all labels are the same.
        """
        labels = sorted({one.label for one in answers if one.label is not None})
        if len(labels) == 1:
            raise ValueError(
                f"{where}: all labels are {labels[0]!r}; give sentences of two labels or more, or"
                " leave the label out."
            )
        names = cls(sorted({tag for one in answers for tag in one.tags}), labels)
        if labels:
            for one in names.numbers([answers[i] for i in train], where):
                np.add.at(names.together[one.label], one.tags, 1)
        return names

    def clash(self) -> Any:
        """What a tag costs in a sentence of a label, in nats: nothing where they were seen
        together, else ln(1 + n), n words being expected if tags did not depend on labels.
        """
        words = max(self.together.sum(), 1)
        expected = self.together.sum(1, keepdims=True) * self.together.sum(0) / words
        return np.where(self.together > 0, 0.0, np.log1p(expected)).astype(np.float32)

    def numbers(self, answers: Sequence[Answer], where: str) -> list[Answer]:
        """The answers in numbers.

        Raises:
            ValueError: one is not known, or sentences have no label where the model tells one, or
                have one where it tells none.
        """
        return [
            Answer(self._tag_numbers(row, one.tags, where), self._label_number(row, one, where))
            for row, one in enumerate(answers)
        ]

    def named(self, answer: Answer) -> Any:
        """Names for numbers, as they are given for training."""
        tags = [self.tags[i] for i in answer.tags]
        return (tags, self.labels[answer.label]) if self.labels else tags

    def _tag_numbers(self, row: int, tags: Sequence[str], where: str) -> Any:
        unseen = [tag for tag in tags if tag not in self._tags]
        if unseen:
            raise ValueError(
                f"{where}: the tag {unseen[0]!r} of sentence {row} was not seen in training;"
                f" the tags are {', '.join(self.tags)}."
            )
        return np.array([self._tags[tag] for tag in tags])

    def _label_number(self, row: int, answer: Answer, where: str) -> int | None:
        if not self.labels and answer.label is None:
            return None
        if not self.labels:
            raise ValueError(
                f"{where}: sentence {row} has a label, and the model was trained without; give the"
                " tags alone."
            )
        if answer.label is None:
            raise ValueError(
                f"{where}: sentence {row} has no label, and the model tells one; give pairs"
                " (tags, label)."
            )
        if answer.label not in self._labels:
            raise ValueError(
                f"{where}: the label {answer.label!r} of sentence {row} was not seen in training;"
                f" the labels are {', '.join(map(repr, self.labels))}."
            )
        return self._labels[answer.label]


def check_spans(answers: Sequence[Answer], place: Callable[[int, int], str]) -> None:
    """Refuses tags in an order that cannot be, with the place of the first one.

    Raises:
        ValueError: a span goes on that has not begun.
    """
    if not is_bio(tag for one in answers for tag in one.tags):
        return
    for row, one in enumerate(answers):
        for i, tag in enumerate(one.tags):
            before = one.tags[i - 1] if i else None
            if not may_follow(before, tag):
                behind = "at the start" if before is None else f"behind {before!r}"
                raise ValueError(
                    f"{place(row, i)}: the tag {tag!r} {behind} goes on with what has not begun;"
                    f" give B-{tag[2:]} to the first word of a span."
                )

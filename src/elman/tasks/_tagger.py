"""Many to many, aligned: what is each word of a sentence?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from elman.data import (
    CharacterVocabulary,
    TagColumns,
    TokenVocabulary,
    bio_rules,
    is_bio,
    may_follow,
    read_tagged,
    span_scores,
    vocabulary_from_json,
)
from elman.diagnostics import need_of_tokens
from elman.nn import CRF
from elman.train import Run

from ._inspect import LONGEST, ROWS, Sample
from ._supervised import Pairs, SupervisedEstimator, check_pairs, mean_loss
from ._tagger_network import Sentences, TaggerNetwork, TagLoss, tag_scores
from ._word_features import Sentence, check_word_dropouts, words_of

# words that are asked how far back they matter, and fewer of them tell nothing
_ASKED, _FEW = 50_000, 1000


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceTagger(SupervisedEstimator):
    """Tells a tag for each word of a sentence: its part of speech, or the span that it is in.

    Tags that mark spans (B-X begins an X, I-X goes on, O is outside) are known by their form: they
    are measured as whole spans too, and with a CRF only those sequences are told that can be.

    Args:
        embedding_size: features of a word.
        character_size: units of the layer over a word's characters, in each direction; 0 for none.
        vocabulary_size: words at most.
        min_count: times that a word must occur to be known.
        lowercase: whether words, but not their characters, are lower-cased.
        word_dropout: probability with which training takes a word for an unknown one.
        rare_word_dropout: a: a word that training has n times is taken for an unknown one with
            probability a / (a + n) too (Kiperwasser & Goldberg 2016).
        character_dropout: on the features of a word's characters; as `dropout` or
            `input_dropout`, the higher one, if None.
        bidirectional: whether the layers read from both ends.
        crf: whether the tags of a sentence are told together.
        validation_fraction: the part of the sentences that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        tags_: the tags, sorted.
        is_bio_: whether they mark spans.
        module_: the network.
        results_: "loss" (nats a word), "accuracy", and "span_f1", "span_precision" and
            "span_recall" for spans, on the held-out part.

    Example:
        >>> X = [["the", "cat", "sleeps"], ["a", "dog", "runs"]] * 10
        >>> y = [["DET", "NOUN", "VERB"]] * 20
        >>> model = SequenceTagger(hidden_size=8, epochs=6, lr=0.02).fit(X, y)
        >>> model.predict([["the", "dog", "sleeps"]])
        [['DET', 'NOUN', 'VERB']]
    """

    task: ClassVar[str] = "tag"

    embedding_size: int = 100
    character_size: int = 50
    vocabulary_size: int = 100_000
    min_count: int = 1
    lowercase: bool = True
    word_dropout: float = 0.05
    rare_word_dropout: float = 0.0
    character_dropout: float | None = None
    bidirectional: bool = True
    crf: bool = False

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each sentence, given as lists of words or a `pathlib.Path`."""
        return self._tags(self._unlabelled(X, "SequenceTagger.predict"))

    def predictions(self, X: Any) -> dict[str, Any]:
        """A row for each word of a file: the sentence's number, the word, the tag."""
        words = self._unlabelled(X, "SequenceTagger.predictions")
        tags = self._tags(words)
        return {
            "sentence": [row for row, one in enumerate(words, 1) for _ in one],
            "word": [word for one in words for word in one],
            "prediction": [tag for one in tags for tag in one],
        }

    def evaluate(
        self, X: Any, y: Any = None, *, columns: TagColumns | None = None
    ) -> dict[str, float]:
        """Measures the model on tagged sentences, given as for `fit`."""
        self._check_fitted()
        where = "SequenceTagger.evaluate"
        words, tags, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        return self._measure(self._encode(words, tags, where))

    def score(self, X: Any, y: Any = None) -> float:
        """The F1 of spans, or the accuracy of tags that mark none."""
        found = self.evaluate(X, y)
        return found["span_f1" if self.is_bio_ else "accuracy"]

    def _check(self) -> None:
        for name, least in (
            ("embedding_size", 1),
            ("vocabulary_size", 3),
            ("min_count", 1),
            ("character_size", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"SequenceTagger: {name}={value!r}; give a whole number from {least} on."
                )
        check_word_dropouts(self)

    def _read(
        self, X: Any, y: Any, columns: TagColumns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        if isinstance(X, Path):
            found = read_tagged(X, columns, labelled=labelled)
            if found.tags is not None:
                _check_spans(found.tags, lambda row, word: f"{X}: line {found.lines[row][word]}")
            return found.words, found.tags, {"source": str(X)}
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give lists of words, or a Path.")
        words = [list(one) for one in X]
        check_pairs(words, y, where, labelled=labelled)
        for row, one in enumerate(words):
            if not one or not all(isinstance(word, str) and word for word in one):
                raise ValueError(f"{where}: sentence {row} is no list of words; give some.")
            if y is not None and len(y[row]) != len(one):
                raise ValueError(
                    f"{where}: sentence {row} has {len(one)} words and {len(y[row])} tags;"
                    " give one for each."
                )
        if y is not None:
            y = [list(one) for one in y]
            _check_spans(y, lambda row, word: f"{where}: sentence {row}, word {word + 1}")
        return words, y, {"source": f"{len(words)} sentences"}

    def _unlabelled(self, X: Any, where: str) -> list[Any]:
        self._check_fitted()
        return self._read(X, None, self.columns_, where, labelled=False)[0]

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        self.tags_ = sorted({tag for one in targets for tag in one})
        self.is_bio_ = is_bio(self.tags_)
        words = [word for i in train for word in inputs[i]]
        self.vocabulary_ = TokenVocabulary.fit(
            [map(_joined, words)],
            max_size=self.vocabulary_size,
            min_count=self.min_count,
            lowercase=self.lowercase,
        )
        self.characters_ = CharacterVocabulary.fit([iter(["".join(words)])])
        pairs = self._encode(inputs, targets, where)
        ids = np.concatenate([pairs.inputs[i].ids for i in train])
        self.word_counts_ = np.bincount(ids, minlength=len(self.vocabulary_))
        return pairs

    def _encode(self, words: list[Any], tags: Any, where: str) -> Pairs:
        different: dict[str, Any] = {}
        sentences: list[Sentence] = []
        for one in words:
            for word in one:
                if word not in different:
                    different[word] = self.characters_.encode(word).astype(np.int64)
            ids = self.vocabulary_.encode_tokens(map(_joined, one)).astype(np.int64)
            sentences.append(Sentence(ids, [different[word] for word in one]))
        known = {tag: i for i, tag in enumerate(self.tags_)}
        found: list[Any] = []
        for row, one in enumerate([] if tags is None else tags):
            unseen = [tag for tag in one if tag not in known]
            if unseen:
                raise ValueError(
                    f"{where}: the tag {unseen[0]!r} of sentence {row} was not seen in training;"
                    f" the tags are {', '.join(self.tags_)}."
                )
            found.append(np.array([known[tag] for tag in one]))
        return Pairs(sentences, found)

    def _network(self) -> TaggerNetwork:
        crf = None
        if self.crf:
            allowed, first = None, None
            if self.is_bio_:
                allowed, first = (torch.from_numpy(one) for one in bio_rules(self.tags_))
            crf = CRF(len(self.tags_), allowed=allowed, first=first)
        network = TaggerNetwork(
            self,
            len(self.vocabulary_),
            len(self.characters_),
            len(self.tags_),
            embedding_size=self.embedding_size,
            character_size=self.character_size,
            bidirectional=self.bidirectional,
            word_dropout=self.word_dropout,
            rare_word_dropout=self.rare_word_dropout,
            character_dropout=self.character_dropout,
            counts=self.word_counts_,
            crf=crf,
        )
        self._to_device(network)
        return network

    def _objective(self, network: Any, train: Pairs) -> TagLoss:
        return TagLoss(network)

    def _batches(self, train: Pairs, seed: int) -> Sentences:
        return self._sentences(train, shuffle=True, seed=seed)

    def _sentences(self, pairs: Pairs, *, shuffle: bool = False, seed: int = 0) -> Sentences:
        return Sentences(
            pairs.inputs,
            pairs.targets or None,
            batch_size=self.batch_size,
            seed=seed,
            shuffle=shuffle,
        )

    def _measure(self, pairs: Pairs) -> dict[str, float]:
        loss = mean_loss(TagLoss(self.module_), self._sentences(pairs))
        found = self._decode(pairs)
        right = sum(int((a == b).sum()) for a, b in zip(found, pairs.targets, strict=True))
        count = sum(len(one) for one in pairs.targets)
        figures = {"loss": loss, "accuracy": right / count}
        if self.is_bio_:
            figures |= span_scores(map(self._named, pairs.targets), map(self._named, found))
        return figures

    def _decode(self, pairs: Pairs) -> list[Any]:
        """The numbers of the likeliest tags."""
        found: list[Any] = [None] * len(pairs)
        crf = self.module_.crf
        for rows, words, scores in tag_scores(self.module_, self._sentences(pairs)):
            tags = scores.argmax(-1) if crf is None else crf.decode(scores, words.lengths)
            for b, (row, length) in enumerate(zip(rows, words.lengths.tolist(), strict=True)):
                found[row] = tags[:length, b].cpu().numpy()
        return found

    def _tags(self, words: list[Any]) -> list[list[str]]:
        pairs = self._encode(words, None, "SequenceTagger.predict")
        return [self._named(one) for one in self._decode(pairs)]

    def _named(self, numbers: Any) -> list[str]:
        return [self.tags_[i] for i in numbers]

    def _sample(self, X: Any, where: str) -> Sample:
        words, tags, _ = self._read(X, None, self.columns_, where, labelled=True)
        pairs = self._encode(words, tags, where)
        return self._sample_of(pairs, pairs)

    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        few = [one[:LONGEST] for one in shown.inputs[:ROWS]]
        words = words_of(few)
        found = None
        if everything is not None:
            ids = np.concatenate([one.ids for one in everything.inputs])[:_ASKED, None]
            tags = np.concatenate(everything.targets)[:_ASKED, None]
            if len(ids) > _FEW:
                found = need_of_tokens(ids, tags, most=64)
        return Sample(
            lambda: self.module_(words.to(self._device)),
            found,
            None,
            [self.vocabulary_.decode([int(one)]) for one in few[0].ids],
            "body.layers",
        )

    def _fitted(self) -> dict[str, Any]:
        columns = None if self.columns_ is None else asdict(self.columns_)
        return {"tags": self.tags_, "columns": columns}

    def _write_fitted(self, run: Run) -> None:
        run.write_json("vocabulary.json", self.vocabulary_.to_json())
        run.write_json("characters.json", self.characters_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.tags_ = list(fitted["tags"])
        self.is_bio_ = is_bio(self.tags_)
        columns = fitted["columns"]
        self.columns_ = None if columns is None else TagColumns(**columns)
        vocabulary = vocabulary_from_json(run.read_json("vocabulary.json"))
        characters = vocabulary_from_json(run.read_json("characters.json"))
        if not isinstance(vocabulary, TokenVocabulary) or not isinstance(
            characters, CharacterVocabulary
        ):
            raise ValueError(f"{run.path}: its vocabularies are not a tagger's; it is damaged.")
        self.vocabulary_, self.characters_ = vocabulary, characters
        self.word_counts_ = None
        self.module_ = self._network()


def _joined(word: str) -> str:
    """A word without the blanks that part words."""
    return "_".join(word.split()) if " " in word else word


def _check_spans(tags: list[list[str]], place: Callable[[int, int], str]) -> None:
    """Refuses tags in an order that cannot be, with the place of the first one."""
    if not is_bio(tag for one in tags for tag in one):
        return
    for row, one in enumerate(tags):
        for i, tag in enumerate(one):
            before = one[i - 1] if i else None
            if not may_follow(before, tag):
                behind = "at the start" if before is None else f"behind {before!r}"
                raise ValueError(
                    f"{place(row, i)}: the tag {tag!r} {behind} goes on with what has not begun;"
                    f" give B-{tag[2:]} to the first word of a span."
                )

"""Many to many, aligned: what is each word of a sentence?"""

from __future__ import annotations

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
    read_tagged,
    span_scores,
    vocabulary_from_json,
)
from elman.diagnostics import need_of_tokens
from elman.nn import CRF
from elman.ops import is_integer, is_number
from elman.train import Run

from ._inspect import LONGEST, ROWS, Sample
from ._options import check_vocabulary_size
from ._supervised import Pairs, SupervisedEstimator, check_pairs, mean_loss
from ._tagger_answers import Answer, Names, answers_of, check_spans
from ._tagger_network import Sentences, TaggerNetwork, TagLoss, told_by
from ._word_features import Sentence, check_word_dropouts, words_of

# words that are asked how far back they matter, and fewer of them tell nothing
_ASKED, _FEW = 50_000, 1000


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceTagger(SupervisedEstimator):
    """Tells a tag for each word of a sentence: its part of speech, or the span that it is in.

    Tags that mark spans (B-X begins an X, I-X goes on, O is outside) are known by their form: they
    are measured as whole spans too, and with a CRF only those sequences are told that can be.

    A sentence may have a label as well, as a query has an intent: then y is a list of pairs (tags,
    label), one network learns both, and `predict` tells such pairs. What the tags teach helps the
    label (Zhang & Wang 2016), and both are told as one: a label with which a tag was never seen
    becomes the less likely, the more often the tag was seen, and so does the tag.

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
        label_weight: of a label's cross entropy beside that of a word's tag.
        validation_fraction: the part of the sentences that is held out; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        tags_: the tags, sorted.
        labels_: the labels of sentences, sorted; empty where there are none.
        is_bio_: whether they mark spans.
        module_: the network.
        results_: "loss" (nats a word), "accuracy", and "span_f1", "span_precision" and
            "span_recall" for spans, on the held-out part; with labels also "label_accuracy", and
            "exact_match": the share of sentences of which all tags and the label are right.

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
    label_weight: float = 1.0

    def predict(self, X: Any) -> list[Any]:
        """The tags of each sentence, given as lists of words or a `pathlib.Path`; pairs (tags,
        label) where sentences have labels.
        """
        return [self._names.named(one) for one in self._told(X, "SequenceTagger.predict")[1]]

    def predictions(self, X: Any) -> dict[str, Any]:
        """A row for each word of a file: the sentence's number, the word, its tag, and the
        sentence's label where there are labels.
        """
        words, told = self._told(X, "SequenceTagger.predictions")
        found = {
            "sentence": [row for row, one in enumerate(words, 1) for _ in one],
            "word": [word for one in words for word in one],
            "prediction": [self.tags_[i] for one in told for i in one.tags],
        }
        if self.labels_:
            found["label"] = [self.labels_[one.label] for one in told for _ in one.tags]
        return found

    def evaluate(
        self, X: Any, y: Any = None, *, columns: TagColumns | None = None
    ) -> dict[str, float]:
        """Measures the model on tagged sentences, given as for `fit`."""
        self._check_fitted()
        where = "SequenceTagger.evaluate"
        words, tags, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        return self._measure(self._encode(words, tags, where))

    def score(self, X: Any, y: Any = None) -> float:
        """The F1 of spans, or the accuracy of tags that mark none; with labels, the share of
        sentences of which all is right.
        """
        found = self.evaluate(X, y)
        if self.labels_:
            return found["exact_match"]
        return found["span_f1" if self.is_bio_ else "accuracy"]

    def _check(self) -> None:
        for name, least in (
            ("embedding_size", 1),
            ("min_count", 1),
            ("character_size", 0),
        ):
            value = getattr(self, name)
            if not is_integer(value) or value < least:
                raise ValueError(
                    f"SequenceTagger: {name}={value!r}; give a whole number from {least} on."
                )
        if not is_number(self.label_weight) or not self.label_weight > 0:
            raise ValueError(
                f"SequenceTagger: label_weight={self.label_weight!r}; give a number above 0."
            )
        check_vocabulary_size(self, "SequenceTagger")
        check_word_dropouts(self)
        super()._check()

    def _read(
        self, X: Any, y: Any, columns: TagColumns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        if isinstance(X, Path):
            found = read_tagged(X, columns, labelled=labelled)
            y = found.tags
            if y is not None:
                if found.labels is not None:
                    y = list(zip(y, found.labels, strict=True))
                answers = answers_of(y, where)
                check_spans(answers, lambda row, word: f"{X}: line {found.lines[row][word]}")
            return found.words, y, {"source": str(X)}
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give lists of words, or a Path.")
        for row, one in enumerate(X):
            if isinstance(one, str):
                raise TypeError(
                    f"{where}: sentence {row} is a str ({one[:30]!r}…); give lists of words."
                )
        words = [list(one) for one in X]
        check_pairs(words, y, where, labelled=labelled)
        for row, one in enumerate(words):
            if not one or not all(isinstance(word, str) and word for word in one):
                raise ValueError(f"{where}: sentence {row} is no list of words; give some.")
        if y is not None:
            answers = answers_of(y, where)
            for row, (one, answer) in enumerate(zip(words, answers, strict=True)):
                if len(answer.tags) != len(one):
                    raise ValueError(
                        f"{where}: sentence {row} has {len(one)} words and {len(answer.tags)} tags;"
                        " give one for each."
                    )
            check_spans(answers, lambda row, word: f"{where}: sentence {row}, word {word + 1}")
            y = [one.tags if one.label is None else tuple(one) for one in answers]
        return words, y, {"source": f"{len(words)} sentences"}

    def _unlabelled(self, X: Any, where: str) -> list[Any]:
        self._check_fitted()
        return self._read(X, None, self.columns_, where, labelled=False)[0]

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        self._know(Names.of(answers_of(targets, where), train, where))
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
        answers = [] if tags is None else answers_of(tags, where)
        return Pairs(sentences, self._names.numbers(answers, where))

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
            clash=torch.from_numpy(self._names.clash()),
        )
        self._to_device(network)
        return network

    def _objective(self, network: Any, train: Pairs) -> TagLoss:
        return TagLoss(network, self.label_weight)

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
        loss = mean_loss(TagLoss(self.module_, self.label_weight), self._sentences(pairs))
        found, true = self._decode(pairs), pairs.targets
        right = [a.tags == b.tags for a, b in zip(found, true, strict=True)]
        figures = {"loss": loss, "accuracy": float(np.concatenate(right).mean())}
        if self.is_bio_:
            figures |= span_scores(map(self._tag_names, true), map(self._tag_names, found))
        if self.labels_:
            labels = [a.label == b.label for a, b in zip(found, true, strict=True)]
            figures["label_accuracy"] = float(np.mean(labels))
            all_right = [a and b.all() for a, b in zip(labels, right, strict=True)]
            figures["exact_match"] = float(np.mean(all_right))
        return figures

    def _decode(self, pairs: Pairs) -> list[Answer]:
        """The numbers of the likeliest tags and labels."""
        found: list[Any] = [None] * len(pairs)
        for rows, lengths, tags, labels in told_by(self.module_, self._sentences(pairs)):
            told = [None] * len(rows) if labels is None else labels.tolist()
            for b, (row, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
                found[row] = Answer(tags[:length, b].cpu().numpy(), told[b])
        return found

    def _told(self, X: Any, where: str) -> tuple[list[Any], list[Answer]]:
        """The words of untagged sentences, and what the network tells of them."""
        words = self._unlabelled(X, where)
        return words, self._decode(self._encode(words, None, where))

    def _tag_names(self, answer: Answer) -> list[str]:
        return [self.tags_[i] for i in answer.tags]

    def _know(self, names: Names) -> None:
        self._names, self.tags_, self.labels_ = names, names.tags, names.labels
        self.is_bio_ = is_bio(self.tags_)

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
            tags = np.concatenate([one.tags for one in everything.targets])[:_ASKED, None]
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
        together = self._names.together.tolist()
        return {
            "tags": self.tags_,
            "labels": self.labels_,
            "together": together,
            "columns": columns,
        }

    def _write_fitted(self, run: Run) -> None:
        run.write_json("vocabulary.json", self.vocabulary_.to_json())
        run.write_json("characters.json", self.characters_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self._know(Names(fitted["tags"], fitted.get("labels", []), fitted.get("together")))
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

"""What the classifier and the regressor share: reading sequences, the network, the held-out
part.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elman.data import (
    CharacterVocabulary,
    Columns,
    LogMel,
    Scaler,
    Vocabulary,
    WordVocabulary,
    as_sequences,
    check_missing,
    fill_missing,
    fit_vocabulary,
    guess_columns,
    labelled_sequences,
    read_folders,
    read_ts,
    sequence_names,
    table_of,
    vocabulary_from_json,
)
from elman.nn import Pooling
from elman.ops import is_whole
from elman.train import BPTT, Run

from ._inspect import LONGEST, ROWS, Sample, need_of_examples
from ._options import check_known, check_vocabulary_size, check_whole
from ._pooled_network import Examples, PooledNetwork, batch_of, outputs_of
from ._supervised import Pairs, SupervisedEstimator, check_pairs
from ._word_features import Sentence, WordFeatures, check_word_dropouts

LEVELS = ("characters", "words", "subwords")


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceEstimator(SupervisedEstimator):
    """A many-to-one task; abstract."""

    level: str = "words"
    vocabulary_size: int = 20_000
    lowercase: bool = True
    embedding_size: int | None = None
    character_size: int = 0
    word_dropout: float = 0.0
    rare_word_dropout: float = 0.0
    character_dropout: float | None = None
    bidirectional: bool = False
    pooling: str = "last"
    missing: str = "error"
    bptt: str = "full"
    bptt_steps: int = 100

    @abstractmethod
    def _read_targets(self, y: Any, train: Any) -> Any:
        """The targets in numbers; the rows that train are given where they are known already."""

    @abstractmethod
    def _outputs(self) -> int:
        """Outputs of the network."""

    @abstractmethod
    def _figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        """How well outputs fit targets; "loss" among the figures."""

    def _prepare(
        self, inputs: list[Any], targets: Any, rows: Any, seed: int, where: str
    ) -> tuple[Pairs, Any, Any]:
        # the rows to hold out are chosen by class
        read = self._read_targets(targets, None if rows is None else rows[0])
        return super()._prepare(inputs, read, rows, seed, where)

    def _forget(self) -> None:
        self.mel_ = LogMel()

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        encoded = self._learn_inputs([inputs[i] for i in train], inputs, where)
        if self.is_text_:
            ids = np.concatenate([_ids_of(encoded[i]) for i in train])
            self.word_counts_ = np.bincount(ids, minlength=len(self.vocabulary_))
        return Pairs(encoded, targets)

    def _batches(self, train: Pairs, seed: int) -> Examples:
        return Examples(train.inputs, train.targets, batch_size=self.batch_size, seed=seed)

    def _measure(self, pairs: Pairs) -> dict[str, float]:
        found = outputs_of(self.module_, pairs.inputs, self.batch_size)
        return self._figures(found, pairs.targets)

    def evaluate(
        self, X: Any, y: Any = None, *, columns: Columns | None = None
    ) -> dict[str, float]:
        """Measures the model on labelled sequences, given as for `fit`."""
        self._check_fitted()
        where = f"{type(self).__name__}.evaluate"
        sequences, y, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        outputs = self._raw(sequences, where)
        return self._figures(outputs, self._known_targets(y, where))

    def _unlabelled(self, X: Any, where: str) -> list[Any]:
        """Sequences to predict for; a table's label column may be missing."""
        self._check_fitted()
        known = self.columns_
        columns = None if known is None else replace(known, label=None)
        return self._read(X, None, columns, where, labelled=False)[0]

    def _sample(self, X: Any, where: str) -> Sample:
        columns = self.columns_
        given = None if _folder(X) is not None or _is_ts(X) else table_of(X, where)
        if columns is None or given is None or columns.label not in given[0].column_names:
            inputs = self._inputs(self._unlabelled(X, where), where)
            return self._sample_of(Pairs(inputs, []), None)
        sequences, y, _ = self._read(X, None, columns, where, labelled=True)
        pairs = Pairs(self._inputs(sequences, where), self._known_targets(y, where))
        return self._sample_of(pairs, pairs)

    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        x, lengths = batch_of([one[-LONGEST:] for one in shown.inputs[:ROWS]])
        found = None
        if everything is not None:
            inputs, targets = [_ids_of(one) for one in everything.inputs], everything.targets
            found = need_of_examples(inputs, targets, are_tokens=self.is_text_)
        tokens = None
        if self.is_text_:
            tokens = [
                self.vocabulary_.decode([int(one)]) for one in _ids_of(shown.inputs[0])[-LONGEST:]
            ]
        return Sample(
            lambda: self.module_(x.to(self._device), lengths),
            found,
            self._window(),
            tokens,
            "body.layers",
        )

    def _window(self) -> int | None:
        """Steps that gradients flow through in training; None for all."""
        return self.bptt_steps if self.bptt == "truncated" else None

    def _names(self, X: Any, count: int) -> dict[str, Any]:
        """What tells the rows of a table of predictions: the ids, or the rows' numbers."""
        if (folder := _folder(X)) is not None:
            return {"file": read_folders(folder, self.mel_, labelled=False).names}
        if _is_ts(X):
            return {"row": list(range(1, count + 1))}
        given = table_of(X, type(self).__name__)
        if given is not None and self.columns_ is not None and self.columns_.id is not None:
            name = self.columns_.id
            return {name: list(dict.fromkeys(given[0][name].to_pylist()))}
        return {"row": list(range(1, count + 1))}

    @abstractmethod
    def _known_targets(self, y: Any, where: str) -> Any:
        """Targets of a fitted estimator."""

    def _raw(self, sequences: list[Any], where: str) -> Any:
        """The network's outputs."""
        self._check_fitted()
        return outputs_of(self.module_, self._inputs(sequences, where), self.batch_size)

    def _read(
        self, X: Any, y: Any, columns: Columns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        """Sequences and targets from whatever they came in."""
        if (folder := _folder(X)) is not None:
            read = read_folders(folder, self.mel_, labelled=labelled)
            self.mel_ = read.mel
            self._check_sequences(read.sequences, str(X), read.names)
            return read.sequences, read.labels, {"source": str(X)}
        if _is_ts(X):
            sequences, labels = read_ts(X)
            check_pairs(sequences, labels, str(X), labelled=labelled)
            rows = [f"row {row}" for row in range(1, len(sequences) + 1)]
            self._check_sequences(sequences, str(X), rows)
            return sequences, labels, {"source": str(X)}
        given = table_of(X, where) if y is None else None
        if given is not None:
            table, name = given
            chosen = guess_columns(table, columns or Columns(), name, labelled=labelled)
            sequences, found = labelled_sequences(table, chosen, self.missing, name)
            if chosen.text is not None:
                self._check_texts(sequences, name)
            self._check_sequences(sequences, name, sequence_names(table, chosen))
            data = {"source": name, "columns": chosen.describe(), "chosen": chosen}
            return sequences, found, data
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give a list of sequences.")
        sequences: list[Any] = list(X)
        check_pairs(sequences, y, where, labelled=labelled)
        self._check_sequences(sequences, where, None)
        return sequences, y, {"source": f"{len(sequences)} sequences"}

    def _check_sequences(self, sequences: list[Any], where: str, names: list[str] | None) -> None:
        """Refuses numbers that are none to learn from, while it is known what they are called."""
        if not any(isinstance(one, str) for one in sequences):
            check_missing(as_sequences(sequences, where, names), self.missing, where, names)

    def _check_texts(self, texts: list[str], where: str) -> None:
        """Refuses a table's texts in which nothing stands."""
        for row, text in enumerate(texts, 1):
            # a blank is a character like others
            if not (text if self.level == "characters" else text.strip()):
                raise ValueError(f"{where}: the text of row {row} is empty; drop that row.")

    def _learn_inputs(self, train: list[Any], sequences: list[Any], where: str) -> list[Any]:
        """Learns the vocabulary or the scale from the training part, and encodes everything."""
        self.is_text_ = all(isinstance(s, str) for s in sequences)
        if self.is_text_:
            self.vocabulary_ = self._vocabulary(train)
            self.characters_ = None
            if self.character_size:
                self.characters_ = CharacterVocabulary.fit([iter(train)])
        else:
            arrays = self._arrays(train, where)
            width = arrays[0].shape[1]
            self.features_ = width // 2 if self.missing == "mask" else width
            self.scaler_ = Scaler.fit([a[:, : self.features_] for a in arrays])
        return self._inputs(sequences, where)

    def _inputs(self, sequences: list[Any], where: str) -> list[Any]:
        """Token ids, or scaled numbers."""
        if self.is_text_:
            spelled: dict[str, Any] = {}
            ids = [self._ids(text, row, where, spelled) for row, text in enumerate(sequences)]
            for row, one in enumerate(ids):
                if len(one) == 0:
                    raise ValueError(f"{where}: sequence {row} is empty; drop it.")
            return ids
        arrays = self._arrays(sequences, where)
        n = self.features_
        if arrays[0].shape[1] != n * (2 if self.missing == "mask" else 1):
            raise ValueError(
                f"{where}: the sequences have {arrays[0].shape[1]} features, the model was trained"
                f" on {n}; give the same."
            )
        # scaled before anything is rounded; behind the numbers is whether they were there
        return [
            np.concatenate([self.scaler_.transform(a[:, :n]), a[:, n:]], 1, dtype=np.float32)
            for a in arrays
        ]

    def _ids(self, text: Any, row: int, where: str, spelled: dict[str, Any]) -> Any:
        if not isinstance(text, str):
            raise TypeError(
                f"{where}: sequence {row} is a {type(text).__name__}, the others are texts."
            )
        ids = self.vocabulary_.encode(text).astype(np.int64)
        if self.characters_ is None:
            return ids
        words = WordVocabulary.split(text)
        for word in words:
            if word not in spelled:
                spelled[word] = self.characters_.encode(word).astype(np.int64)
        return Sentence(ids, [spelled[word] for word in words])

    def _arrays(self, sequences: list[Any], where: str) -> list[Any]:
        return fill_missing(as_sequences(sequences, where), self.missing, where)

    def _vocabulary(self, texts: list[str]) -> Vocabulary:
        documents = (iter([text]) for text in texts)
        return fit_vocabulary(
            self.level,
            documents,
            max_size=self.vocabulary_size,
            min_count=2,
            lowercase=self.lowercase,
        )

    def _network(self) -> PooledNetwork:
        if self.is_text_:
            inputs, size = len(self.vocabulary_), self.embedding_size or 64
        else:
            inputs, size = self.features_ * (2 if self.missing == "mask" else 1), None
        network = PooledNetwork(
            self,
            inputs,
            self._outputs(),
            embedding_size=size,
            words=self._words(inputs, size),
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            bptt=self.bptt,
            bptt_steps=self.bptt_steps,
        )
        self._to_device(network)
        return network

    def _words(self, words: int, size: int | None) -> WordFeatures | None:
        """What words are known by, where their characters count too."""
        if not self.is_text_ or self.characters_ is None:
            return None
        return WordFeatures(
            self,
            words,
            len(self.characters_),
            embedding_size=size or 1,
            character_size=self.character_size,
            word_dropout=self.word_dropout,
            rare_word_dropout=self.rare_word_dropout,
            character_dropout=self.character_dropout,
            counts=self.word_counts_,
        )

    def _check(self) -> None:
        where = type(self).__name__
        if self.character_size != 0 and not is_whole(self.character_size):
            raise ValueError(
                f"{where}: character_size={self.character_size!r}; give a whole number, 0 for none."
            )
        if self.character_size and self.level != "words":
            raise ValueError(
                f"{where}: character_size={self.character_size} with level={self.level!r}; only"
                " words have characters of their own."
            )
        check_word_dropouts(self)
        check_known(self, where, level=LEVELS, bptt=BPTT)
        if self.bptt == "truncated" and self.bidirectional:
            raise ValueError(
                f'{where}: bptt="truncated" keeps the last steps of a sequence, and bidirectional='
                'True reads from both ends; give bptt="checkpointed" to save memory.'
            )
        check_whole(self, where, ("bptt_steps",), or_none=("embedding_size",))
        check_vocabulary_size(self, where)
        Pooling(self.pooling, 1)
        super()._check()

    def _fitted(self) -> dict[str, Any]:
        fitted: dict[str, Any] = {"is_text": self.is_text_, "columns": None}
        fitted["mel"] = asdict(self.mel_)
        if self.columns_ is not None:
            fitted["columns"] = asdict(self.columns_)
        if not self.is_text_:
            fitted |= {"features": self.features_, "scaler": self.scaler_.to_json()}
        return fitted

    def _write_fitted(self, run: Run) -> None:
        if self.is_text_:
            run.write_json("vocabulary.json", self.vocabulary_.to_json())
            if self.characters_ is not None:
                run.write_json("characters.json", self.characters_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.is_text_ = bool(fitted["is_text"])
        # runs of before know of no sounds
        self.mel_ = LogMel(**fitted.get("mel", {}))
        self.columns_ = None if fitted["columns"] is None else Columns.from_json(fitted["columns"])
        if self.is_text_:
            self.vocabulary_ = vocabulary_from_json(run.read_json("vocabulary.json"))
            self.characters_ = None
            if self.character_size:
                self.characters_ = vocabulary_from_json(run.read_json("characters.json"))
                self.word_counts_ = None
        else:
            self.features_ = int(fitted["features"])
            self.scaler_ = Scaler.from_json(fitted["scaler"])
        self.module_ = self._network()


def _folder(X: Any) -> Path | None:
    """X, if it is a folder whose folders are classes."""
    return X if isinstance(X, Path) and X.is_dir() else None


def _is_ts(X: Any) -> bool:
    """Whether X is a file of a time-series archive."""
    return isinstance(X, Path) and X.name.removesuffix(".gz").endswith(".ts")


def _ids_of(sequence: Any) -> Any:
    """A sequence of tokens without the spelling of its words."""
    return sequence.ids if isinstance(sequence, Sentence) else sequence


def softmax(outputs: Any) -> Any:
    """Probabilities (N, C)."""
    return torch.softmax(torch.from_numpy(outputs), -1).numpy()

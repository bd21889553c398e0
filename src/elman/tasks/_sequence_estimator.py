"""What the classifier and the regressor share: reading sequences, the network, the held-out
part.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from elman.data import (
    CharacterVocabulary,
    Columns,
    Scaler,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    as_sequences,
    fill_missing,
    guess_columns,
    labelled_sequences,
    pad,
    table_of,
    vocabulary_from_json,
)
from elman.nn import Pooling
from elman.train import BPTT, Run

from ._estimator import Estimator
from ._inspect import LONGEST, ROWS, Sample, need_of_examples
from ._pooled_network import Examples, PooledNetwork, Supervised, outputs_of

LEVELS = ("characters", "words", "subwords")


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceEstimator(Estimator):
    """A many-to-one task; abstract."""

    level: str = "words"
    vocabulary_size: int = 20_000
    lowercase: bool = True
    embedding_size: int | None = None
    bidirectional: bool = False
    pooling: str = "last"
    missing: str = "error"
    bptt: str = "full"
    bptt_steps: int = 100
    validation_fraction: float = 0.1

    @abstractmethod
    def _read_targets(self, y: Any) -> Any:
        """The targets as the loss wants them; sets what prediction needs."""

    @abstractmethod
    def _outputs(self) -> int:
        """Outputs of the network."""

    @abstractmethod
    def _objective(self, network: PooledNetwork, targets: Any) -> Supervised:
        """How the network is trained."""

    @abstractmethod
    def _figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        """How well outputs fit targets; "loss" among the figures."""

    @abstractmethod
    def _split(self, targets: Any, seed: int) -> tuple[Any, Any]:
        """Row numbers to train on and to hold out."""

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        run: str | Path | None = None,
        columns: Columns | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns from labelled sequences.

        Args:
            X: a list of texts, a list of arrays (T_i, I), an array (N, T, I); or, without y, a
                table: a data frame, a dict of columns, or a `pathlib.Path` of a .csv, .tsv, .jsonl
                    or .parquet file.
            y: the targets, one for each sequence.
            run: a folder to keep the run in; the same call goes on with one that was cut off.
            columns: which columns of a table hold what; guessed where not given.
            progress: whether to show a live line.

        Returns:
            The estimator.

        Raises:
            ValueError: an option, the data or the run folder does not fit.
        """
        self._check()
        where = f"{type(self).__name__}.fit"
        self.columns_ = columns
        sequences, y, data = self._read(X, y, columns, where, labelled=True)
        opened = self._begin(run, {**data, "content": _digest(sequences, y)})
        if opened is not None and opened.finished:
            self._reopen(opened)
            return self
        seed = self._seed()
        with self._preparing(opened):
            targets = self._read_targets(y)
            train, held = self._split(targets, seed)
            inputs = self._learn_inputs([sequences[i] for i in train], sequences, where)
            self._write_fitted_to(opened)
        self._fit_examples(inputs, targets, train, held, seed, opened, progress)
        return self

    def _fit_examples(
        self,
        inputs: list[Any],
        targets: Any,
        train: Any,
        held: Any,
        seed: int,
        run: Run | None,
        progress: bool,
    ) -> None:
        network = self._network()
        examples = Examples(
            [inputs[i] for i in train], targets[train], batch_size=self.batch_size, seed=seed
        )

        def evaluate() -> dict[str, float]:
            found = outputs_of(network, [inputs[i] for i in held], self.batch_size)
            return self._figures(found, targets[held])

        measured = evaluate if len(held) else None
        objective = self._objective(network, targets[train])
        shown = [inputs[i] for i in (held if len(held) else train)]
        self._learn(
            objective,
            examples,
            measured,
            run,
            progress,
            lambda asks: self._sample_of(shown, inputs, targets if asks else None),
        )
        results = {"sequences": len(inputs), **(evaluate() if len(held) else {})}
        self._finish(run, results)

    def evaluate(
        self, X: Any, y: Any = None, *, columns: Columns | None = None
    ) -> dict[str, float]:
        """Measures the model on labelled sequences, given as for `fit`."""
        self._check_fitted()
        where = f"{type(self).__name__}.evaluate"
        sequences, y, _ = self._read(X, y, columns or self.columns_, where, labelled=True)
        outputs = self._raw(sequences, where)
        return self._figures(outputs, self._known_targets(y, where))

    @abstractmethod
    def predictions(self, X: Any) -> dict[str, Any]:
        """The predictions for each sequence of a table, as columns."""

    def _unlabelled(self, X: Any, where: str) -> list[Any]:
        """Sequences to predict for; a table's label column may be missing."""
        self._check_fitted()
        known = self.columns_
        columns = None if known is None else replace(known, label=None)
        return self._read(X, None, columns, where, labelled=False)[0]

    def _sample(self, X: Any, where: str) -> Sample:
        columns = self.columns_
        given = table_of(X, where)
        if columns is None or given is None or columns.label not in given[0].column_names:
            inputs = self._inputs(self._unlabelled(X, where), where)
            return self._sample_of(inputs, inputs, None)
        sequences, y, _ = self._read(X, None, columns, where, labelled=True)
        inputs = self._inputs(sequences, where)
        return self._sample_of(inputs, inputs, self._known_targets(y, where))

    def _sample_of(self, shown: list[Any], inputs: list[Any], targets: Any) -> Sample:
        """The first of the sequences to look at; with targets all are asked how far back their
        answer lies.
        """
        x, lengths = pad([one[-LONGEST:] for one in shown[:ROWS]])
        found = None
        if targets is not None:
            found = need_of_examples(inputs, targets, are_tokens=self.is_text_)
        tokens = None
        if self.is_text_:
            tokens = [self.vocabulary_.decode([int(one)]) for one in shown[0][-LONGEST:]]
        return Sample(
            lambda: self.module_(x.to(self._device), lengths), found, self._window(), tokens
        )

    def _window(self) -> int | None:
        """Steps that gradients flow through in training; None for all."""
        return self.bptt_steps if self.bptt == "truncated" else None

    def _names(self, X: Any, count: int) -> dict[str, Any]:
        """What tells the rows of a table of predictions: the ids, or the rows' numbers."""
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
        given = table_of(X, where) if y is None else None
        if given is not None:
            table, name = given
            chosen = guess_columns(table, columns or Columns(), name, labelled=labelled)
            sequences, found = labelled_sequences(table, chosen, self.missing, name)
            return sequences, found, {"source": name, "columns": chosen.describe()}
        if isinstance(X, str):
            raise TypeError(f"{where}: X is a str ({X[:30]!r}…); give a list of sequences.")
        sequences = list(X)
        if labelled and y is None:
            raise ValueError(f"{where}: y is missing; give a target for each sequence.")
        if y is not None and len(y) != len(sequences):
            raise ValueError(
                f"{where}: {len(sequences)} sequences and {len(y)} targets; give one for each."
            )
        if not sequences:
            raise ValueError(f"{where}: there are no sequences; give at least one.")
        return sequences, y, {"source": f"{len(sequences)} sequences"}

    def _learn_inputs(self, train: list[Any], sequences: list[Any], where: str) -> list[Any]:
        """Learns the vocabulary or the scale from the training part, and encodes everything."""
        self.is_text_ = all(isinstance(s, str) for s in sequences)
        if self.is_text_:
            self.vocabulary_ = self._vocabulary(train)
        else:
            arrays = self._arrays(train, where)
            width = arrays[0].shape[1]
            self.features_ = width // 2 if self.missing == "mask" else width
            self.scaler_ = Scaler.fit([a[:, : self.features_] for a in arrays])
        return self._inputs(sequences, where)

    def _inputs(self, sequences: list[Any], where: str) -> list[Any]:
        """Token ids, or scaled numbers."""
        if self.is_text_:
            ids = [self._ids(text, row, where) for row, text in enumerate(sequences)]
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
        return [np.concatenate([self.scaler_.transform(a[:, :n]), a[:, n:]], 1) for a in arrays]

    def _ids(self, text: Any, row: int, where: str) -> Any:
        if not isinstance(text, str):
            raise TypeError(
                f"{where}: sequence {row} is a {type(text).__name__}, the others are texts."
            )
        return self.vocabulary_.encode(text).astype(np.int64)

    def _arrays(self, sequences: list[Any], where: str) -> list[Any]:
        return fill_missing(as_sequences(sequences, where), self.missing, where)

    def _vocabulary(self, texts: list[str]) -> Vocabulary:
        documents = (iter([text]) for text in texts)
        if self.level == "characters":
            return CharacterVocabulary.fit(documents)
        if self.level == "subwords":
            return SubwordVocabulary.fit(documents, max_size=self.vocabulary_size)
        return WordVocabulary.fit(
            documents, max_size=self.vocabulary_size, min_count=2, lowercase=self.lowercase
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
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            bptt=self.bptt,
            bptt_steps=self.bptt_steps,
        )
        self._to_device(network)
        return network

    def _check(self) -> None:
        where = type(self).__name__
        if self.level not in LEVELS:
            raise ValueError(
                f"{where}: level={self.level!r} is not known; give one of {', '.join(LEVELS)}."
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"{where}: validation_fraction={self.validation_fraction}; give 0 up to below 1."
            )
        if self.bptt not in BPTT:
            raise ValueError(
                f"{where}: bptt={self.bptt!r} is not known; give one of {', '.join(BPTT)}."
            )
        if self.bptt == "truncated" and self.bidirectional:
            raise ValueError(
                f'{where}: bptt="truncated" keeps the last steps of a sequence, and bidirectional='
                'True reads from both ends; give bptt="checkpointed" to save memory.'
            )
        if self.bptt_steps < 1:
            raise ValueError(
                f"{where}: bptt_steps={self.bptt_steps!r}; give a whole number above zero."
            )
        Pooling(self.pooling, 1)

    def _fitted(self) -> dict[str, Any]:
        fitted: dict[str, Any] = {"is_text": self.is_text_, "columns": None}
        if self.columns_ is not None:
            fitted["columns"] = asdict(self.columns_)
        if not self.is_text_:
            fitted |= {"features": self.features_, "scaler": self.scaler_.to_json()}
        return fitted

    def _write_fitted_to(self, run: Run | None) -> None:
        if run is not None:
            self._write_fitted(run)

    def _write_fitted(self, run: Run) -> None:
        if self.is_text_:
            run.write_json("vocabulary.json", self.vocabulary_.to_json())

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.is_text_ = bool(fitted["is_text"])
        self.columns_ = None if fitted["columns"] is None else Columns.from_json(fitted["columns"])
        if self.is_text_:
            self.vocabulary_ = vocabulary_from_json(run.read_json("vocabulary.json"))
        else:
            self.features_ = int(fitted["features"])
            self.scaler_ = Scaler.from_json(fitted["scaler"])
        self.module_ = self._network()


def _digest(sequences: list[Any], y: Any) -> str:
    """Tells whether two runs had the same data."""
    digest = hashlib.sha256()
    for one in sequences:
        content = one.encode() if isinstance(one, str) else np.asarray(one).tobytes()
        digest.update(content + b"\0")
    digest.update(repr(list(y)).encode())
    return digest.hexdigest()[:16]


def softmax(outputs: Any) -> Any:
    """Probabilities (N, C)."""
    return torch.softmax(torch.from_numpy(outputs), -1).numpy()

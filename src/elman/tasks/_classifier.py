"""Many to one: which class is a sequence of?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import train_test_split

from elman.data import Columns
from elman.ops import is_number
from elman.train import Run

from ._options import check_part
from ._pooled_network import PooledNetwork, Supervised
from ._sequence_estimator import SequenceEstimator, softmax
from ._supervised import Pairs


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Tells the class of a sequence: of a text, or of numbers of unequal length.

    `fit` takes lists of texts or of arrays (T_i, I) with their classes; or, without y, a data
    frame, a dict of columns, or a `pathlib.Path` of a .csv, .tsv, .jsonl, .parquet or .ts file, or
    of a folder whose folders are classes, of texts, sounds or features.

    Args:
        level: for texts, what a token is: "words", "characters" or "subwords".
        vocabulary_size: for texts, tokens at most.
        lowercase: for texts, whether words are lower-cased.
        embedding_size: for texts, features of a token; 64 if None.
        character_size: for words, units of a layer over their characters, in each direction, that
            is beside the embedding; 0 for none.
        word_dropout: for words with characters, probability with which training takes a word for
            an unknown one.
        rare_word_dropout: for words with characters, a: training takes a word that it has n times
            for an unknown one with probability a / (a + n) too.
        character_dropout: on the features of a word's characters; as `dropout` or
            `input_dropout`, the higher one, if None.
        bidirectional: whether the layers read from both ends.
        pooling: how the steps become one vector: "last", "mean", "max" or "attention".
        class_weight: None, "balanced", or a dict from class, or its name, to weight, 0 or above.
        label_smoothing: the part of the target that is spread over all classes in training, so
            that the model grows less sure of itself (Szegedy et al. 2016).
        missing: for numbers, what to do about NaN: "error", "ffill" or "mask" (also an input).
        validation_fraction: the part of the sequences that is held out, each class alike, or a
            sequence of each where the part is too small for that; 0 for none.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        classes_: the classes, sorted.
        module_: the network.
        results_: "loss", "accuracy" and "macro_f1" on the held-out part.

    Example:
        >>> import numpy as np
        >>> X = [np.ones((3 + i % 4, 1)) * (i % 2) for i in range(40)]
        >>> y = ["low" if i % 2 == 0 else "high" for i in range(40)]
        >>> model = SequenceClassifier(hidden_size=8, epochs=8, lr=0.02).fit(X, y)
        >>> model.predict([np.ones((5, 1))]).tolist()
        ['high']
    """

    task: ClassVar[str] = "classify"
    class_weight: Any = None
    label_smoothing: float = 0.0

    def predict(self, X: Any) -> Any:
        """The class of each sequence, (N,)."""
        p = self.predict_proba(X)
        return self.classes_[p.argmax(1)]

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, (N, C), in the order of `classes_`."""
        where = "SequenceClassifier.predict"
        return softmax(self._raw(self._unlabelled(X, where), where))

    def predictions(self, X: Any) -> dict[str, Any]:
        """The class and its probability, and that of each class, for each sequence of a table, as
        columns.
        """
        p = self.predict_proba(X)
        found = {"prediction": self.classes_[p.argmax(1)].tolist(), "probability": p.max(1)}
        found |= {f"p_{name}": p[:, i] for i, name in enumerate(self.classes_.tolist())}
        return {**self._names(X, len(p)), **found}

    def _check(self) -> None:
        super()._check()
        check_part(self, "SequenceClassifier", "label_smoothing")

    def _read(
        self, X: Any, y: Any, columns: Columns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        sequences, y, data = super()._read(X, y, columns, where, labelled=labelled)
        if labelled:
            _check_labels(y, where)
        return sequences, y, data

    def _read_targets(self, y: Any, train: Any) -> Any:
        where = "SequenceClassifier.fit"
        labels = np.asarray(y if train is None else [y[i] for i in train])
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{where}: all labels are {self.classes_.tolist()[0]!r};"
                " give sequences of two classes or more."
            )
        self._check_weights()
        # a class that training does not have cannot be told
        return targets if train is None else self._known_targets(y, where)

    def _known_targets(self, y: Any, where: str) -> Any:
        index = {label: i for i, label in enumerate(self.classes_.tolist())}
        # a file whose labels are all digits holds numbers, and another one of the same kind strings
        names = {str(label): i for label, i in index.items()}
        given = np.asarray(y).tolist()
        found = [index.get(one, names.get(str(one))) for one in given]
        unseen = sorted({str(one) for one, at in zip(given, found, strict=True) if at is None})
        if unseen:
            raise ValueError(
                f"{where}: the label {unseen[0]!r} was not seen in training; the classes are"
                f" {', '.join(map(repr, self.classes_.tolist()))}."
            )
        return np.array(found)

    def _outputs(self) -> int:
        return len(self.classes_)

    def _objective(self, network: PooledNetwork, train: Pairs) -> Supervised:
        weights = None
        if self.class_weight is not None:
            weights = torch.tensor(self._weights(train.targets), dtype=torch.float32)
            weights = weights.to(network.body.head.weight.device)
        smoothing = self.label_smoothing
        return Supervised(network, classes=True, weights=weights, label_smoothing=smoothing)

    def _check_weights(self) -> None:
        given: Any = self.class_weight
        labels = self.classes_.tolist()
        if given is None or given == "balanced":
            return
        if not isinstance(given, dict) or set(map(str, given)) - set(map(str, labels)):
            raise ValueError(
                f"SequenceClassifier: class_weight={given!r};"
                f" give None, 'balanced', or a dict over {', '.join(map(repr, labels))}."
            )
        weights: list[Any] = list(given.values())
        are_numbers = all(is_number(one) and 0 <= one < float("inf") for one in weights)
        if not are_numbers or not any(self._given_weights(given)):
            raise ValueError(
                f"SequenceClassifier: class_weight={given!r}; give numbers from 0 on, one of them"
                " above 0."
            )

    def _given_weights(self, given: dict[Any, float]) -> list[float]:
        """The weight of each class. Keys of a file of options are texts, whatever the labels."""
        by_name = {str(label): float(weight) for label, weight in given.items()}
        return [by_name.get(str(label), 1.0) for label in self.classes_.tolist()]

    def _weights(self, targets: Any) -> list[float]:
        labels = self.classes_.tolist()
        if self.class_weight == "balanced":
            counts = np.bincount(targets, minlength=len(labels))
            return (len(targets) / (len(labels) * np.maximum(counts, 1))).tolist()
        return self._given_weights(self.class_weight)

    def _split(self, targets: Any, seed: int) -> tuple[Any, Any]:
        rows = np.arange(len(targets))
        counts = np.bincount(targets)
        held = round(len(rows) * self.validation_fraction)
        # every class needs a row on either side; the only one of a class trains
        several, kinds = rows[counts[targets] > 1], int((counts > 1).sum())
        if not held:
            return rows, rows[:0]
        if not kinds:
            warnings.warn(
                "SequenceClassifier.fit: every class has one sequence, and nothing is held out to"
                " measure the model; give more of each, or a validation of its own.",
                stacklevel=2,
            )
            return rows, rows[:0]
        if held < kinds or len(several) - held < kinds:
            held_out = _held_out(several, targets, held, seed)
        else:
            _, held_out = train_test_split(
                several, test_size=held, stratify=targets[several], random_state=seed % 2**32
            )
        return np.setdiff1d(rows, held_out), np.sort(held_out)

    def _figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        if not np.isfinite(outputs).all():
            return {"loss": float("nan")}
        p, found = softmax(outputs), outputs.argmax(1)
        figures = {
            "loss": float(log_loss(targets, p, labels=np.arange(len(self.classes_)))),
            "accuracy": float(accuracy_score(targets, found)),
            "macro_f1": float(f1_score(targets, found, average="macro")),
        }
        if len(self.classes_) == 2:
            figures[f"f1_{self.classes_[1]}"] = float(f1_score(targets, found))
        return figures

    def _fitted(self) -> dict[str, Any]:
        return {**super()._fitted(), "classes": self.classes_.tolist()}

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.classes_ = np.array(fitted["classes"])
        super()._restore(run, fitted)


def _held_out(several: Any, targets: Any, held: int, seed: int) -> Any:
    """The rows to hold out of classes of several rows, where the part that was asked for has fewer
    rows than there are classes, or leaves fewer.
    """
    order = np.random.default_rng(seed).permutation(several)
    # one of each class
    first = np.unique(targets[order], return_index=True)[1]
    if held >= len(first):
        return np.setdiff1d(several, order[first])
    # where classes are many and small, one of each would be too much of the data
    return order[first] if len(first) <= 2 * held else order[np.sort(first)[:held]]


def _check_labels(labels: Any, where: str) -> None:
    """Refuses labels that a run folder cannot hold.

    Raises:
        ValueError: one is neither a text nor a number, or there is none.
    """
    for row, one in enumerate(labels):
        if one is None or (isinstance(one, float | np.floating) and np.isnan(one)):
            raise ValueError(
                f"{where}: y[{row}] is {one}, no label; give one, or drop that sequence."
            )
        if not isinstance(one, str | int | float | np.number | np.bool_):
            raise ValueError(
                f"{where}: the label {str(one)!r} is a {type(one).__name__}; give texts or numbers"
                " as labels."
            )

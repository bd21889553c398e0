"""What the tasks with examples share: each has an input and a target, and some are held out."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from elman.train import Run

from ._estimator import Estimator
from ._inspect import Sample
from ._options import check_part


@dataclass(frozen=True)
class Pairs:
    """Inputs and their targets, as the network takes them."""

    inputs: Sequence[Any]
    targets: Any

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Any) -> Pairs:
        """Those with these numbers."""
        if isinstance(self.targets, np.ndarray):
            return Pairs([self.inputs[i] for i in rows], self.targets[rows])
        return Pairs([self.inputs[i] for i in rows], [self.targets[i] for i in rows])


@dataclass(kw_only=True, eq=False, repr=False)
class SupervisedEstimator(Estimator):
    """A task that learns from inputs with targets; abstract."""

    validation_fraction: float = 0.1

    def _check(self) -> None:
        check_part(self, type(self).__name__, "validation_fraction")
        super()._check()

    def _forget(self) -> None:
        """Sets what reading finds out, and keeps from one reading to the next, to its start."""

    @abstractmethod
    def _read(
        self, X: Any, y: Any, columns: Any, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        """Inputs and targets from whatever they came in, and what to note about the data."""

    @abstractmethod
    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        """Learns vocabularies, scales and the like from the training part, and encodes all."""

    @abstractmethod
    def _network(self) -> Any:
        """The network, with fresh weights."""

    @abstractmethod
    def _objective(self, network: Any, train: Pairs) -> Any:
        """How the network is trained."""

    @abstractmethod
    def _batches(self, train: Pairs, seed: int) -> Any:
        """The training part in batches."""

    @abstractmethod
    def _measure(self, pairs: Pairs) -> dict[str, float]:
        """How well the network does; "loss" among the figures."""

    @abstractmethod
    def _sample_of(self, shown: Pairs, everything: Pairs | None) -> Sample:
        """The first of the shown to look at the gradient with; with everything that there is, all
        are asked how far back their answer lies.
        """

    def _split(self, targets: Any, seed: int) -> tuple[Any, Any]:
        """Row numbers to train on and to hold out."""
        order = np.random.default_rng(seed).permutation(len(targets))
        held = round(len(targets) * self.validation_fraction)
        return np.sort(order[held:]), np.sort(order[:held])

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        run: str | Path | None = None,
        columns: Any = None,
        validation: Any = None,
        progress: bool = False,
    ) -> Self:
        """Learns from examples.

        Args:
            X: the inputs, as the task takes them; or, without y, a table or a file.
            y: the targets, one for each input.
            run: a folder to keep the run in; the same call goes on with one that was cut off.
            columns: which columns of a table or file hold what; guessed where not given.
            validation: examples to choose the best weights by, instead of a part of X: a table or
                file, or a pair (X, y).
            progress: whether to show a live line.

        Returns:
            The estimator.

        Raises:
            ValueError: an option, the data or the run folder does not fit.
        """
        where = f"{type(self).__name__}.fit"
        self._check()
        self.columns_ = columns
        self._forget()
        inputs, targets, data = self._read(X, y, columns, where, labelled=True)
        # what was guessed holds for every other table too
        self.columns_ = columns = data.pop("chosen", columns)
        own = len(inputs)
        data |= {"content": _digest(inputs, targets, is_read=y is None)}
        if validation is not None:
            held_x, held_y = validation if isinstance(validation, tuple) else (validation, None)
            held_where = f"{where}, validation"
            more, more_y, held_data = self._read(held_x, held_y, columns, held_where, labelled=True)
            inputs, targets = [*inputs, *more], [*targets, *more_y]
            # of its own: a row that moves from one part to the other makes another run
            held_content = _digest(more, more_y, is_read=held_y is None)
            data |= {"validation": held_data["source"], "validation_content": held_content}
        with self._begin(run, {k: one for k, one in data.items() if k != "names"}) as opened:
            if opened is not None and opened.finished:
                self._reopen(opened)
                return self
            seed = self._seed()
            rows = None if validation is None else (np.arange(own), np.arange(own, len(inputs)))
            pairs, train, held = self._prepare(inputs, targets, rows, seed, where)
            if opened is not None:
                self._write_fitted(opened)
            known = Pairs(inputs, targets).take(held)
            self._fit_pairs(pairs, train, held, known, seed, opened, progress)
        return self

    def _prepare(
        self, inputs: list[Any], targets: Any, rows: Any, seed: int, where: str
    ) -> tuple[Pairs, Any, Any]:
        """All examples, and which of them train and which are held out."""
        train, held = rows or self._split(targets, seed)
        return self._learn_from(inputs, targets, train, where), train, held

    def _fit_pairs(
        self,
        pairs: Pairs,
        train: Any,
        held: Any,
        known: Pairs,
        seed: int,
        run: Run | None,
        progress: bool,
    ) -> None:
        self.module_ = self._network()
        taught, held_out = pairs.take(train), pairs.take(held)
        is_held = len(held) > 0

        def evaluate() -> dict[str, float]:
            return self._measure(held_out)

        shown = held_out if is_held else taught
        self._learn(
            self._objective(self.module_, taught),
            self._batches(taught, seed),
            evaluate if is_held else None,
            run,
            progress,
            lambda asks: self._sample_of(shown, pairs if asks else None),
        )
        results = self._results(held_out, known) if is_held else {}
        self._finish(run, {"sequences": len(pairs), **results})

    def _results(self, held_out: Pairs, known: Pairs) -> dict[str, Any]:
        """The figures of the trained model on the held-out part, encoded and as it was given."""
        return self._measure(held_out)

    @abstractmethod
    def predictions(self, X: Any) -> dict[str, Any]:
        """What the model says about each input of a table or file, as columns."""


def mean_loss(objective: Any, batches: Any) -> float:
    """The loss over all batches, each item's weight the same."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches.epoch(0):
            loss = objective.loss(batch, None)
            total, count = total + float(loss.value) * loss.items, count + loss.items
    return total / count


def check_pairs(inputs: list[Any], y: Any, where: str, *, labelled: bool) -> None:
    """Refuses no inputs at all, and targets that are missing or of another number.

    Raises:
        ValueError: so it is.
    """
    if labelled and y is None:
        raise ValueError(f"{where}: y is missing; give a target for each sequence.")
    if y is not None and len(y) != len(inputs):
        raise ValueError(
            f"{where}: {len(inputs)} sequences and {len(y)} targets; give one for each."
        )
    if not inputs:
        raise ValueError(f"{where}: there are no sequences; give at least one.")


def check_finite(sequences: Sequence[Any], where: str, first: int) -> None:
    """Refuses NaN and infinite numbers.

    Args:
        sequences: arrays (T_i, I) or (T_i,).
        where: what messages start with, up to the number of a sequence.
        first: the number of the first sequence.

    Raises:
        ValueError: there are some; the text names the place.
    """
    for row, one in enumerate(sequences, first):
        one = np.atleast_1d(one)
        bad = ~np.isfinite(one)
        if bad.any():
            step = int(np.argwhere(bad)[0][0])
            raise ValueError(
                f"{where} {row} has {one[bad][0]} in step {step} ({int(bad.sum())} such values);"
                " mend it, or take it out."
            )


def _digest(inputs: list[Any], targets: Any, *, is_read: bool = False) -> str:
    """Tells whether two runs had the same data.

    Args:
        inputs: of the examples.
        targets: of them.
        is_read: whether they come from a table or file; their numbers are told apart by 32 bits, as
            in runs of before.
    """
    if is_read:
        inputs, targets = ([_narrowed(one) for one in part] for part in (inputs, targets))
    digest = hashlib.sha256()
    for one in inputs:
        if isinstance(one, str):
            content = one.encode("utf-8", "surrogatepass")
        elif isinstance(one, np.ndarray):
            content = one.tobytes()
        else:
            content = repr(one).encode("utf-8", "surrogatepass")
        digest.update(content + b"\0")
    digest.update(repr(list(targets)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _narrowed(one: Any) -> Any:
    if not isinstance(one, np.ndarray) or one.dtype != np.float64:
        return one
    with np.errstate(over="ignore"):
        return one.astype(np.float32)

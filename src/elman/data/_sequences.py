"""Ragged sequences: lists of arrays in, padded batches out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]


def as_sequences(X: Any, where: str, names: Sequence[str] | None = None) -> list[Array]:
    """A list of arrays (T_i, I) from lists of arrays or numbers, or one array (N, T) or (N, T, I);
    float32 stays, all other numbers become float64, for they are not scaled yet.

    Args:
        X: sequences of unequal length; 1-D ones have one feature.
        where: what the messages start with.
        names: of the sequences, for the messages; "sequence 0", and so on, if None.

    Raises:
        ValueError: a sequence is empty, has other features than the first, or is no array of
            numbers; the text names it.

    Example:
        >>> [s.shape for s in as_sequences([[1, 2, 3], [4, 5]], "fit")]
        [(3, 1), (2, 1)]
    """
    sequences: list[Array] = []
    for row, one in enumerate(X):
        try:
            is_narrow = isinstance(one, np.ndarray) and one.dtype == np.float32
            array = np.asarray(one, dtype=np.float32 if is_narrow else np.float64)
        except (ValueError, TypeError):
            raise ValueError(
                f"{where}: {_called(row, names)} is no array of numbers; give (T, I) or (T,) for"
                " each."
            ) from None
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ValueError(
                f"{where}: {_called(row, names)} has shape {array.shape}; give (T, I) or (T,) for"
                " each."
            )
        if len(array) == 0:
            raise ValueError(f"{where}: {_called(row, names)} has no steps; drop it.")
        if sequences and array.shape[1] != sequences[0].shape[1]:
            raise ValueError(
                f"{where}: {_called(row, names)} has {array.shape[1]} features, but"
                f" {_called(0, names)} has {sequences[0].shape[1]}; all need the same."
            )
        sequences.append(array)
    if not sequences:
        raise ValueError(f"{where}: there are no sequences; give at least one.")
    return sequences


def narrow(array: Array) -> Array:
    """The numbers as float32 where that holds every one of them, in half the memory; else as they
    are.

    Example:
        >>> narrow(np.array([1.0, 0.5])).dtype, narrow(np.array([1e9 + 1])).dtype
        (dtype('float32'), dtype('float64'))
    """
    with np.errstate(over="ignore"):
        small = array.astype(np.float32)
    return small if np.array_equal(small, array, equal_nan=True) else array


def deviation(numbers: Array) -> Array:
    """The standard deviation of (N,) or of each column of (N, I), float64; 0 where all numbers are
    the same, which may lie beside their mean, for it is rounded.

    Example:
        >>> deviation(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]])).round(4).tolist()
        [0.0, 0.8165]
    """
    numbers = np.asarray(numbers, dtype=np.float64)
    return np.where(numbers.max(0) > numbers.min(0), numbers.std(0), 0.0)


def _called(row: int, names: Sequence[str] | None) -> str:
    """What a sequence is called: by its name, or by its number in a list, which counts from 0."""
    return f"sequence {row}" if names is None else names[row]


def check_missing(
    sequences: Sequence[Array], missing: str, where: str, names: Sequence[str] | None = None
) -> None:
    """Refuses infinite numbers, and NaN unless something is to be done about it.

    Args:
        sequences: of (T, I) each.
        missing: as for `fill_missing`.
        where: what the message starts with.
        names: as for `as_sequences`.

    Raises:
        ValueError: a number is refused, or `missing` is not known.

    Example:
        >>> check_missing([np.array([[np.inf]])], "mask", "fit")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: fit: inf in sequence 0, step 0, feature 0 (1 such ...); mend the data.
    """
    if missing not in MISSING:
        raise ValueError(
            f"{where}: missing={missing!r} is not known; give one of {', '.join(MISSING)}."
        )
    for row, array in enumerate(sequences):
        refused = ~np.isfinite(array) if missing == "error" else np.isinf(array)
        if refused.any():
            step, feature = (int(i) for i in np.argwhere(refused)[0])
            advice = "mend the data" if missing != "error" else "mend the data, or give missing="
            ways = '"ffill" or "mask"' if missing == "error" else ""
            raise ValueError(
                f"{where}: {array[step, feature]} in {_called(row, names)}, step {step}, feature"
                f" {feature} ({int(refused.sum())} such values in that sequence); {advice}{ways}."
            )


def fill_missing(sequences: Sequence[Array], missing: str, where: str) -> list[Array]:
    """Judges NaN and infinite numbers.

    Args:
        sequences: as for `check_missing`.
        missing: "error" refuses them with their place; "ffill" carries the last value on (and the
            first one back, or 0 where a feature is never seen); "mask" does so too and adds I
            features that are 1 where a value was there.
        where: what the message starts with.

    Raises:
        ValueError: as `check_missing`.

    Example:
        >>> import numpy as np
        >>> fill_missing([np.array([[1.0], [np.nan]])], "mask", "fit")[0].tolist()
        [[1.0, 1.0], [1.0, 0.0]]
    """
    check_missing(sequences, missing, where)
    filled: list[Array] = []
    for array in sequences:
        there = ~np.isnan(array)
        values = array if there.all() else forward_fill(array)
        if missing == "mask":
            values = np.concatenate([values, there.astype(array.dtype)], 1)
        filled.append(values)
    return filled


MISSING = ("error", "ffill", "mask")
"""What may be done about missing values."""


def forward_fill(array: Array) -> Array:
    """The last value carried on over NaN, the first one carried back; 0 where a column has none."""
    there = ~np.isnan(array)
    steps = np.arange(len(array))[:, None]
    last = np.maximum.accumulate(np.where(there, steps, -1), 0)
    first = np.where(there.any(0), there.argmax(0), 0)
    index = np.where(last >= 0, last, first)
    return np.nan_to_num(np.take_along_axis(array, index, 0), nan=0.0)


class Scaler:
    """Brings every feature to mean 0 and standard deviation 1; a constant feature keeps its scale.

    Example:
        >>> import numpy as np
        >>> scaler = Scaler.fit([np.array([[1.0], [3.0]])])
        >>> scaler.transform(np.array([[3.0]])).tolist()
        [[1.0]]
    """

    def __init__(self, mean: Array, std: Array) -> None:
        self.mean, self.std = mean, std

    @classmethod
    def fit(cls, sequences: Sequence[Array]) -> Scaler:
        """Measures the features over all steps."""
        stacked = np.concatenate(sequences).astype(np.float64)
        std = deviation(stacked)
        return cls(stacked.mean(0), np.where(std > 0, std, 1.0))

    def transform(self, array: Array) -> Array:
        """Scales."""
        return ((array - self.mean) / self.std).astype(np.float32)

    def inverse(self, array: Array) -> Array:
        """Scales back."""
        return array * self.std + self.mean

    def to_json(self) -> dict[str, list[float]]:
        """The means and deviations."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, saved: dict[str, list[float]]) -> Scaler:
        """What `to_json` gave."""
        return cls(np.array(saved["mean"]), np.array(saved["std"]))


def pad(sequences: Sequence[Array]) -> tuple[Tensor, Tensor]:
    """Sequences as one padded batch.

    Args:
        sequences: arrays (T_i, I), or (T_i,) of ids.

    Returns:
        (T, B, I) or (T, B), zero behind a row's end, and the lengths (B,).

    Example:
        >>> import numpy as np
        >>> batch, lengths = pad([np.ones((3, 2)), np.ones((1, 2))])
        >>> batch.shape, lengths.tolist()
        (torch.Size([3, 2, 2]), [3, 1])
    """
    lengths = [len(s) for s in sequences]
    first = sequences[0]
    block = np.zeros((max(lengths), len(sequences), *first.shape[1:]), dtype=first.dtype)
    for row, one in enumerate(sequences):
        block[: len(one), row] = one
    return torch.from_numpy(block), torch.tensor(lengths)


class BucketBatches:
    """Batches of rows of like length, so that little is padding; another order in every epoch.

    Rows are sorted by length, those of one length in a new order each epoch, and cut into batches;
    one is cut short where padding would be more than the bound. The epoch's order depends on the
    seed and the epoch alone.

    Args:
        lengths: the rows' lengths.
        batch_size: rows in a batch at most.
        seed: of the order.
        shuffle: whether the order changes; without, rows come sorted by length.
        bound: the part of a batch that may be padding.

    Example:
        >>> batches = BucketBatches([3, 9, 3, 9], batch_size=2, seed=0)
        >>> sorted(sorted(b.tolist()) for b in batches.epoch(0))
        [[0, 2], [1, 3]]
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        bound: float = 0.08,
    ) -> None:
        self.lengths, self.batch_size = np.asarray(lengths), batch_size
        self.seed, self.shuffle, self.bound = seed, shuffle, bound
        # the number of batches must not depend on the epoch: they are made once, and mixed anew by
        # rows of one length
        self._batches = self._cut()

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Array]:
        """The batches of an epoch from the `start`-th on, each an array of row numbers."""
        yield from self._order(epoch)[start:]

    def padding(self) -> float:
        """The part of all batches that is padding."""
        real = self.lengths.sum()
        whole = sum(int(self.lengths[b].max()) * len(b) for b in self._batches)
        return float(1 - real / max(whole, 1))

    def _cut(self) -> list[Array]:
        """Slots of the rows sorted by length, cut into batches."""
        batches: list[Array] = []
        rows: list[int] = []
        total = 0
        order = np.argsort(self.lengths, kind="stable")
        for row in order:
            length = int(self.lengths[row])
            full = len(rows) == self.batch_size
            # lengths rise: the newest row would be the longest
            wasteful = total + length < (1 - self.bound) * length * (len(rows) + 1)
            if rows and (full or wasteful):
                batches.append(np.array(rows))
                rows, total = [], 0
            rows.append(int(row))
            total += length
        batches.append(np.array(rows))
        return batches

    def _order(self, epoch: int) -> list[Array]:
        if not self.shuffle:
            return self._batches
        rng = np.random.default_rng([self.seed, epoch])
        sizes = [len(b) for b in self._batches]
        # rows within a few batches change places, which keeps lengths alike
        noise = rng.permutation(len(self.lengths))
        order = np.lexsort((noise, self.lengths))
        cuts = np.cumsum(sizes)[:-1]
        mixed = np.split(order, cuts)
        return [mixed[i] for i in rng.permutation(len(mixed))]

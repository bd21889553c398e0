"""Labelled sequences from a table: texts, nested lists, or long format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ._series import describe_columns, times_of, tuples
from ._table import column, is_number, list_columns, present, refuse_missing, string_columns

_LABELS = ("label", "target", "class", "y")
_TEXTS = ("text", "sentence", "message", "review")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what.

    Args:
        label: what is to be told.
        text: the text, or
        sequence: a list of numbers or of lists of numbers a row, or
        id: the sequence that a row is a step of, with
        time: what orders the steps, and
        features: the numbers of a step.
    """

    label: str | None = None
    text: str | None = None
    sequence: str | None = None
    id: str | None = None
    time: str | None = None
    features: tuple[str, ...] = ()

    def describe(self) -> str:
        """The columns in a line."""
        return describe_columns(vars(self))

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Columns:
        """What `dataclasses.asdict` gave, by way of JSON."""
        return cls(**tuples(saved))


def guess_columns(table: pa.Table, given: Columns, where: str, *, labelled: bool) -> Columns:
    """The given columns, and guesses for the rest.

    Args:
        table: the table.
        given: what is known.
        where: what the messages start with.
        labelled: whether a label is needed.

    Raises:
        ValueError: a given column is not there, or the rest cannot be told.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"text": ["a"], "label": ["x"]})
        >>> guess_columns(table, Columns(), "a.csv", labelled=True).text
        'text'
    """
    for name in (given.label, given.text, given.sequence, given.id, given.time, *given.features):
        if name is not None:
            column(table, name, where)
    names = list(table.column_names)
    label = given.label or _label(names, where, labelled)
    if given.text or given.sequence or given.id:
        features = given.features
        if given.id and not features:
            features = _numeric(table, {label, given.id, given.time})
        return Columns(label, given.text, given.sequence, given.id, given.time, features)
    if lists := list_columns(table):
        return Columns(label, sequence=lists[0])
    strings = [name for name in string_columns(table) if name != label]
    text = next((name for name in _TEXTS if name in strings), None)
    if text or len(strings) == 1:
        return Columns(label, text=text or strings[0])
    raise ValueError(
        f"{where}: which column holds the sequences? The columns are"
        f" {', '.join(map(repr, names))}."
        " Name one with --text-column, --sequence-column or --id-column."
    )


def _label(names: list[str], where: str, labelled: bool) -> str | None:
    found = next((name for name in _LABELS if name in names), None)
    if found is None and labelled:
        found = names[-1]
    if found is None or found not in names:
        return None
    return found


def _numeric(table: pa.Table, without: set[str | None]) -> tuple[str, ...]:
    return tuple(f.name for f in table.schema if f.name not in without and is_number(f.type))


def labelled_sequences(
    table: pa.Table, columns: Columns, missing: str, where: str
) -> tuple[list[Any], list[Any] | None]:
    """The sequences and their labels.

    Args:
        table: the table.
        columns: which columns hold what.
        missing: "error" refuses missing numbers in long format with their row; else they are NaN.
        where: what the messages start with.

    Returns:
        Texts, or arrays (T_i, I), and the labels, or None without a label column. Missing numbers
        are NaN.

    Raises:
        ValueError: a text, label or number is missing, or the label changes within a sequence; the
            text names the row.
    """
    if columns.id is not None:
        return _long(table, columns, missing, where)
    labels = None
    if columns.label is not None:
        labels = present(table, columns.label, where)
    if columns.text is not None:
        return [str(text) for text in present(table, columns.text, where)], labels
    assert columns.sequence is not None
    found = present(table, columns.sequence, where)
    return [numbers_of(value, row, where) for row, value in enumerate(found, 1)], labels


def numbers_of(value: list[Any], row: int, where: str) -> Any:
    """A row's list of numbers, or of lists of numbers, as an array.

    Raises:
        ValueError: it is none; the text names the row, which counts from 1.
    """
    try:
        return np.array(value, dtype=np.float32)
    except (ValueError, TypeError):
        raise ValueError(
            f"{where}: row {row} holds no rectangular list of numbers;"
            " give [[…], …], one list a step."
        ) from None


def _order(table: pa.Table, name: str, where: str) -> Any:
    """What the steps are sorted by: numbers, or times."""
    kind = column(table, name, where).type
    if is_number(kind) or pa.types.is_temporal(kind):
        return present(table, name, where)
    return times_of(table, name, where)


def _long(
    table: pa.Table, columns: Columns, missing: str, where: str
) -> tuple[list[Any], list[Any] | None]:
    """One row a step: steps of one id are a sequence, in the order of the time column."""
    ids = present(table, columns.id or "", where)
    numbers = [column(table, name, where).to_pylist() for name in columns.features]
    block = np.array(numbers, dtype=np.float32).T
    refuse_missing(block, range(len(block)), columns.features, missing, where)
    times = None if columns.time is None else _order(table, columns.time, where)
    labels = None if columns.label is None else present(table, columns.label, where)
    rows: dict[Any, list[int]] = {}
    for row, one in enumerate(ids):
        rows.setdefault(one, []).append(row)
    sequences: list[Any] = []
    found: list[Any] = []
    for one, mine in rows.items():
        if times is not None:
            mine = sorted(mine, key=lambda row: times[row])
        sequences.append(block[mine])
        if labels is not None:
            kinds = {labels[row] for row in mine}
            if len(kinds) > 1:
                raise ValueError(
                    f"{where}: the sequence {one!r} has several labels"
                    f" ({', '.join(sorted(map(repr, kinds)))}); give one for all its rows."
                )
            found.append(labels[mine[0]])
    return sequences, None if labels is None else found

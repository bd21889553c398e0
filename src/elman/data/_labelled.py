"""Labelled sequences from a table: texts, nested lists, or long format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ._sequences import narrow
from ._series import describe_columns, tuples
from ._table import (
    TEXT_NAMES,
    column,
    is_number,
    list_columns,
    present,
    refuse_missing,
    string_columns,
    texts_of,
    usual_name,
)
from ._times import times_of

_LABELS = ("label", "target", "class", "y")


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
    guess = given.label or _label(table, given, where, labelled)
    # without `labelled` it is only known to be no text and no feature
    label = guess if labelled else given.label
    if given.text or given.sequence or given.id:
        features = given.features
        if given.id and not features:
            features = _numeric(table, {guess, given.id, given.time}, where)
        return Columns(label, given.text, given.sequence, given.id, given.time, features)
    if lists := [name for name in list_columns(table) if name != guess]:
        return Columns(label, sequence=lists[0])
    strings = [name for name in string_columns(table) if name != guess]
    text = usual_name(strings, TEXT_NAMES)
    if text is None and not strings:
        # texts of digits look like numbers
        text = usual_name((name for name in table.column_names if name != guess), TEXT_NAMES)
    if text or len(strings) == 1:
        return Columns(label, text=text or strings[0])
    raise ValueError(
        f"{where}: which column holds the sequences? The columns are {_listed(table)}."
        " Name one with --text-column, --sequence-column or --id-column."
    )


def _listed(table: pa.Table) -> str:
    return ", ".join(map(repr, table.column_names))


def _label(table: pa.Table, given: Columns, where: str, labelled: bool) -> str | None:
    """The column with a usual name, or the last one that can hold nothing else."""
    used = (given.text, given.sequence, given.id, given.time, *given.features)
    free = [name for name in table.column_names if name not in (*used, *list_columns(table))]
    usual = usual_name(free, _LABELS)
    if usual is not None or not labelled:
        return usual
    if not free:
        raise ValueError(
            f"{where}: which column holds the labels? The columns are {_listed(table)}."
            " Name one with --label-column."
        )
    others = [name for name in free if name.lower() not in TEXT_NAMES]
    return (others or free)[-1]


def _numeric(table: pa.Table, without: set[str | None], where: str) -> tuple[str, ...]:
    found = tuple(f.name for f in table.schema if f.name not in without and is_number(f.type))
    if not found:
        raise ValueError(
            f"{where}: no column of numbers is left for the steps; the columns are"
            f" {_listed(table)}. Name columns of numbers with --feature."
        )
    return found


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
        return texts_of(table, columns.text, where), labels
    assert columns.sequence is not None
    found = present(table, columns.sequence, where)
    return [numbers_of(value, row, where) for row, value in enumerate(found, 1)], labels


def sequence_names(table: pa.Table, columns: Columns) -> list[str]:
    """What messages call the sequences of a table: by their rows, which count from 1, or by their
    ids.

    Example:
        >>> sequence_names(pa.table({"x": [[1.0], [2.0]]}), Columns(sequence="x"))
        ['row 1', 'row 2']
    """
    if columns.id is None:
        return [f"row {row}" for row in range(1, table.num_rows + 1)]
    return [f"the sequence {one!r}" for one in dict.fromkeys(table[columns.id].to_pylist())]


def numbers_of(value: list[Any], row: int, where: str) -> Any:
    """A row's list of numbers, or of lists of numbers, as an array.

    Raises:
        ValueError: it is none; the text names the row, which counts from 1.
    """
    try:
        return narrow(np.array(value, dtype=np.float64))
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
    block = np.array(numbers, dtype=np.float64).T
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
        sequences.append(narrow(block[mine]))
        if labels is not None:
            kinds = {labels[row] for row in mine}
            if len(kinds) > 1:
                raise ValueError(
                    f"{where}: the sequence {one!r} has several labels"
                    f" ({', '.join(sorted(map(repr, kinds)))}); give one for all its rows."
                )
            found.append(labels[mine[0]])
    return sequences, None if labels is None else found

"""Labels or vectors from a table, and the sequences that they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ._sequences import narrow
from ._series import tuples
from ._table import (
    column,
    is_number,
    list_columns,
    present,
    refuse_missing,
    string_columns,
    texts_of,
)

_SEQUENCES = ("text", "name", "sequence", "sentence")
_STARTS = ("label", "class", "start")


@dataclass(frozen=True)
class StartColumns:
    """Which columns of a table hold what.

    Args:
        start: the label, or the numbers of the vector; guessed if empty.
        sequence: the text, or the list of numbers, that it starts; guessed if None.
    """

    start: tuple[str, ...] = ()
    sequence: str | None = None

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> StartColumns:
        """What `dataclasses.asdict` gave, by way of JSON."""
        return cls(**tuples(saved))


def guess_start_columns(
    table: pa.Table, given: StartColumns, where: str, *, labelled: bool
) -> StartColumns:
    """The given columns, and guesses for the rest; without `labelled`, a start alone is enough.

    Raises:
        ValueError: a given column is not there, or one cannot be told.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"label": ["Irish"], "name": ["Byrne"]})
        >>> guess_start_columns(table, StartColumns(), "a.csv", labelled=True)
        StartColumns(start=('label',), sequence='name')
    """
    for name in (*given.start, *([given.sequence] if given.sequence else [])):
        if labelled or name != given.sequence:
            column(table, name, where)
    texts = string_columns(table)
    lists = list_columns(table)
    sequence = given.sequence
    if sequence is None:
        usual = [name for name in _SEQUENCES if name in (*texts, *lists)]
        others = [name for name in (*lists, *texts) if name not in (*given.start, *_STARTS)]
        sequence = next(iter(usual or others), None)
    start = given.start or _start(table, texts, sequence)
    if not start or (labelled and sequence is None):
        what = "sequences" if start else "labels or numbers that start them"
        names = ", ".join(repr(one) for one in table.column_names)
        raise ValueError(
            f"{where}: which column holds the {what}? The columns are {names}."
            " Name them with --start-column and --sequence-column."
        )
    return StartColumns(start, sequence)


def started_sequences(
    table: pa.Table, columns: StartColumns, where: str, *, labelled: bool
) -> tuple[list[Any], list[Any] | None]:
    """The labels or vectors of a table and, if `labelled`, the sequences that they start.

    Raises:
        ValueError: a column is not there or cannot be told, or a row has nothing in it.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"label": ["Irish"], "name": ["Byrne"]})
        >>> started_sequences(table, StartColumns(), "a.csv", labelled=True)
        (['Irish'], ['Byrne'])
    """
    chosen = guess_start_columns(table, columns, where, labelled=labelled)
    values = [present(table, name, where) for name in chosen.start]
    if all(is_number(table[name].type) for name in chosen.start):
        block = np.array(values, dtype=np.float64).T
        refuse_missing(block, range(len(block)), chosen.start, "error", where)
    starts: list[Any] = (
        values[0] if len(values) == 1 else [list(row) for row in zip(*values, strict=True)]
    )
    if not labelled:
        return starts, None
    assert chosen.sequence is not None
    if chosen.sequence not in list_columns(table):
        return starts, texts_of(table, chosen.sequence, where)
    found = present(table, chosen.sequence, where, blank=True)
    return starts, [narrow(np.asarray(one, dtype=np.float64)) for one in found]


def _start(table: pa.Table, texts: list[str], sequence: str | None) -> tuple[str, ...]:
    """The label's column, or those of numbers."""
    others = [name for name in texts if name != sequence]
    usual = [name for name in _STARTS if name in others]
    if usual or others:
        return ((usual or others)[0],)
    return tuple(
        field.name for field in table.schema if field.name != sequence and is_number(field.type)
    )

"""Time series from arrays and tables: what is forecast, what is seen, what is known ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ._calendar import Calendar
from ._table import column, is_number, present, refuse_missing
from ._times import time_column, times_of, whole_seconds

Array = npt.NDArray[Any]

_TARGETS = ("y", "value", "target")
_IDS = ("id", "series", "unique_id", "item_id", "series_id")


@dataclass
class Series:
    """A time series.

    Args:
        target: what is forecast, (T,); NaN where missing.
        observed: covariates that are known up to now, (T, C).
        known: covariates that are known ahead, (T, K), or longer as far as they are known.
        calendar: the time axis, or None.
        name: which series this is.

    Example:
        >>> Series([1.0, 2.0, 4.0]).target.shape
        (3,)
    """

    target: Any
    observed: Any = None
    known: Any = None
    calendar: Calendar | None = None
    name: str = ""
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.target = np.asarray(self.target, dtype=np.float64)
        self.length = len(self.target)
        for name in ("observed", "known"):
            value = getattr(self, name)
            block = np.zeros((self.length, 0)) if value is None else np.asarray(value, np.float64)
            setattr(self, name, block[:, None] if block.ndim == 1 else block)
        if self.target.ndim != 1:
            raise ValueError(f"Series: target has shape {self.target.shape}; give (T,).")
        if len(self.observed) != self.length or len(self.known) < self.length:
            raise ValueError(
                f"Series: observed has {len(self.observed)} rows and known {len(self.known)};"
                f" the target has {self.length} steps; give one row a step."
            )


@dataclass(frozen=True)
class SeriesColumns:
    """Which columns of a table hold what.

    Args:
        target: what is forecast.
        time: when; ISO dates and times, or the file's own type. None: the rows are in order.
        id: which series a row belongs to; None for a single series.
        observed: covariates that are known up to now.
        known: covariates that are known ahead; rows behind the last target hold their future.
    """

    target: str | None = None
    time: str | None = None
    id: str | None = None
    observed: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def describe(self) -> str:
        """The columns in a line."""
        return describe_columns(vars(self))

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> SeriesColumns:
        """What `dataclasses.asdict` gave, by way of JSON."""
        return cls(**tuples(saved))


def tuples(saved: dict[str, Any]) -> dict[str, Any]:
    """Lists, which JSON made of tuples, as tuples again."""
    return {name: tuple(one) if isinstance(one, list) else one for name, one in saved.items()}


def describe_columns(names: dict[str, Any]) -> str:
    """Which column holds what, in a line."""
    parts = [
        f"{name} = {value if isinstance(value, str) else ', '.join(value)}"
        for name, value in names.items()
        if value
    ]
    return "columns: " + "; ".join(parts)


def guess_series_columns(table: pa.Table, given: SeriesColumns, where: str) -> SeriesColumns:
    """The given columns, and guesses for the rest.

    Raises:
        ValueError: a given column is not there or is given twice, or nothing can be the target.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"date": ["2024-01-01"], "sold": [3.0]})
        >>> guess_series_columns(table, SeriesColumns(), "a.csv").describe()
        'columns: target = sold; time = date'
    """
    used = (given.target, given.time, given.id, *given.observed, *given.known)
    for name in used:
        if name is not None:
            column(table, name, where)
    _refuse_twice(given, where)
    free = [name for name in table.column_names if name not in used]
    time = given.time or time_column(table, free)
    one = given.id or next((name for name in free if name.lower() in _IDS), None)
    kinds = {name: table[name].type for name in free if name not in (time, one)}
    numbers = [name for name, kind in kinds.items() if is_number(kind) or _is_list(kind)]
    usual = (name for name in numbers if name.lower() in _TARGETS)
    target = given.target or next(usual, numbers[-1] if numbers else None)
    if target is None:
        raise ValueError(
            f"{where}: no column of numbers to forecast; the columns are"
            f" {', '.join(map(repr, table.column_names))}. Name one with --target-column."
        )
    if _is_list(table[target].type):
        # a row is a whole series: a time of its own could only be its first
        return SeriesColumns(target, given.time, one, given.observed, given.known)
    return SeriesColumns(target, time, one, given.observed, given.known)


def _refuse_twice(given: SeriesColumns, where: str) -> None:
    numbers = (given.target, *given.observed, *given.known)
    for name in numbers:
        if name is not None and numbers.count(name) > 1:
            raise ValueError(
                f"{where}: column {name!r} is given {numbers.count(name)} times among the target"
                " and the covariates; give it once, for what is forecast is not known ahead."
            )


def series_of_table(
    table: pa.Table, columns: SeriesColumns, missing: str, where: str
) -> list[Series]:
    """The series of a table, in the order of their first rows. A row is a step, or a whole series
    where the target is a column of lists.

    Args:
        table: the table.
        columns: which columns hold what.
        missing: "error" refuses missing numbers and steps with their row; else they are NaN.
        where: what the messages start with.

    Raises:
        ValueError: a number is infinite or missing, a time is no time or off the step; the text
            names the row.
    """
    if _is_list(column(table, columns.target or "", where).type):
        return _listed(table, columns, missing, where)
    names = [columns.target or "", *columns.observed, *columns.known]
    block = np.stack([_numbers(table, name, where) for name in names], 1)
    ids = [columns.target] * len(block)
    if columns.id is not None:
        ids = present(table, columns.id, where)
    times = None if columns.time is None else times_of(table, columns.time, where)
    rows: dict[Any, list[int]] = {}
    for row, one in enumerate(ids):
        rows.setdefault(one, []).append(row)
    return [
        _one(str(name), block[mine], np.array(mine), times, columns, missing, where)
        for name, mine in rows.items()
    ]


def _is_list(kind: Any) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(one(kind) for one in lists) and is_number(kind.value_type)


def _listed(table: pa.Table, columns: SeriesColumns, missing: str, where: str) -> list[Series]:
    """One series of each row, whose target is a list."""
    target = columns.target or ""
    others = [columns.time, *columns.observed, *columns.known]
    if any(others):
        names = ", ".join(repr(name) for name in others if name)
        raise ValueError(
            f"{where}: {target!r} holds a whole series in each row, which leaves no room for"
            f" {names}; give a table with a row for each step."
        )
    names = [""] * table.num_rows
    if columns.id is not None:
        names = [str(name) for name in present(table, columns.id, where)]
    seen: set[str] = set()
    found: list[Series] = []
    for row, (name, values) in enumerate(zip(names, present(table, target, where), strict=True)):
        if name and name in seen:
            raise ValueError(
                f"{where}: row {row + 1}: the series {name!r} is there already; give each one row."
            )
        one = np.array(values, dtype=np.float64)
        refuse_missing(one[:, None], np.full(len(one), row), (target,), missing, where)
        if np.isnan(one).all():
            raise ValueError(f"{where}: row {row + 1} has no number in {target!r}; drop it.")
        seen.add(name)
        found.append(Series(one, name=name))
    return found


def _numbers(table: pa.Table, name: str, where: str) -> Array:
    """A column as float64, NaN where it is empty."""
    found = column(table, name, where)
    if not is_number(found.type) and not pa.types.is_null(found.type):
        raise ValueError(
            f"{where}: column {name!r} holds no numbers ({found[0].as_py()!r} in row 1);"
            " name a column of numbers."
        )
    return found.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _one(
    name: str,
    block: Array,
    rows: Array,
    times: Array | None,
    columns: SeriesColumns,
    missing: str,
    where: str,
) -> Series:
    """One series of the rows of a table."""
    seen = np.flatnonzero(~np.isnan(block[:, 0]))
    if len(seen) == 0:
        raise ValueError(f"{where}: the series {name!r} has no number in {columns.target!r}.")
    # rows behind the last target hold the future: of what is known ahead, or nothing yet
    is_open = bool(columns.known) or missing != "error"
    length = int(seen[-1]) + 1 if is_open else len(block)
    many = 1 + len(columns.observed)
    refuse_missing(block[:length, :many], rows, (columns.target or "", *columns.observed), missing,
                   where)  # fmt: skip
    refuse_missing(block[:, many:], rows, columns.known, missing, where)
    calendar = None
    if times is not None and len(rows) > 1:
        mine = whole_seconds(times[rows], rows, columns.time or "", where)
        calendar, places = _axis(mine, rows, where)
        if len(places) < places[-1] + 1 and missing == "error":
            at = int(np.argmax(np.diff(places) > 1)) + 1
            lack = int(places[at] - places[at - 1] - 1)
            raise ValueError(
                f"{where}: row {rows[at] + 1}: {lack} step{'s are' if lack > 1 else ' is'} missing"
                f" before {mine[at]}; add the rows, or give missing=ffill or mask."
            )
        whole = np.full((int(places[-1]) + 1, block.shape[1]), np.nan)
        whole[places] = block
        block, length = whole, int(places[length - 1]) + 1
    return Series(block[:length, 0], block[:length, 1:many], block[:, many:], calendar, name)


def _axis(times: Array, rows: Array, where: str) -> tuple[Calendar, Array]:
    try:
        return Calendar.of(times)
    except ValueError as error:
        said, at = error.args
        raise ValueError(
            f"{where}: row {rows[at] + 1}: {said}; sort the rows, one a step."
            " Name the series with --id-column if there are several."
        ) from None


def as_series(X: Any, where: str) -> list[Series]:
    """Series from a list of `Series`, of arrays (T,) or (T, 1 + C) whose first column is the
    target, or from one array (T,).

    Raises:
        ValueError: one is no array of numbers, or there are none.

    Example:
        >>> [s.length for s in as_series([[1.0, 2.0], [3.0]], "fit")]
        [2, 1]
    """
    listed = list(X)
    if listed and all(np.ndim(one) == 0 and not isinstance(one, Series) for one in listed):
        listed = [listed]
    found: list[Series] = []
    for row, one in enumerate(listed):
        if isinstance(one, Series):
            found.append(one)
            continue
        try:
            block = np.asarray(one, dtype=np.float64)
        except (ValueError, TypeError):
            block = np.zeros(())
        if block.ndim not in (1, 2):
            raise ValueError(
                f"{where}: series {row} is no array of numbers; give (T,) or (T, 1 + C) for each."
            )
        block = block[:, None] if block.ndim == 1 else block
        found.append(Series(block[:, 0], block[:, 1:]))
    if not found:
        raise ValueError(f"{where}: there are no series; give at least one.")
    return found

"""Columns of times: which one it is, and what its cells say."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ._table import column, present

Array = npt.NDArray[Any]

_NAMES = ("date", "time", "timestamp", "datetime", "ds", "month", "day", "hour", "week", "year")
# years and days without marks; any other whole number may count anything
_YEAR, _DAY = re.compile(r"[1-9]\d{3}"), re.compile(r"([1-9]\d{3})(\d\d)(\d\d)")
_ZONE = re.compile(r"\d:?\d\d(\.\d+)?\s*(Z|[+-]\d\d(:?\d\d)?)$", re.IGNORECASE)
# a day as other countries write it, a year among words, or a clock
_LIKE_A_TIME = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}|\b\d{4}\b|^\d{1,2}:\d\d")
# of a gap between two times, what may be lost with the part of a second
_LOST = 0.01


def time_column(table: pa.Table, names: list[str]) -> str | None:
    """The first of these columns that holds times by its type, or by a usual name and its first
    value; or else one with a usual name and what `times_of` will refuse, rather than leave it out.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"month": [7], "date": ["2024-01-01"]})
        >>> time_column(table, ["month", "date"])
        'date'
    """
    likely: list[str] = []
    for name in names:
        kind = table[name].type
        if _is_moment(kind):
            return name
        if name.lower() not in _NAMES:
            continue
        first = table[name][0].as_py()
        if pa.types.is_string(kind) and _parse(first) is not None:
            return name
        if pa.types.is_temporal(kind) or (isinstance(first, str) and _LIKE_A_TIME.search(first)):
            likely.append(name)
    return next(iter(likely), None)


def _is_moment(kind: Any) -> bool:
    """Whether a type's values are moments: a clock or a duration alone is none."""
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def times_of(table: pa.Table, name: str, where: str) -> Array:
    """A column of times, datetime64[us]; strings are ISO dates, whole numbers are years or
    YYYYMMDD. Times with a zone become UTC, with a notice.

    Raises:
        ValueError: a cell is empty or no time; the text names its row.
    """
    kind = column(table, name, where).type
    if _is_moment(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        moments = table[name].cast(pa.timestamp("us", zone), safe=False)
        if zone is not None:
            _tell_zone(name, where)
        present(pa.table({name: moments}), name, where)
        return moments.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
    values = present(table, name, where)
    found = [_parse(value) for value in values]
    if None in found:
        row = found.index(None)
        raise ValueError(
            f"{where}: row {row + 1}, column {name!r}: {_shown(values[row])} is no time;"
            " give ISO dates as 2024-12-31 or 2024-12-31 23:00."
        )
    if any(isinstance(value, str) and _ZONE.search(value) for value in values):
        _tell_zone(name, where)
    return np.array(found, dtype="datetime64[us]")


def _tell_zone(name: str, where: str) -> None:
    warnings.warn(
        f"{where}: the times in column {name!r} have a zone; they are read, and forecast, in UTC.",
        stacklevel=4,
    )


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, int, float)) else repr(str(value))


def _parse(value: Any) -> np.datetime64 | None:
    """The time that a cell says; None where it says none, or what may be another."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip()
    if text.isdigit():
        day = _DAY.fullmatch(text)
        if day is None and not _YEAR.fullmatch(text):
            return None
        text = "-".join(day.groups()) if day else text
    # "1-01" is a year 1 to NumPy, and a counter to everyone else
    if not text[:4].isdigit():
        return None
    try:
        if _ZONE.search(text):
            moment = datetime.fromisoformat(text)
            return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
        found = np.datetime64(text, "us")
    except (ValueError, TypeError, OverflowError):
        return None
    return None if np.isnat(found) else found


def whole_seconds(times: Array, rows: Array, name: str, where: str) -> Array:
    """Times as datetime64[s].

    Raises:
        ValueError: their step would not survive that; the text names the row.
    """
    whole = times.astype("datetime64[s]")
    if (whole == times).all():
        return whole
    gaps = np.abs(np.diff(times).astype(np.int64)) / 1e6
    # the same time twice is told by who looks for the step
    lost = np.where(gaps > 0, np.abs(gaps - gaps.round()), 0) > _LOST * gaps
    if lost.any():
        at = int(np.argmax(lost)) + 1
        raise ValueError(
            f"{where}: row {rows[at] + 1}, column {name!r}: {times[at]} is {gaps[at - 1]:g} seconds"
            " from the row before it, and steps are whole seconds; round the times, or leave the"
            " column out."
        )
    return whole

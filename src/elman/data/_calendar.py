"""Regular time axes: their step, their season, their place in day, week and year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DAY = 86_400
_WEEK = 7 * _DAY
_ONE_DAY, _ONE_MONTH = np.timedelta64(1, "D"), np.timedelta64(1, "M")
_SEASONS = {1: 12, 3: 4}


@dataclass(frozen=True)
class Calendar:
    """A regular time axis.

    Args:
        start: the first time, datetime64[s].
        step: seconds between times, or months.
        months: whether the step is in months, which have no fixed length.
        ends: whether the times are the months' last days.

    Example:
        >>> import numpy as np
        >>> days, _ = Calendar.of(np.array(["2024-02-28", "2024-02-29"], "datetime64[s]"))
        >>> days.season, str(days.times(3)[-1])
        (7, '2024-03-01T00:00:00')
    """

    start: np.datetime64
    step: int
    months: bool
    ends: bool = False

    @classmethod
    def of(cls, times: Array) -> tuple[Calendar, Array]:
        """The axis on which rising times lie, and their places on it, gaps left out.

        Args:
            times: datetime64[s], two or more.

        Raises:
            ValueError: they do not rise, or lie on no regular axis; the text names the place,
                `{row}` standing for the row.
        """
        gaps = np.diff(times.astype("datetime64[s]").astype(np.int64))
        if (gaps <= 0).any():
            at = int(np.argmax(gaps <= 0)) + 1
            said = "is there twice" if gaps[at - 1] == 0 else f"comes after {times[at - 1]}"
            raise ValueError(f"{times[at]} {said}", at)
        is_monthly, ends = _months(times, gaps)
        if is_monthly:
            places = times.astype("datetime64[M]").astype(np.int64)
            step = int(np.diff(places).min())
        else:
            places = times.astype("datetime64[s]").astype(np.int64)
            step = int(gaps.min())
        places = places - places[0]
        if (places % step).any():
            at = int(np.argmax(places % step > 0))
            raise ValueError(f"{times[at]} is off the series' step of {_words(step, gaps)}", at)
        return cls(times[0], step, is_monthly, ends), places // step

    @property
    def season(self) -> int:
        """Steps of the season that data of this step usually have: a day of hours, a week of days,
        a year of weeks, months or quarters; 1 where none is usual.
        """
        if self.months:
            return _SEASONS.get(self.step, 1)
        if self.step < _DAY:
            return _DAY // self.step if _DAY % self.step == 0 else 1
        return {_DAY: 7, _WEEK: 52}.get(self.step, 1)

    def times(self, stop: int, start: int = 0) -> Array:
        """The times of the places from start to stop, datetime64[s]."""
        places = np.arange(start, stop) * self.step
        if not self.months:
            return self.start.astype("datetime64[s]") + places.astype("timedelta64[s]")
        month, day = self.start.astype("datetime64[M]"), self.start.astype("datetime64[D]")
        months = month + places.astype("timedelta64[M]")
        last = (months + _ONE_MONTH).astype("datetime64[D]") - _ONE_DAY
        # a month may be shorter than the day wants
        wanted = months.astype("datetime64[D]") + (day - month.astype("datetime64[D]"))
        days = last if self.ends else np.minimum(wanted, last)
        return days.astype("datetime64[s]") + (self.start.astype("datetime64[s]") - day)

    def features(self, stop: int, start: int = 0) -> Array:
        """Sine and cosine of the place in the day, the week and the year, (T, F); those that the
        step can tell.
        """
        times = self.times(stop, start)
        seconds = times.astype(np.int64)
        turns: list[Array] = []
        if not self.months and self.step < _DAY:
            turns.append(seconds % _DAY / _DAY)
        if not self.months and self.step < _WEEK:
            turns.append(seconds % _WEEK / _WEEK)
        if not self.months or self.step < 12:
            into = (times - times.astype("datetime64[Y]").astype("datetime64[s]")).astype(np.int64)
            turns.append(into / (365.25 * _DAY))
        waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
        return np.stack(waves, 1) if waves else np.zeros((len(times), 0))


def _months(times: Array, gaps: Array) -> tuple[bool, bool]:
    """Whether times lie on one day of the month or on the months' last days, a month apart or more,
    and whether on the last.
    """
    if gaps.min() < 28 * _DAY:
        return False, False
    days = times.astype("datetime64[D]")
    of_month = days - times.astype("datetime64[M]").astype("datetime64[D]")
    ends = ((days + _ONE_DAY).astype("datetime64[M]") != times.astype("datetime64[M]")).all()
    return bool(ends or (of_month == of_month[0]).all()), bool(ends)


def _words(step: int, gaps: Array) -> str:
    """A step as people say it."""
    if gaps.min() >= 28 * _DAY:
        return f"{step} months"
    for name, size in (("days", _DAY), ("hours", 3600), ("minutes", 60)):
        if step % size == 0:
            return f"{step // size} {name}"
    return f"{step} seconds"

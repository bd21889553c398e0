"""Series as a forecaster's network sees them: scaled, filled, with what is known ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from elman.data import Scaler, Series, deviation, forward_fill

from ._forecast_options import ForecastOptions
from ._forecast_windows import Frame

LEAST_SPREAD = 0.02
"""The spread never falls below this part of the series' deviation."""

_UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass
class Framer:
    """What is learned of series before the network is.

    Args:
        season: steps of the season.
        lags: further lags.
        context: steps that are read.
        normalization: "running", "series" or "none".
        log: whether logarithms are forecast.
        missing: "error", "ffill" or "mask".
        observed: covariates that are not known ahead.
        known: covariates that are.
        waves: features of the calendar; 0 without one.
        scales: mean and deviation of the series that have names.
        covariates: means and deviations of the covariates.
        step: from one time to the next, in seconds, or months; None without times, and for runs of
            before.
        months: whether it is in months.
    """

    season: int
    lags: list[int]
    context: int
    normalization: str
    log: bool
    missing: str
    observed: int
    known: int
    waves: int
    scales: dict[str, list[float]]
    covariates: dict[str, dict[str, list[float]]]
    step: int | None = None
    months: bool = False

    @classmethod
    def fit(
        cls, series: Sequence[Series], stops: Sequence[int], options: ForecastOptions, where: str
    ) -> Framer:
        """Learns from the series up to their stops.

        Raises:
            ValueError: the series do not go together, or with the options.
        """
        first = series[0]
        observed, known = first.observed.shape[1], first.known.shape[1]
        if options.strategy == "recursive" and observed:
            raise ValueError(
                f"{where}: strategy='recursive' needs covariates that are known ahead, and"
                f" {observed} are not; give strategy='direct' or leave them out."
            )
        # a season needs the calendar's step; without one every step is its own
        guess = first.calendar.season if first.calendar is not None else 1
        calendars = [one.calendar for one in series if one.calendar is not None]
        with_waves = options.calendar and len(calendars) == len(series)
        waves = calendars[0].features(1).shape[1] if with_waves else 0
        season = options.season or guess
        lags = list(options.lags)
        context = options.context or max(64, 2 * max(season, *lags, 0), 3 * options.horizon)
        framer = cls(
            season, lags, context, options.normalization, options.log, options.missing, observed,
            known, waves, {}, {},
        )  # fmt: skip
        if calendars:
            framer.step, framer.months = calendars[0].step, calendars[0].months
        pairs = list(zip(series, stops, strict=True))
        for row, (one, stop) in enumerate(pairs):
            framer.check(one, row, where)
            if one.name:
                framer.scales[one.name] = framer.scale(one, stop, where)
        for name in ("observed", "known"):
            blocks = [forward_fill(getattr(one, name)[:stop]) for one, stop in pairs]
            framer.covariates[name] = Scaler.fit(blocks).to_json()
        return framer

    @property
    def ahead(self) -> int:
        """Features of a step that are known ahead of it."""
        return self.known + self.waves

    @property
    def inputs(self) -> int:
        """Features of a step that the network reads."""
        return 3 + len(self.lags) + self.observed + self.ahead

    def check(self, one: Series, row: int, where: str) -> None:
        """Raises ValueError where a series does not fit what was learned."""
        name = f"series {one.name!r}" if one.name else f"series {row}"
        shape = (one.observed.shape[1], one.known.shape[1])
        if shape != (self.observed, self.known):
            raise ValueError(
                f"{where}: {name} has {shape[0]} observed and {shape[1]} known covariates;"
                f" {self.observed} and {self.known} are needed."
            )
        if self.waves and one.calendar is None:
            raise ValueError(f"{where}: {name} has no times, but the model needs them; give them.")
        found = None if one.calendar is None else (one.calendar.step, one.calendar.months)
        if self.step is not None and found not in (None, (self.step, self.months)):
            raise ValueError(
                f"{where}: {name} has a step of {_in_words(*found)}, and the model's is"
                f" {_in_words(self.step, self.months)}; give series of one step."
            )
        for what in ("target", "observed", "known"):
            block = getattr(one, what)
            bad = ~np.isfinite(block) if self.missing == "error" else np.isinf(block)
            if bad.any():
                step = int(np.argwhere(bad)[0][0])
                ways = "" if np.isinf(block).any() else ", or give missing=ffill or mask"
                raise ValueError(
                    f"{where}: {block[bad][0]} in {what} of {name}, step {step}"
                    f" ({int(bad.sum())} such values); mend it{ways}."
                )

    def scale(self, one: Series, stop: int, where: str) -> list[float]:
        """Mean and deviation of a series' first part."""
        if self.normalization == "none":
            return [0.0, 1.0]
        found = self.forward(one.target[:stop], where)
        found = found[~np.isnan(found)]
        if len(found) == 0:
            raise ValueError(f"{where}: series {one.name!r} has no numbers to learn from.")
        return [float(found.mean()), float(deviation(found)) or 1.0]

    def forward(self, y: Any, where: str) -> Any:
        """The numbers as they are scaled: their logarithms, or themselves."""
        if not self.log:
            return y
        if np.nanmin(y) <= 0:
            raise ValueError(
                f"{where}: log=True needs numbers above zero, and {np.nanmin(y):g} came;"
                " leave it out."
            )
        return np.log(y)

    def inverse(self, frame: Frame, said: Any) -> Any:
        """Forecasts in the numbers' own scale."""
        said = said * frame.std + frame.mean
        return np.exp(said) if self.log else said

    def frame(self, one: Series, stop: int, where: str, *, future: int = 0, row: int = 0) -> Frame:
        """A series as the network sees it.

        Args:
            one: the series.
            stop: up to where an unnamed series' scale is taken.
            where: what messages start with.
            future: steps behind its end that are to be forecast.
            row: its number, for messages.

        Raises:
            ValueError: it does not fit what was learned.
        """
        self.check(one, row, where)
        mean, std = self.scales.get(one.name) or self.scale(one, stop, where)
        filled = forward_fill(self.forward(one.target, where)[:, None])[:, 0]
        y = ((filled - mean) / std).astype(np.float32)
        there = ~np.isnan(one.target)
        ahead = self._ahead(one, future, where)
        scaler = Scaler.from_json(self.covariates["observed"])
        observed = scaler.transform(forward_fill(one.observed))
        seen = there if self.missing == "mask" else np.ones_like(there)
        level, spread, rate = self._running(y)
        changes = [(y - back(y, lag)) / spread for lag in (1, *self.lags)]
        own = np.stack([(y - level) / spread, changes[0], seen, *changes[1:]], 1)
        inputs = np.concatenate([own, observed, ahead[: one.length]], 1).astype(np.float32)
        # an error counts as it is in logarithms, else as it is in the series' deviations
        weight = std if self.log else 1.0
        lags = (self.season, *self.lags)
        return Frame(y, level, spread, there, inputs, ahead, lags, mean, std, rate, weight)

    def _running(self, y: Any) -> tuple[Any, Any, float]:
        """The running mean and deviation of a series, and the rate at which they follow it."""
        rate = 2 / (self.context + 1) if self.normalization == "running" else 0.0
        start = (float(y[0]) if rate else 0.0, 1.0)
        rows = accumulate(y[1:].tolist(), lambda at, one: follow(*at, one, rate), initial=start)
        level, spread = np.array(list(rows), dtype=np.float32).T
        return level, spread, rate

    def _ahead(self, one: Series, future: int, where: str) -> Any:
        """What is known of every step ahead of time, (T + future, F)."""
        stop = one.length + future
        if self.known and len(one.known) < stop:
            raise ValueError(
                f"{where}: the covariates that are known ahead end {stop - len(one.known)} steps"
                f" too early; give them for {future} steps behind the end of the series."
            )
        known = np.zeros((stop, 0))
        if self.known:
            scaler = Scaler.from_json(self.covariates["known"])
            known = scaler.transform(forward_fill(one.known[:stop]))
        waves = np.zeros((stop, 0))
        if self.waves and one.calendar is not None:
            waves = one.calendar.features(stop)
        return np.concatenate([known, waves], 1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Everything that was learned."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Framer:
        """What `to_json` gave."""
        return cls(**saved)


def _in_words(step: int, months: bool) -> str:
    """A step as people say it."""
    units = ((12, "year"), (1, "month")) if months else _UNITS
    size, unit = next(one for one in units if step % one[0] == 0)
    return f"{step // size} {unit}{'' if step == size else 's'}"


def back(y: Any, lag: int) -> Any:
    """The values so many steps before, (T,); one step before where the series is too young."""
    steps = np.arange(len(y))
    before = np.where(steps < lag, steps - 1, steps - lag)
    return y[np.maximum(before, 0)]


def follow(level: Any, spread: Any, y: Any, rate: float) -> tuple[Any, Any]:
    """Running mean and deviation after one more value (exponential, at a rate from 0 to 1)."""
    if rate == 0:
        return level, spread
    level = level + rate * (y - level)
    variance = (1 - rate) * spread**2 + rate * (y - level) ** 2
    return level, (variance + rate * LEAST_SPREAD**2) ** 0.5


def digest_of(series: list[Series]) -> str:
    """Tells whether two runs had the same data."""
    digest = hashlib.sha256()
    for one in series:
        for block in (one.target, one.observed, one.known):
            digest.update(np.ascontiguousarray(block).tobytes())
        digest.update(f"{one.name}{one.calendar}".encode())
    return digest.hexdigest()[:16]

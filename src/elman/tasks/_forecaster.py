"""Many to many, ahead of time: what comes next in a series?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from elman.data import (
    Series,
    SeriesColumns,
    as_series,
    forward_fill,
    guess_series_columns,
    series_of_table,
    table_of,
)
from elman.ops import is_whole
from elman.train import Run

from ._estimator import Estimator
from ._forecast_network import ForecastNetwork, Quantiles, forecasts, sample_of, sample_paths
from ._forecast_options import check_forecast_options
from ._forecast_windows import ForecastWindows, Frame, Window, cut_into_windows, window_batch
from ._frames import Framer, digest_of
from ._inspect import Sample
from ._skill import Skill


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(Estimator):
    """Forecasts one or many series, with intervals, and says whether it beats the forecasts that
    cost nothing.

    Learns from every step of the series but the last part, which is held out to measure it beside
    persistence (the last value again) and seasonal-naive (the last season again).

    Args:
        horizon: steps ahead, K.
        context: steps that are read before a forecast; from season and horizon if None.
        season: steps of the season; from the time column if None (24 for hours, 7 for days, 12 for
            months, …), else 1.
        lags: steps back, such as 24, 168 and 336 for hours with days and weeks: the network sees
            how the series changed since then, and leans each forecast on the values that lie a
            multiple of each lag before it.
        strategy: "direct" forecasts all steps at once; "recursive" one step, which it is fed to
            forecast the next, along `paths` drawn futures.
        quantiles: levels of the forecast quantiles; 0.5, the point forecast, is among them.
        normalization: of each series: "series" (mean 0, deviation 1), "running" (so, and then by
            the mean and the deviation of late, which follow the series over the context), or
            "none".
        log: whether to forecast the logarithms, for positive numbers that grow in proportion; the
            loss counts errors in proportion too, as sMAPE does.
        calendar: whether the place in day, week and year is an input, given a time column.
        missing: what to do about NaN and missing steps: "error", "ffill" or "mask" (an input).
        validation_fraction: the last part of each series that is held out; at least one horizon.
        paths: futures drawn by the recursive strategy.

    The other arguments are those of `elman.train.TrainOptions` and of the network (cell,
    hidden_size, num_layers, …).

    Attributes:
        season_: steps of the season.
        context_: steps that are read.
        module_: the network.
        results_: on the held-out part: "loss" (pinball, in deviations, or in logarithms); "mase",
            "smape", "mae" and "rse", each also with "_persistence" and "_seasonal_naive";
            "skill_over_persistence", "skill_over_seasonal_naive" (by MASE), "rmse", "coverage",
            "origins". "rse" is of the furthest step, over all series together.

    Example:
        >>> import numpy as np
        >>> y = np.sin(np.arange(200) * 2 * np.pi / 10)
        >>> model = Forecaster(horizon=5, season=10, hidden_size=8, epochs=3).fit(y)
        >>> model.predict(y).shape, model.predict_quantiles(y).shape
        ((1, 5), (1, 5, 3))
    """

    task: ClassVar[str] = "forecast"
    unit: ClassVar[str] = "steps"

    # a series gives few windows
    epochs: int = 40
    batch_size: int = 4

    horizon: int = 24
    context: int | None = None
    season: int | None = None
    lags: Sequence[int] = ()
    strategy: str = "direct"
    quantiles: Sequence[float] = (0.1, 0.5, 0.9)
    normalization: str = "running"
    log: bool = False
    calendar: bool = True
    missing: str = "error"
    validation_fraction: float = 0.1
    paths: int = 200

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        run: str | Path | None = None,
        columns: SeriesColumns | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns from series.

        Args:
            X: a list of `elman.data.Series`, or of arrays (T,) or (T, 1 + C) whose first column is
                the target, or one array (T,); or a table: a data frame, a dict of columns, or a
                `pathlib.Path` of a .csv, .tsv, .jsonl or .parquet file.
            y: not used; scikit-learn passes it.
            run: a folder to keep the run in; the same call goes on with one that was cut off.
            columns: which columns of a table hold what; guessed where not given.
            progress: whether to show a live line.

        Returns:
            The estimator.

        Raises:
            ValueError: an option, the data or the run folder does not fit.
        """
        self._check()
        where = "Forecaster.fit"
        self.columns_ = columns
        series, data = self._read(X, columns, where)
        self.chosen_ = data.pop("chosen", None)
        with self._begin(run, {**data, "content": digest_of(series)}) as opened:
            if opened is not None and opened.finished:
                self._reopen(opened)
                return self
            self._fit_series(series, self._seed(), opened, progress, where)
        return self

    def _fit_series(
        self, series: list[Series], seed: int, opened: Run | None, progress: bool, where: str
    ) -> None:
        stops = [self._stop(one, row, where) for row, one in enumerate(series)]
        self.framer_ = Framer.fit(series, stops, self, where)
        frames = self._frames(series, stops, where)
        season, steps = self.framer_.season, self._steps
        self.season_, self.context_ = season, self.framer_.context
        train = ForecastWindows(
            frames,
            stops,
            context=self.context_,
            steps=steps,
            batch_size=self.batch_size,
            seed=seed,
        )
        objective = Quantiles(self._network(), list(self.quantiles))
        held = [(stop - 1, one.length - steps) for stop, one in zip(stops, series, strict=True)]
        self._learn(
            objective,
            train,
            lambda: self._loss(objective, frames, held),
            opened,
            progress,
            lambda asks: self._sample_of(frames, held, asks=asks),
        )
        results = {"series": len(series), "season": season, "context": self.context_}
        self._finish(opened, results | self._measure(series, frames, stops))

    def predict(self, X: Any, *, columns: SeriesColumns | None = None) -> Any:
        """The forecasts of the next steps behind the end of each series, (N, K)."""
        levels = list(self.quantiles)
        return self.predict_quantiles(X, columns=columns)[..., levels.index(0.5)]

    def predict_quantiles(self, X: Any, *, columns: SeriesColumns | None = None) -> Any:
        """The quantiles of the next steps behind the end of each series, (N, K, Q)."""
        self._check_fitted()
        where = "Forecaster.predict"
        return self._forecast(self._read_more(X, columns, where), where)

    def predictions(self, X: Any) -> dict[str, Any]:
        """The forecasts of the series of a table, one row a step, as columns: the series, the time
        (or the number of the step), the forecast and its quantiles.
        """
        self._check_fitted()
        where = "Forecaster.predict"
        series = self._read_more(X, None, where)
        found, steps = self._forecast(series, where), range(1, self.horizon + 1)
        names = [one.name or str(row) for row, one in enumerate(series)]
        rows: dict[str, Any] = {"series": [name for name in names for _ in steps]}
        rows["step"] = [step for _ in series for step in steps]
        if all(one.calendar is not None for one in series):
            ends = [(one.calendar, one.length) for one in series if one.calendar is not None]
            times = [calendar.times(end + self.horizon, end) for calendar, end in ends]
            rows["time"] = np.concatenate(times)
        levels = list(self.quantiles)
        rows["forecast"] = found[..., levels.index(0.5)].ravel()
        return rows | {f"q{level:g}": found[..., i].ravel() for i, level in enumerate(levels)}

    def _forecast(self, series: list[Series], where: str) -> Any:
        """The quantiles (N, K, Q) behind the ends of series."""
        ends = [one.length for one in series]
        frames = self._frames(series, ends, where, future=self.horizon)
        spans = [(one.length - 1, one.length) for one in series]
        return np.concatenate(self._roll(frames, spans))

    def evaluate(
        self, X: Any, *, columns: SeriesColumns | None = None, last: int | None = None
    ) -> dict[str, float]:
        """Measures forecasts from every step in the last part of each series.

        Args:
            X: as for `fit`.
            columns: as for `fit`; those of the training if None.
            last: steps of the last part, at least one horizon; `validation_fraction` of the series
                if None. What comes before is read, and gives the scale of the MASE.

        Returns:
            The figures of `results_`.
        """
        self._check_fitted()
        where = "Forecaster.evaluate"
        if last is not None and (not is_whole(last) or last < self.horizon):
            raise ValueError(
                f"{where}: last={last!r}; give a whole number from the horizon, {self.horizon}, on."
            )
        series = self._read_more(X, columns, where)
        stops = [self._stop(one, row, where, last) for row, one in enumerate(series)]
        return self._measure(series, self._frames(series, stops, where), stops)

    def score(self, X: Any, y: Any = None) -> float:
        """The MASE of the held-out part, times -1; higher is better."""
        return -self.evaluate(X)["mase"]

    def _check(self) -> None:
        check_forecast_options(self)
        super()._check()

    @property
    def _steps(self) -> int:
        """Steps that the network forecasts at once."""
        return self.horizon if self.strategy == "direct" else 1

    def _read(
        self, X: Any, columns: SeriesColumns | None, where: str
    ) -> tuple[list[Series], dict[str, Any]]:
        """Series from whatever they came in, and what to note about the data."""
        given = table_of(X, where)
        if given is None:
            series = as_series(X, where)
            return series, {"source": f"{len(series)} series"}
        table, name = given
        chosen = guess_series_columns(table, columns or SeriesColumns(), name)
        series = series_of_table(table, chosen, self.missing, name)
        return series, {"source": name, "columns": chosen.describe(), "chosen": chosen}

    def _read_more(self, X: Any, columns: SeriesColumns | None, where: str) -> list[Series]:
        """The series of what came after the training; without `columns`, a table has its, but for
        an id that was guessed and that a single series may lack.
        """
        chosen, given = self.chosen_, table_of(X, where)
        if columns is not None or chosen is None or given is None:
            return self._read(X, columns or self.columns_, where)[0]
        is_named = self.columns_ is not None and self.columns_.id is not None
        if not is_named and chosen.id not in given[0].column_names:
            chosen = replace(chosen, id=None)
        return series_of_table(given[0], chosen, self.missing, given[1])

    def _stop(self, one: Series, row: int, where: str, last: int | None = None) -> int:
        """Where the held-out part of a series starts."""
        part = round(one.length * self.validation_fraction) if last is None else last
        held = max(self.horizon, part)
        if one.length - held < self.horizon + 1:
            name = f"series {one.name!r}" if one.name else f"series {row}"
            raise ValueError(
                f"{where}: {name} has {one.length} steps; to learn a horizon of {self.horizon} and"
                f" hold {held} out takes {held + self.horizon + 1};"
                " give a shorter horizon or a longer series."
            )
        return one.length - held

    def _roll(self, frames: list[Frame], spans: list[tuple[int, int]]) -> list[Any]:
        """The quantiles (n, K, Q) from the origins of each span, in the numbers' own scale."""
        found: list[Any] = []
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            for frame, (start, stop) in zip(frames, spans, strict=True):
                if self.strategy == "direct":
                    scaled = self._roll_direct(frame, start, stop)
                else:
                    scaled = self._roll_recursive(frame, start, stop, generator)
                found.append(self.framer_.inverse(frame, np.sort(scaled, -1)))
        return found

    def _roll_direct(self, frame: Frame, start: int, stop: int) -> Any:
        parts: list[Any] = []
        for windows in self._blocks([(start, stop)]):
            batch = window_batch([frame], windows, context=self.context_, steps=self.horizon)
            said = forecasts(self.module_, batch).double().cpu().numpy()
            parts += [said[: w.stop - w.start, b] for b, w in enumerate(windows)]
        return np.concatenate(parts)

    def _roll_recursive(
        self, frame: Frame, start: int, stop: int, generator: torch.Generator
    ) -> Any:
        levels = list(self.quantiles)
        draws = (
            sample_paths(
                self.module_,
                frame,
                origin,
                context=self.context_,
                steps=self.horizon,
                levels=levels,
                paths=self.paths,
                generator=generator,
            )
            for origin in range(start, stop)
        )
        return np.stack([np.quantile(one, levels, axis=0).T for one in draws])

    def _blocks(self, spans: list[tuple[int, int]]) -> list[list[Window]]:
        """Windows that cover the spans, in batches."""
        windows = cut_into_windows(spans, max(self.context_ // 2, 1))
        size = self.batch_size
        return [windows[i : i + size] for i in range(0, len(windows), size)]

    def _loss(
        self, objective: Quantiles, frames: list[Frame], spans: list[tuple[int, int]]
    ) -> dict[str, float]:
        """The pinball loss over the spans."""
        total = weight = 0.0
        with torch.inference_mode():
            for windows in self._blocks(spans):
                options = {"context": self.context_, "steps": self._steps}
                one = objective.loss(window_batch(frames, windows, **options), None)
                total, weight = total + float(one.value) * one.weight, weight + one.weight
        return {"loss": total / weight}

    def _measure(
        self, series: list[Series], frames: list[Frame], stops: list[int]
    ) -> dict[str, float]:
        """The loss and the skill on what comes behind the stops."""
        steps, pairs = self._steps, list(zip(stops, series, strict=True))
        objective = Quantiles(self.module_, list(self.quantiles))
        held = [(stop - 1, one.length - steps) for stop, one in pairs]
        spans = [(stop - 1, one.length - self.horizon) for stop, one in pairs]
        skill = Skill(self.quantiles)
        rolled = self._roll(frames, spans)
        for one, said, (start, stop) in zip(series, rolled, spans, strict=True):
            filled = forward_fill(one.target[:, None])[:, 0]
            origins = np.arange(start, stop)
            skill.add(said, one.target, filled, origins, season=self.season_, learned=start + 1)
        return {**self._loss(objective, frames, held), **skill.figures()}

    def _frames(
        self, series: list[Series], stops: list[int], where: str, *, future: int = 0
    ) -> list[Frame]:
        frame, pairs = self.framer_.frame, enumerate(zip(series, stops, strict=True))
        return [frame(one, stop, where, future=future, row=row) for row, (one, stop) in pairs]

    def _sample(self, X: Any, where: str) -> Sample:
        series = self._read_more(X, None, where)
        stops = [self._stop(one, row, where) for row, one in enumerate(series)]
        steps = self._steps
        spans = [(0, one.length - steps) for one in series]
        return self._sample_of(self._frames(series, stops, where), spans, asks=True)

    def _sample_of(
        self, frames: list[Frame], spans: list[tuple[int, int]], *, asks: bool
    ) -> Sample:
        options = {"context": self.context_, "steps": self._steps}
        return sample_of(lambda: self.module_, frames, spans, asks=asks, **options)

    def _network(self) -> ForecastNetwork:
        network = ForecastNetwork(
            self,
            self.framer_.inputs,
            self.framer_.ahead + 1 + len(self.framer_.lags),
            steps=self._steps,
            quantiles=len(list(self.quantiles)),
            lags=len(self.framer_.lags),
        )
        self._to_device(network)
        return network

    def _fitted(self) -> dict[str, Any]:
        named = {"columns": self.columns_, "chosen": self.chosen_}
        columns = {name: None if one is None else asdict(one) for name, one in named.items()}
        return {"framer": self.framer_.to_json(), **columns}

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.framer_ = Framer.from_json(fitted["framer"])
        self.season_, self.context_ = self.framer_.season, self.framer_.context
        # runs of before know what was named alone, and the rest is guessed
        columns, chosen = fitted["columns"], fitted.get("chosen")
        self.columns_ = None if columns is None else SeriesColumns.from_json(columns)
        self.chosen_ = None if chosen is None else SeriesColumns.from_json(chosen)
        self.module_ = self._network()

"""What can be said about forecasts, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

STRATEGIES = ("direct", "recursive")
NORMALIZATIONS = ("running", "series", "none")


class ForecastOptions(Protocol):
    """What a forecaster says about series and forecasts."""

    season: int | None
    lags: Sequence[int]
    context: int | None
    horizon: int
    strategy: str
    normalization: str
    log: bool
    calendar: bool
    missing: str
    quantiles: Sequence[float]
    validation_fraction: float
    paths: int


def check_forecast_options(options: ForecastOptions) -> None:
    """Raises ValueError for the first option that cannot be."""
    levels = list(options.quantiles)
    rising = sorted(set(levels)) == levels
    if not rising or 0.5 not in levels or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(
            f"Forecaster: quantiles={options.quantiles!r}; give rising levels between 0 and 1,"
            " 0.5 among them."
        )
    for name, known in (("strategy", STRATEGIES), ("normalization", NORMALIZATIONS)):
        if getattr(options, name) not in known:
            raise ValueError(
                f"Forecaster: {name}={getattr(options, name)!r} is not known;"
                f" give one of {', '.join(known)}."
            )
    if options.strategy == "recursive" and len(levels) < 2:
        raise ValueError(
            "Forecaster: strategy='recursive' draws futures between quantiles; give two or"
            " more, e.g. (0.1, 0.5, 0.9)."
        )
    if not 0 < options.validation_fraction < 1:
        raise ValueError(
            f"Forecaster: validation_fraction={options.validation_fraction}; give a number between"
            " 0 and 1: the skill is always measured."
        )
    for name in ("horizon", "context", "season", "paths"):
        value = getattr(options, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"Forecaster: {name}={value!r}; give a whole number above zero.")
    lags: list[Any] = list(options.lags)
    if not all(isinstance(lag, int) and lag > 0 for lag in lags) or len({*lags}) < len(lags):
        raise ValueError(
            f"Forecaster: lags={options.lags!r}; give different whole numbers above zero."
        )

"""What can be said about forecasts, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from elman.ops import is_number, is_whole

from ._options import check_known, check_whole

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


def _listed(values: Any) -> list[Any]:
    """The values of a list; one that is no number in place of what is no list."""
    return list(values) if isinstance(values, Sequence | np.ndarray) else [None]


def check_forecast_options(options: ForecastOptions) -> None:
    """Raises ValueError for the first option that cannot be."""
    levels = _listed(options.quantiles)
    rising = all(map(is_number, levels)) and sorted(set(levels)) == levels
    if not rising or 0.5 not in levels or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(
            f"Forecaster: quantiles={options.quantiles!r}; give rising levels between 0 and 1,"
            " 0.5 among them."
        )
    check_known(options, "Forecaster", strategy=STRATEGIES, normalization=NORMALIZATIONS)
    if options.strategy == "recursive" and len(levels) < 2:
        raise ValueError(
            "Forecaster: strategy='recursive' draws futures between quantiles; give two or"
            " more, e.g. (0.1, 0.5, 0.9)."
        )
    part: Any = options.validation_fraction
    if not is_number(part) or not 0 < part < 1:
        raise ValueError(
            f"Forecaster: validation_fraction={part!r}; give a number between 0 and 1: the skill is"
            " always measured."
        )
    check_whole(options, "Forecaster", ("horizon", "paths"), or_none=("context", "season"))
    lags = _listed(options.lags)
    if not all(map(is_whole, lags)) or len({*lags}) < len(lags):
        raise ValueError(
            f"Forecaster: lags={options.lags!r}; give different whole numbers above zero."
        )

"""How far back a gradient reaches, and how fast it changes on the way."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# where a gradient counts as gone, in units of its value at the end
GONE = 0.01
# below this the numbers of a float32 lose their digits
_FLOOR = 1e-30


@dataclass(frozen=True)
class Reach:
    """How far back the gradient of a loss at the end reaches.

    Args:
        lag: the first lag at which the norm has fallen to 1 % of its value at the end, the median
            over sequences; None where it lies beyond them. A sequence that ends before its gradient
            has fallen counts as long as it lasts (Kaplan & Meier 1958).
        low: lower end of a 95 % confidence interval of the lag over sequences.
        high: its upper end; None where it lies beyond the sequences.
        rate: the factor by which the norm changes with each step back, fitted; the exponential of
            the largest Lyapunov exponent along the sequences.
        rate_low: lower end of a 95 % confidence interval of the rate over sequences.
        rate_high: its upper end.
        steps: of the longest sequence.
        sequences: how many were measured.

    Example:
        >>> import numpy as np
        >>> reach_of(0.5 ** np.arange(20.0)[:, None].repeat(3, 1)).lag
        7
    """

    lag: int | None
    low: float
    high: float | None
    rate: float
    rate_low: float
    rate_high: float
    steps: int
    sequences: int

    @property
    def exponent(self) -> float:
        """The largest Lyapunov exponent, per step."""
        return math.log(self.rate) if self.rate > 0 else -math.inf

    def at(self, lag: int) -> float:
        """What the fitted rate leaves of the gradient at a lag."""
        with np.errstate(over="ignore"):
            return float(np.float64(self.rate) ** lag)


def reach_from_json(found: dict[str, Any]) -> Reach:
    """The reach that a file holds, where what is not a number is null."""
    numbers = ("low", "rate", "rate_low", "rate_high")
    known: dict[str, Any] = {name: math.nan for name in numbers if found[name] is None}
    return Reach(**{**found, **known})


def reach_of(relative: Any) -> Reach:
    """Measures the reach in norms by lag.

    Args:
        relative: (K, B), each sequence's norms in units of its value at lag 0; NaN where it is
            shorter.
    """
    steps, rows = relative.shape
    curves = [one[~np.isnan(one)] for one in np.asarray(relative).T]
    known = [one for one in curves if len(one) > 1 and np.isfinite(one).all()]
    lag, low, high = _median_lag(known)
    slopes = [_slope(one) for one in known]
    rate, rate_low, rate_high = (
        (math.exp(float(np.mean(slopes))), *map(math.exp, _interval(slopes)))
        if slopes
        else (math.nan, math.nan, math.nan)
    )
    return Reach(
        lag=lag,
        low=low,
        high=high,
        rate=rate,
        rate_low=rate_low,
        rate_high=rate_high,
        steps=steps,
        sequences=rows,
    )


def is_on_its_way(lags: Sequence[int | None], needed: int) -> bool:
    """Whether a gradient arrives where the answer lies, or comes nearer while a model trains: its
    newest reach is far enough, or at least twice its shortest one so far.

    Args:
        lags: the reaches so far, in the order of training; None for all of the sequences.
        needed: how far back the answer lies.

    Example:
        >>> is_on_its_way([50, 14, 40], 100), is_on_its_way([50, 14, 15], 100)
        (True, False)
    """
    newest = lags[-1]
    if newest is None or newest >= needed:
        return True
    return newest >= 2 * min(one for one in lags if one is not None)


def median_curve(relative: Any) -> Any:
    """The median over the sequences that are long enough, (K,); lags that fewer than half of them
    reach are NaN.
    """
    relative = np.asarray(relative)
    there = (~np.isnan(relative)).sum(1) * 2 >= relative.shape[1]
    curve = np.full(len(relative), np.nan)
    curve[there] = np.nanmedian(relative[there], axis=1)
    return curve


def _median_lag(curves: list[Any]) -> tuple[int | None, float, float | None]:
    """The lag at which half of the gradients are gone, and its 95 % confidence interval: the lags
    where the interval of the share that is left holds one half (Brookmeyer & Crowley 1982).
    """
    from scipy.stats import CensoredData, ecdf

    below = [np.flatnonzero(one < GONE) for one in curves]
    fell = [int(lags[0]) for lags in below if len(lags)]
    if not fell:
        return None, float(max(map(len, curves), default=math.nan)), None
    lasted = [len(one) - 1 for one, lags in zip(curves, below, strict=True) if not len(lags)]
    left = ecdf(CensoredData(uncensored=fell, right=lasted)).sf
    with warnings.catch_warnings():
        # none or all are left: the interval is that share itself
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = left.confidence_interval(method="log-log")

    def at_half(shares: Any) -> float | None:
        shares = np.where(np.isnan(shares), left.probabilities, shares)
        halved = np.flatnonzero(shares <= 0.5)
        return float(left.quantiles[halved[0]]) if len(halved) else None

    lag = at_half(left.probabilities)
    low, high = at_half(interval.low.probabilities), at_half(interval.high.probabilities)
    end = float(max(map(len, curves)))
    return None if lag is None else int(lag), end if low is None else low, high


def _slope(curve: Any) -> float:
    """The slope of the logarithm, by least squares over the lags where there are digits."""
    good = np.flatnonzero(curve < _FLOOR)
    end = int(good[0]) if len(good) else len(curve)
    if end < 2:
        return math.log(_FLOOR)
    # the first tenth is what the newest steps do before a rate is settled
    start = min(end // 10, end - 2)
    lag = np.arange(start, end, dtype=float)
    logs = np.log(curve[start:end])
    lag -= lag.mean()
    return float((lag * (logs - logs.mean())).sum() / (lag**2).sum())


def _interval(values: list[Any]) -> tuple[float, float]:
    """A 95 % confidence interval of a mean, by Student's t."""
    n = len(values)
    if n == 0:
        return math.nan, math.nan
    mean = float(np.mean(values))
    if n == 1:
        return mean, mean
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean - half, mean + half

"""How good forecasts are, beside those that cost nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elman.data import deviation

_NAMES = ("", "_persistence", "_seasonal_naive")


def persistence(y: Any, origins: Any, steps: int) -> Any:
    """The last value again, (N, K).

    Example:
        >>> import numpy as np
        >>> persistence(np.array([1.0, 2.0, 3.0]), np.array([1]), 2).tolist()
        [[2.0, 2.0]]
    """
    return np.repeat(y[origins][:, None], steps, 1)


def seasonal_naive(y: Any, origins: Any, steps: int, season: int) -> Any:
    """The values of the season before again, (N, K); the last value where the series is too young.

    Example:
        >>> import numpy as np
        >>> seasonal_naive(np.array([1.0, 2.0, 3.0]), np.array([2]), 3, 2).tolist()
        [[2.0, 3.0, 2.0]]
    """
    k = np.arange(1, steps + 1)
    before = origins[:, None] + k - season * -(-k // season)
    return y[np.where(before < 0, origins[:, None], before)]


def mase_scale(y: Any, season: int) -> float:
    """The mean error of the seasonal-naive forecast one season ahead: what MASE counts in
    (Hyndman & Koehler 2006). NaN are left out.

    Example:
        >>> import numpy as np
        >>> mase_scale(np.array([1.0, 2.0, 4.0]), 1)
        1.5
    """
    season = season if len(y) > season else 1
    found = np.abs(y[season:] - y[:-season])
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else 0.0


def smape(truth: Any, said: Any) -> float:
    """The symmetric mean absolute percentage error, 0 to 200, as the M4 competition counts it
    (Makridakis et al. 2020). NaN are left out; two zeros are no error.

    Example:
        >>> import numpy as np
        >>> round(smape(np.array([1.0, 0.0]), np.array([3.0, 0.0])), 6)
        50.0
    """
    size = np.abs(truth) + np.abs(said)
    found = np.abs(truth - said) / np.where(size == 0, 1, size)
    return float(200 * np.nanmean(found))


def rse(truth: Any, said: Any) -> float | None:
    """The root relative squared error over all numbers together (Lai et al. 2018): 1 is their mean
    as the forecast. NaN are left out; None where all numbers are the same.

    Example:
        >>> import numpy as np
        >>> rse(np.array([1.0, 3.0]), np.array([1.0, 2.0])).__round__(4)
        0.7071
    """
    known = ~np.isnan(truth)
    truth, said = truth[known], said[known]
    spread = float(deviation(truth)) if known.any() else 0.0
    return float(np.sqrt(((truth - said) ** 2).mean()) / spread) if spread > 0 else None


class Skill:
    """Gathers forecasts of one or many series; every series counts the same, save in the RSE, which
    takes the furthest steps of all series together.

    Example:
        >>> import numpy as np
        >>> y = np.array([1.0, 3.0, 2.0, 4.0, 3.0, 5.0])
        >>> skill = Skill([0.1, 0.5, 0.9])
        >>> said = np.array([[[2.0, 3.0, 4.0], [4.0, 5.0, 6.0]]])
        >>> skill.add(said, y, y, np.array([3]), season=2, learned=4)
        >>> skill.figures()["skill_over_persistence"]
        1.0
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = list(levels)
        self.rows: list[dict[str, float]] = []
        # truth, forecast, persistence and seasonal-naive at the furthest step, (4, N) a series
        self.furthest: list[Any] = []
        self.origins = 0

    def add(
        self, said: Any, y: Any, filled: Any, origins: Any, *, season: int, learned: int
    ) -> None:
        """Compares forecasts of a series with what came.

        Args:
            said: quantiles (N, K, Q).
            y: the series (T,), NaN where it is missing.
            filled: the series with its gaps filled.
            origins: the steps from which was forecast, (N,).
            season: steps of the season.
            learned: the part of the series that the MASE's scale is taken from.
        """
        steps = said.shape[1]
        self.origins += len(origins)
        truth = y[origins[:, None] + np.arange(1, steps + 1)]
        point = said[..., self.levels.index(0.5)]
        naive = {
            "": point,
            "_persistence": persistence(filled, origins, steps),
            "_seasonal_naive": seasonal_naive(filled, origins, steps, season),
        }
        scale = mase_scale(y[:learned], season)
        if np.isnan(truth).all():
            return
        row = {f"mae{name}": float(np.nanmean(np.abs(truth - one))) for name, one in naive.items()}
        row |= {f"smape{name}": smape(truth, one) for name, one in naive.items()}
        self.furthest.append(np.stack([one[:, -1] for one in (truth, *naive.values())]))
        if scale > 0:
            row |= {f"mase{name}": row[f"mae{name}"] / scale for name in naive}
        row["rmse"] = float(np.sqrt(np.nanmean((truth - point) ** 2)))
        known = ~np.isnan(truth)
        inside = (said[..., 0] <= truth) & (truth <= said[..., -1])
        row["coverage"] = float(inside[known].mean())
        self.rows.append(row)

    def figures(self) -> dict[str, float]:
        """Means over the series: "mase", "smape", "mae", those of persistence and seasonal-naive,
        "rmse", the skill over both (1 is perfect, 0 no better, below 0 worse), and the "coverage",
        the share of the truth between the lowest and the highest quantile. The "rse" is of the
        furthest step, over all series together.
        """
        errors = [f"{error}{name}" for error in ("mase", "smape", "mae") for name in _NAMES]
        found: dict[str, float] = {}
        for name in (*errors, "rmse", "coverage"):
            values = [row[name] for row in self.rows if name in row]
            if values:
                found[name] = float(np.mean(values))
        if self.furthest:
            truth, *naive = np.concatenate(self.furthest, 1)
            relative = {
                f"rse{name}": rse(truth, one) for name, one in zip(_NAMES, naive, strict=True)
            }
            found |= {name: one for name, one in relative.items() if one is not None}
        error = "mase" if "mase" in found else "mae"
        for name in ("persistence", "seasonal_naive"):
            if found.get(f"{error}_{name}"):
                found[f"skill_over_{name}"] = 1 - found[error] / found[f"{error}_{name}"]
        return found | {"origins": self.origins}

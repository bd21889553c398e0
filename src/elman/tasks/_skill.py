"""How good forecasts are, beside those that cost nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


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


class Skill:
    """Gathers forecasts of one or many series; every series counts the same.

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
        if scale > 0:
            row |= {f"mase{name}": row[f"mae{name}"] / scale for name in naive}
        row["rmse"] = float(np.sqrt(np.nanmean((truth - point) ** 2)))
        known = ~np.isnan(truth)
        inside = (said[..., 0] <= truth) & (truth <= said[..., -1])
        row["coverage"] = float(inside[known].mean())
        self.rows.append(row)

    def figures(self) -> dict[str, float]:
        """Means over the series: "mase", "mae", "rmse", the MASE of persistence and seasonal-naive,
        the skill over both (1 is perfect, 0 no better, below 0 worse), and the "coverage", the
        share of the truth between the lowest and the highest quantile.
        """
        names = ("mase", "mase_persistence", "mase_seasonal_naive", "mae", "mae_persistence")
        names = (*names, "mae_seasonal_naive", "rmse", "coverage")
        found: dict[str, float] = {}
        for name in names:
            values = [row[name] for row in self.rows if name in row]
            if values:
                found[name] = float(np.mean(values))
        error = "mase" if "mase" in found else "mae"
        for name in ("persistence", "seasonal_naive"):
            if found.get(f"{error}_{name}"):
                found[f"skill_over_{name}"] = 1 - found[error] / found[f"{error}_{name}"]
        return found | {"origins": self.origins}

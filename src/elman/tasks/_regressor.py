"""Many to one: which number goes with a sequence?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from elman.data import Scaler
from elman.train import Run

from ._pooled_network import PooledNetwork, Supervised
from ._sequence_estimator import SequenceEstimator
from ._supervised import Pairs


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Tells the number, or numbers, that go with a sequence: a text, or numbers of unequal length.

    The arguments are those of `SequenceClassifier`, without `class_weight`.

    Attributes:
        module_: the network.
        results_: "loss" (squared error in standard deviations), "rmse", "mae" and "r2" on the
            held-out part.

    Example:
        >>> import numpy as np
        >>> X = [np.full((3 + i % 4, 1), i / 40) for i in range(40)]
        >>> model = SequenceRegressor(hidden_size=8, epochs=20, lr=0.02).fit(X, np.arange(40) / 10)
        >>> model.predict(X[:2]).shape
        (2,)
    """

    task: ClassVar[str] = "regress"

    def predict(self, X: Any) -> Any:
        """The numbers, (N,), or (N, O) if there are several for each sequence."""
        where = "SequenceRegressor.predict"
        return self._numbers(self._raw(self._unlabelled(X, where), where))

    def predictions(self, X: Any) -> dict[str, Any]:
        """The numbers for each sequence of a table, as columns."""
        found = self.predict(X)
        found = found[:, None] if found.ndim == 1 else found
        names = ["prediction", *(f"prediction_{i}" for i in range(2, found.shape[1] + 1))]
        return {**self._names(X, len(found)), **dict(zip(names, found.T.tolist(), strict=True))}

    def _numbers(self, outputs: Any) -> Any:
        found = self.target_scaler_.inverse(outputs)
        return found[:, 0] if self.is_flat_ else found

    def _read_targets(self, y: Any) -> Any:
        try:
            targets = np.asarray(y, dtype=np.float64)
        except (ValueError, TypeError):
            raise ValueError(
                "SequenceRegressor.fit: y holds something that is no number; give numbers."
            ) from None
        self.is_flat_ = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        if not np.isfinite(targets).all():
            row = int(np.argwhere(~np.isfinite(targets))[0][0])
            raise ValueError(f"SequenceRegressor.fit: y[{row}] is not finite; drop that sequence.")
        self.target_scaler_ = Scaler.fit([targets])
        return self.target_scaler_.transform(targets)

    def _known_targets(self, y: Any, where: str) -> Any:
        targets = np.asarray(y, dtype=np.float64)
        return self.target_scaler_.transform(targets.reshape(len(targets), -1))

    def _outputs(self) -> int:
        return len(self.target_scaler_.mean)

    def _objective(self, network: PooledNetwork, train: Pairs) -> Supervised:
        return Supervised(network, classes=False)

    def _figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        truth, found = (self.target_scaler_.inverse(a) for a in (targets, outputs))
        figures = {
            "loss": float(np.mean((outputs - targets) ** 2)),
            "rmse": float(root_mean_squared_error(truth, found)),
            "mae": float(mean_absolute_error(truth, found)),
        }
        if len(truth) > 1:
            figures["r2"] = float(r2_score(truth, found))
        return figures

    def _fitted(self) -> dict[str, Any]:
        saved = {"targets": self.target_scaler_.to_json(), "is_flat": self.is_flat_}
        return {**super()._fitted(), **saved}

    def _restore(self, run: Run, fitted: dict[str, Any]) -> None:
        self.target_scaler_ = Scaler.from_json(fitted["targets"])
        self.is_flat_ = bool(fitted["is_flat"])
        super()._restore(run, fitted)

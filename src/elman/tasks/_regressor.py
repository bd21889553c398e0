"""Many to one: which number goes with a sequence?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from elman.data import Columns, Scaler
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

    def _read(
        self, X: Any, y: Any, columns: Columns | None, where: str, *, labelled: bool
    ) -> tuple[list[Any], Any, dict[str, Any]]:
        sequences, y, data = super()._read(X, y, columns, where, labelled=labelled)
        if labelled:
            chosen = data.get("chosen")
            # where a row of the table is a step, they are counted as in a list
            is_row = chosen is not None and chosen.id is None
            _check_numbers(y, data["source"] if is_row else None, where)
        return sequences, y, data

    def _read_targets(self, y: Any, train: Any) -> Any:
        targets = np.asarray(y, dtype=np.float64)
        self.is_flat_ = targets.ndim == 1
        return targets.reshape(len(targets), -1)

    def _learn_from(self, inputs: list[Any], targets: Any, train: Any, where: str) -> Pairs:
        self.target_scaler_ = Scaler.fit([targets[train]])
        return super()._learn_from(inputs, self.target_scaler_.transform(targets), train, where)

    def _known_targets(self, y: Any, where: str) -> Any:
        targets = np.asarray(y, dtype=np.float64)
        return self.target_scaler_.transform(targets.reshape(len(targets), -1))

    def _outputs(self) -> int:
        return len(self.target_scaler_.mean)

    def _objective(self, network: PooledNetwork, train: Pairs) -> Supervised:
        return Supervised(network, classes=False)

    def _figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        if not np.isfinite(outputs).all():
            return {"loss": float("nan")}
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


def _check_numbers(y: Any, file: str | None, where: str) -> None:
    """Refuses what is no number, or not finite, with its row, which counts from 1 in a file.

    Raises:
        ValueError: so it is.
    """
    try:
        if np.isfinite(np.asarray(y, dtype=np.float64)).all():
            return
    except (ValueError, TypeError):
        # the one that is to blame is looked for among them
        pass
    lengths = {np.shape(one) for one in y}
    for row, one in enumerate(y):
        place = f"{where}: y[{row}]" if file is None else f"{file}: the label of row {row + 1}"
        try:
            numbers = np.asarray(one, dtype=np.float64)
        except (ValueError, TypeError):
            raise ValueError(
                f"{place} is {str(one)!r}, no number; give a number for each."
            ) from None
        if not np.isfinite(numbers).all():
            raise ValueError(f"{place} is not finite; drop that sequence.")
    raise ValueError(
        f"{where}: y holds numbers of {len(lengths)} shapes; give as many for each sequence."
    )

"""The newest losses of a training, and what they say about it."""

from collections import deque
from math import isfinite
from statistics import median
from typing import Any

# how many there are, and how many say something
_NEWEST, _FEW = 50, 5
# a loss that lies so many times the median's size above the median, so often in a row, is an
# explosion
_EXPLODED, _STAYS = 10.0, 10
# from one look to the next: losses that fell so far
LEARNS = 0.8


class Losses:
    """The newest losses of a training.

    Example:
        >>> losses = Losses()
        >>> [losses.explode(one) for one in (1.0, 2.0, 3.0, 4.0, 5.0, float("inf"))][-2:]
        [False, True]
        >>> losses.middle
        3.0
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Those that come are of other weights."""
        self._newest: deque[float] = deque(maxlen=_NEWEST)
        # the median at the last look
        self._looked_at: float | None = None
        # losses in a row that lie far above the others
        self._above = 0

    @property
    def middle(self) -> float | None:
        """The median; None of too few."""
        return median(self._newest) if len(self._newest) >= _FEW else None

    def explode(self, loss: float) -> bool:
        """Takes a loss, and tells whether it is not finite, or lies far above what was usual for
        the tenth time in a row: a training comes back from a single one by itself.
        """
        if not isfinite(loss):
            return True
        middle = self.middle
        if middle is not None:
            spread = median(abs(one - middle) for one in self._newest)
            if loss > middle + _EXPLODED * max(abs(middle), spread, 1e-12):
                self._above += 1
                return self._above >= _STAYS
        self._above = 0
        self._newest.append(loss)
        return False

    def have_fallen(self) -> bool:
        """Whether they lie far below those of the last time that this was asked."""
        before, self._looked_at = self._looked_at, self.middle
        if before is None or self._looked_at is None:
            return False
        return before - self._looked_at > (1 - LEARNS) * abs(before)

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "losses": list(self._newest),
            "looked_at": self._looked_at,
            "above": self._above,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Sets what `state` gave."""
        self._newest = deque(state["losses"], maxlen=_NEWEST)
        self._looked_at, self._above = state["looked_at"], state["above"]

"""One live line while a model trains."""

import sys
import time
from typing import Any

_INTERVAL = 0.1


class ProgressLine:
    """Shows step, loss, speed and time left on standard error when that is a terminal, and nothing
    otherwise.

    Args:
        steps: optimiser steps of the whole training.
        unit: what the speed counts, such as "tokens".

    Example:
        >>> with ProgressLine(10, "tokens") as line:
        ...     line.show(1, 1, 2.5, 320)
    """

    def __init__(self, steps: int, unit: str) -> None:
        self.steps, self.unit = steps, unit
        self._live: Any = None
        self._items, self._first = 0, -1
        self._began = self._shown = 0.0

    def __enter__(self) -> "ProgressLine":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, epoch: int, step: int, loss: float, items: int, more: str = "") -> None:
        """Notes a step; draws the line at most ten times a second.

        Args:
            epoch: from 1.
            step: optimiser steps done.
            loss: the newest training loss.
            items: units in this step.
            more: what else to show.
        """
        now = time.monotonic()
        if self._first < 0:
            self._first, self._began = step, now
            return
        self._items += items
        if self._live is None or now - self._shown < _INTERVAL:
            return
        self._shown = now
        text = self.text(epoch, step, loss, now - self._began)
        self._live.update(f"{text} · {more}" if more else text, refresh=True)

    def text(self, epoch: int, step: int, loss: float, elapsed: float) -> str:
        """The line's text."""
        rate = self._items / max(elapsed, 1e-9)
        left = elapsed / max(step - self._first, 1) * max(self.steps - step, 0)
        minutes, seconds = divmod(round(left), 60)
        return (
            f"epoch {epoch} · step {step:,}/{self.steps:,} · loss {loss:.3f} ·"
            f" {rate:,.0f} {self.unit}/s · {minutes}:{seconds:02d} left"
        )

"""Ctrl-C while a model trains."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Interrupted(KeyboardInterrupt):
    """The training was interrupted from the keyboard; the text says what was saved and how to go
    on.
    """


class Interrupt:
    """Lets a Ctrl-C wait for the end of the step, where the training can be saved; a second one
    does not wait.

    Attributes:
        came: whether one came.
    """

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def deferred(self) -> Generator[None]:
        """Within it, one waits."""
        if threading.current_thread() is not threading.main_thread():
            # only the main thread may set signal handlers, and only it is interrupted
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def note(*_: Any) -> None:
            self.came = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def interruption(step: int, folder: Path | None) -> Interrupted:
    """What a training is left with at a step, and what of it is kept in a run folder."""
    if folder is None:
        return Interrupted(
            f"interrupted at step {step}; nothing was saved, as there is no run folder."
        )
    return Interrupted(
        f"interrupted at step {step}; {folder} holds the training so far:"
        " the same command goes on from there."
    )

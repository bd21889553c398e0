"""One process at a time trains in a run folder."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:
    # a system without such locks; two trainings in one folder are not told apart there
    fcntl = None

_HOLDER = ".process"


@contextmanager
def claimed(folder: Path) -> Generator[None]:
    """Holds a folder, which is made if it is not there, for this call alone.

    The lock is the system's, on the folder itself: it lasts no longer than the process, however
    that ends, and leaves nothing behind. `sign` notes who holds it, for the message.

    Raises:
        ValueError: another call, of this process or of another one, holds it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with claimed(folder), claimed(folder):  # doctest: +ELLIPSIS
        ...     pass
        Traceback (most recent call last):
        ValueError: ...: is being trained by another process; let it end, or give another folder.
    """
    if fcntl is None or (folder.exists() and not folder.is_dir()):
        yield
        return
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(
            f"{folder}: is being trained by {_holder(folder)}; let it end, or give another folder."
        ) from None
    except OSError:
        # a file system without locks
        os.close(handle)
        yield
        return
    try:
        yield
    finally:
        _clear(folder, is_new)
        # a forked child may have the handle too
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def sign(folder: Path) -> None:
    """Notes in a folder that this process holds it."""
    (folder / _HOLDER).write_text(str(os.getpid()))


def _clear(folder: Path, is_new: bool) -> None:
    """Takes the note away, which is this process's or that of one that is no more, and a folder
    that was made for nothing.
    """
    if _noted(folder) is not None:
        (folder / _HOLDER).unlink()
    if is_new:
        # it is not empty, or was taken away before
        with suppress(OSError):
            folder.rmdir()


def _noted(folder: Path) -> int | None:
    try:
        return int((folder / _HOLDER).read_text())
    except (OSError, ValueError):
        return None


def _holder(folder: Path) -> str:
    process = _noted(folder)
    # it may not have signed yet
    return "another process" if process is None else f"process {process}"

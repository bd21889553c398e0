"""Writes that are whole or not at all."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_file(path: Path) -> Generator[Path]:
    """A temporary name to write a file under, which behind the `with` is flushed to the disk and
    takes the file's place; if the writing fails, the old file stays and nothing is left behind.

    Example:
        >>> from pathlib import Path; import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_file(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        # mkstemp makes files for the owner alone; a run folder is like any other
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        # a full disk does not say what was written
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise
    # a rename lasts through a power cut once its folder is on the disk
    _sync(path.parent)


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, flushes it to the disk, and renames it.

    Args:
        path: the file; what stood there is replaced only by the whole new content.
        content: its bytes.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file stays and nothing
            is left behind.

    Example:
        >>> from pathlib import Path; import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> atomic_write(path, b"{}")
        >>> path.read_text()
        '{}'
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def _sync(path: Path) -> None:
    # a folder cannot be opened to write, and not every system syncs a file that was opened to read
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON with sorted keys; a number that is not finite becomes null."""
    return json.dumps(_plain(value), sort_keys=True, indent=indent, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return _plain(value.item())
    return value

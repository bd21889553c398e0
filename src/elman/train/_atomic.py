"""Writes that are whole or not at all."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any


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
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; a run folder is like any other
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
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

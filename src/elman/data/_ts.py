"""The .ts files of the UEA and UCR archives of time-series classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ._sequences import narrow
from ._text import pieces


def read_ts(path: Path) -> tuple[list[Any], list[str] | None]:
    r"""The sequences (T_i, I) of a .ts file and their labels: a line for a sequence, its channels
    parted by colons, their steps by commas, the label behind the last colon. A `?` is NaN.

    Args:
        path: the file, which may have .gz behind.

    Returns:
        The sequences, and their labels, or None where the file says that it has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line does not fit; the text names it.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.ts"
        >>> _ = path.write_text("@classLabel true up down\n@data\n1,2,3:4,5,6:up\n")
        >>> sequences, labels = read_ts(path)
        >>> sequences[0].shape, labels
        ((3, 2), ['up'])
    """
    sequences: list[Any] = []
    labels: list[str] = []
    is_labelled, is_data, known = True, False, set[str]()
    for number, line in enumerate("".join(pieces(path)).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("@"):
            word, *values = text[1:].split()
            if word.lower() == "data":
                is_data = True
            elif word.lower() == "timestamps" and values[:1] == ["true"]:
                raise ValueError(
                    f"{path}: line {number}: steps with times of their own cannot be read; give"
                    " values alone."
                )
            elif word.lower() in ("classlabel", "targetlabel"):
                is_labelled, known = values[:1] == ["true"], set(values[1:])
            continue
        if not is_data:
            raise ValueError(f"{path}: line {number} comes before @data; give a .ts file.")
        channels = text.split(":")
        if is_labelled:
            labels.append(channels.pop().strip())
            if known and labels[-1] not in known:
                raise ValueError(
                    f"{path}: line {number}: the label {labels[-1]!r} is none of @classLabel's."
                )
        sequences.append(_sequence(channels, f"{path}: line {number}"))
    if not sequences:
        raise ValueError(f"{path}: there are no sequences in it; give a .ts file with data.")
    return sequences, labels if is_labelled else None


def _sequence(channels: list[str], where: str) -> Any:
    """The steps (T, I) of channels."""
    try:
        rows = [
            [float("nan") if one.strip() == "?" else float(one) for one in channel.split(",")]
            for channel in channels
        ]
    except ValueError as error:
        raise ValueError(f"{where}: {error}; mend the line.") from None
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        raise ValueError(
            f"{where}: channels of {' and '.join(map(str, sorted(lengths)))} steps; all need as"
            " many."
        )
    return narrow(np.array(rows, dtype=np.float64).T)

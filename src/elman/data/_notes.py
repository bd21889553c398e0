"""Music in: which keys of the piano sound at each step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from ._table import is_list, present, table_of

LOWEST, HIGHEST = 21, 108
KEYS = HIGHEST - LOWEST + 1
"""Keys of a piano; the first is the MIDI note 21, the last 108."""


def read_pieces(X: Any, where: str, *, column_name: str | None = None) -> list[Any]:
    """Pieces of music as the keys that sound at each step.

    Args:
        X: pieces, each a list of steps, each the MIDI notes (21 to 108) that sound; or arrays
            (T, 88) of 0 and 1; or a `pathlib.Path` of a table, or a data frame, with such lists in
            a column.
        where: what the messages start with.
        column_name: the column of a table; guessed if None.

    Returns:
        An array (T_i, 88) of 0 and 1, float32, for each piece.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: a piece, a step or a note is of another type.
        ValueError: a note is not on the keyboard, a piece has fewer than two steps, or no column
            has notes; the text names the place.

    Example:
        >>> (piece,) = read_pieces([[[60, 64, 67], [], [60]]], "fit")
        >>> piece.shape, notes_of(piece)
        ((3, 88), [[60, 64, 67], [], [60]])
    """
    given = table_of(X, where)
    if given is not None:
        table, where = given
        name = column_name or notes_column(table, where)
        pieces, first = present(table, name, where), ("row", 1)
    else:
        if isinstance(X, str) or not isinstance(X, Iterable):
            kind = type(X).__name__
            raise TypeError(f"{where}: X is a {kind}; give a list of pieces, or a pathlib.Path.")
        pieces, first = list(X), ("piece", 0)
    if not pieces:
        raise ValueError(f"{where}: there are no pieces; give at least one.")
    read: list[Any] = []
    for number, piece in enumerate(pieces, first[1]):
        place = f"{where}: {first[0]} {number}"
        read.append(keys_of(piece, place))
        if len(read[-1]) < 2:
            raise ValueError(
                f"{place} has {len(read[-1])} steps, and a piece goes on from one step to the next;"
                " give two or more, or drop it."
            )
    return read


def notes_column(table: pa.Table, where: str) -> str:
    """The column that holds lists of lists: that named notes, or the only one.

    Raises:
        ValueError: it cannot be told.

    Example:
        >>> notes_column(pa.table({"tune": [[[60]]], "year": [1850]}), "a.jsonl")
        'tune'
    """
    found = [f.name for f in table.schema if is_list(f.type) and is_list(f.type.value_type)]
    if "notes" in found:
        return "notes"
    if len(found) == 1:
        return found[0]
    names = ", ".join(repr(one) for one in table.column_names)
    raise ValueError(
        f"{where}: which column holds the notes, [[60, 64], …] for each piece? The columns are"
        f" {names}. Name one with --text-column."
    )


def keys_of(piece: Any, place: str) -> Any:
    """A piece as the keys that sound, (T, 88) of 0 and 1.

    Raises:
        TypeError: the piece, a step or a note is of another type.
        ValueError: a note is not on the keyboard.

    Example:
        >>> keys_of([[21, 108]], "prompt").nonzero()[1].tolist()
        [0, 87]
    """
    if isinstance(piece, np.ndarray) and piece.ndim == 2 and piece.shape[1] == KEYS:
        if not ((piece == 0) | (piece == 1)).all():
            raise ValueError(f"{place}: an array (T, {KEYS}) that holds more than 0 and 1.")
        return piece.astype(np.float32)
    if isinstance(piece, str) or not isinstance(piece, Iterable):
        raise TypeError(f"{place} is a {type(piece).__name__}; give a list of steps for each.")
    steps = list(piece)
    keys: Any = np.zeros((len(steps), KEYS), np.float32)
    for t, step in enumerate(steps):
        if isinstance(step, str) or not isinstance(step, Iterable):
            raise TypeError(
                f"{place}, step {t} is a {type(step).__name__}; give a list of MIDI notes, [] for"
                " silence."
            )
        for note in step:
            keys[t, _key(note, f"{place}, step {t}")] = 1
    return keys


def _key(note: Any, place: str) -> int:
    if isinstance(note, bool) or not isinstance(note, int | np.integer):
        raise TypeError(
            f"{place}: the note {note!r} is a {type(note).__name__}; give whole MIDI notes."
        )
    if not LOWEST <= note <= HIGHEST:
        raise ValueError(
            f"{place}: the note {note} is not on the keyboard; give MIDI notes from {LOWEST} to"
            f" {HIGHEST}."
        )
    return int(note) - LOWEST


def notes_of(keys: Any) -> list[list[int]]:
    """The MIDI notes at each step of (T, 88), the lowest first; what `keys_of` takes."""
    return [(np.flatnonzero(step) + LOWEST).tolist() for step in np.asarray(keys)]

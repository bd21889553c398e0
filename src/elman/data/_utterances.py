"""Utterances: sounds or their features, with what was said."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ._audio import FEATURES, SOUNDS, LogMel, Resampled, read_features, read_wav
from ._labelled import numbers_of
from ._sequences import as_sequences
from ._table import (
    TABLES,
    column,
    is_table,
    list_columns,
    present,
    read_table,
    string_columns,
    texts_of,
)
from ._text import pieces

_FILES = ("file", "path", "audio", "wav", "sound")
_TEXTS = ("text", "transcript", "sentence", "label")


@dataclass(frozen=True)
class SpeechColumns:
    """Which columns of a table hold what.

    Args:
        file: the sound's or feature file's path, from the table's folder on.
        text: what is said.
        sequence: the features themselves, a list of lists of numbers a row, in the place of files.
    """

    file: str | None = None
    text: str | None = None
    sequence: str | None = None


@dataclass(frozen=True)
class Spoken:
    """Utterances.

    Args:
        names: of the files; the rows' numbers, from 1, where a table holds the features.
        features: (T_i, I) each.
        texts: what is said; None where the texts were not read.
        mel: how features were made of sounds, with the rate.
    """

    names: list[str]
    features: list[Any]
    texts: list[str] | None
    mel: LogMel


def read_utterances(
    path: Path, mel: LogMel, columns: SpeechColumns | None = None, *, labelled: bool = True
) -> Spoken:
    """The features and the texts of utterances.

    Args:
        path: a table whose rows say a text and name its file, or hold its features in a column of
            lists; or a folder of sounds or feature files, with a .txt of the same name beside each;
            or, without `labelled`, one such file.
        mel: how features are made of sounds.
        columns: which columns of a table hold what; guessed where not given.
        labelled: whether texts are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: something cannot be read, or the files are not all sounds or all features.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    if path.is_dir():
        files, texts = _folder(path, labelled)
    elif is_table(path):
        table, columns = read_table(path), columns or SpeechColumns()
        sequence = _sequence_column(table, columns)
        if sequence is not None:
            return _lists(table, columns, sequence, str(path), mel, labelled)
        files, texts = _table(table, columns, path, labelled)
    else:
        files, texts = [path], None
        if labelled:
            raise ValueError(
                f"{path}: what is said in it is missing; give a table of files and texts"
                f" ({', '.join(TABLES)}), or a folder with a .txt beside each file."
            )
    features, mel = features_of(files, mel)
    return Spoken([str(one) for one in files], features, texts, mel)


def _folder(path: Path, labelled: bool) -> tuple[list[Path], list[str] | None]:
    known = (*SOUNDS, *FEATURES)
    files = sorted(one for one in path.rglob("*") if one.suffix.lower() in known)
    if not files:
        raise ValueError(f"{path}: no sounds below this folder; it needs {', '.join(known)} files.")
    if not labelled:
        return files, None
    texts: list[str] = []
    for one in files:
        beside = one.with_suffix(".txt")
        if not beside.exists():
            raise ValueError(f"{one}: there is no {beside.name} beside it that says its text.")
        texts.append(" ".join("".join(pieces(beside)).split()))
    return files, texts


def _table(
    table: pa.Table, columns: SpeechColumns, path: Path, labelled: bool
) -> tuple[list[Path], list[str] | None]:
    names = string_columns(table)
    file = columns.file or next((one for one in _FILES if one in names), None)
    if file is None:
        raise _unknown(table, str(path), "file", "--file-column")
    column(table, file, str(path))
    files = [path.parent / str(one) for one in present(table, file, str(path))]
    return files, _said(table, columns, file, str(path)) if labelled else None


def _sequence_column(table: pa.Table, columns: SpeechColumns) -> str | None:
    """The column of lists that holds the features; None where files do."""
    if columns.sequence is not None or columns.file is not None:
        return columns.sequence
    if any(one in string_columns(table) for one in _FILES):
        return None
    return next(iter(list_columns(table)), None)


def _lists(
    table: pa.Table, columns: SpeechColumns, name: str, where: str, mel: LogMel, labelled: bool
) -> Spoken:
    rows = present(table, name, where)
    found = as_sequences([numbers_of(one, row, where) for row, one in enumerate(rows, 1)], where)
    for row, one in enumerate(found, 1):
        if not np.isfinite(one).all():
            raise ValueError(f"{where}: row {row} has NaN or infinite numbers; mend it.")
    texts = _said(table, columns, name, where) if labelled else None
    return Spoken([str(row) for row in range(1, len(found) + 1)], found, texts, mel)


def _said(table: pa.Table, columns: SpeechColumns, other: str, where: str) -> list[str]:
    """The texts: of the named column, or of one that has a usual name."""
    names = [one for one in string_columns(table) if one != other]
    text = columns.text or next((one for one in _TEXTS if one in names), None)
    if text is None:
        raise _unknown(table, where, "text", "--text-column")
    return texts_of(table, text, where)


def _unknown(table: pa.Table, where: str, what: str, option: str) -> ValueError:
    return ValueError(
        f"{where}: which column holds the {what}? The columns are"
        f" {', '.join(map(repr, table.column_names))}. Name one with {option}."
    )


def features_of(files: list[Path], mel: LogMel) -> tuple[list[Any], LogMel]:
    """The features (T_i, I) of sounds or of feature files, and how they were made, with the rate.

    Sounds at another rate than the first one, or than `mel` says, are resampled, and `Resampled`
    warns once for all of them.

    Raises:
        ValueError: a file cannot be read, or not all are of one kind; the text names it.
    """
    kinds = {one.suffix.lower() in SOUNDS for one in files}
    if len(kinds) > 1:
        odd = next(one for one in files if one.suffix.lower() not in SOUNDS)
        raise ValueError(f"{odd}: no sound, and others are; give all sounds or all features.")
    found: list[Any] = []
    others: list[tuple[Path, int]] = []
    for one in files:
        if one.suffix.lower() in SOUNDS:
            try:
                samples, rate = read_wav(one, mel.rate)
                mel = replace(mel, rate=mel.rate or rate)
                if rate != mel.rate:
                    others.append((one, rate))
                found.append(mel.of(samples))
            except ValueError as error:
                said = str(error)
                raise ValueError(said if str(one) in said else f"{one}: {said}") from None
        elif one.suffix.lower() in FEATURES:
            found.append(read_features(one))
        else:
            known = ", ".join((*SOUNDS, *FEATURES))
            raise ValueError(f"{one}: cannot read {one.suffix or 'no ending'}; give {known}.")
        if not np.isfinite(found[-1]).all():
            raise ValueError(f"{one}: the features have NaN or infinite numbers; mend the file.")
        if found[-1].shape[1] != found[0].shape[1]:
            raise ValueError(
                f"{one}: {found[-1].shape[1]} features a frame, {files[0].name} has"
                f" {found[0].shape[1]}; all need the same."
            )
    if others:
        warnings.warn(
            f"{others[0][0]}: {others[0][1]} samples a second, the features are made at {mel.rate};"
            f" resampled ({len(others)} of {len(files)} sounds).",
            Resampled,
            stacklevel=2,
        )
    return found, mel

"""Pairs of texts: two columns of a table, or two files whose lines go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ._table import TABLES, column, is_table, read_table, string_columns, suffix, texts_of
from ._text import pieces


@dataclass(frozen=True)
class PairColumns:
    """Which columns hold what: names, or numbers from 1 for a .tsv file without a line of names.

    Args:
        source: what is read; the first text column if None.
        target: what is written; the second text column if None.
    """

    source: str | int | None = None
    target: str | int | None = None

    @property
    def are_numbers(self) -> bool:
        """Whether one of them is a number."""
        return isinstance(self.source, int) or isinstance(self.target, int)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, which may have .gz behind.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, binary or not UTF-8.
    """
    lines = "".join(pieces(path)).split("\n")
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def aligned_lines(sources: Path, targets: Path) -> tuple[list[str], list[str]]:
    r"""Two text files whose lines go together.

    Raises:
        ValueError: one is a table or has more lines, or a line is empty; the text names the first
            such line.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.de").write_text("ja\nnein\n"), (folder / "a.en").write_text("yes\n")
        >>> aligned_lines(folder / "a.de", folder / "a.en")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: ...a.de has 2 lines and ...a.en 1: line 2 of a.de has no partner; ...
    """
    for path in (sources, targets):
        if is_table(path):
            raise ValueError(
                f"{path}: this is a table, whose lines are no texts; give two text files whose"
                " lines go together, or the table alone."
            )
    read = read_lines(sources), read_lines(targets)
    a, b = (len(lines) for lines in read)
    if a != b:
        longer = sources if a > b else targets
        raise ValueError(
            f"{sources} has {a} lines and {targets} {b}: line {min(a, b) + 1} of {longer.name} has"
            " no partner; give files whose lines go together."
        )
    for path, lines in zip((sources, targets), read, strict=True):
        _refuse_empty(lines, f"{path}: line")
    return read


def guess_pair_columns(
    table: pa.Table, given: PairColumns, where: str, *, labelled: bool
) -> PairColumns:
    """The given columns, and guesses for the rest; without `labelled` the targets' may be missing.

    Raises:
        ValueError: a given column is not there, or one cannot be told.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"key": [1], "de": ["Hund"], "en": ["dog"]})
        >>> guess_pair_columns(table, PairColumns(), "a.csv", labelled=True)
        PairColumns(source='de', target='en')
    """
    texts = string_columns(table)
    needed = 2 if labelled else 1
    if (given.source is None or (labelled and given.target is None)) and len(texts) < needed:
        names = ", ".join(repr(one) for one in table.column_names)
        raise ValueError(
            f"{where}: {needed} columns of text are needed, and there {_count(len(texts))}; the"
            f" columns are {names}. Name them with --source-column and --target-column."
        )
    source = given.source if given.source is not None else texts[0]
    column(table, str(source), where)
    if given.target is not None or not labelled:
        return PairColumns(source, given.target)
    return PairColumns(source, next(name for name in texts if name != source))


def pairs_of_table(
    table: pa.Table, columns: PairColumns, where: str, *, labelled: bool
) -> tuple[list[str], list[str] | None]:
    """The sources and, if `labelled`, the targets of a table.

    Raises:
        ValueError: a column is not there or cannot be told, or a row has nothing in it.
    """
    chosen = guess_pair_columns(table, columns, where, labelled=labelled)
    sources = _texts(table, str(chosen.source), where)
    return sources, _texts(table, str(chosen.target), where) if labelled else None


def _count(texts: int) -> str:
    return "is one" if texts == 1 else f"are {texts or 'none'}"


def _texts(table: pa.Table, name: str, where: str) -> list[str]:
    found = texts_of(table, name, where)
    _refuse_empty(found, f"{where}: column {name!r}, row")
    return found


def _refuse_empty(texts: list[str], where: str) -> None:
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ValueError(f"{where} {number} is empty; take the pair out.")


def read_pairs(
    path: Path, columns: PairColumns | None = None, *, labelled: bool = True
) -> tuple[list[str], list[str] | None]:
    r"""Pairs from a table, or the sources alone from a text file.

    Args:
        path: a .csv, .tsv, .jsonl or .parquet file; without `labelled`, any text file too.
        columns: which columns hold what.
        labelled: whether targets are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file, a column or a row is not fit; the text names it.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.tsv"
        >>> _ = path.write_text("Hund\tdog\nKatze\tcat\n")
        >>> read_pairs(path, PairColumns(1, 2))
        (['Hund', 'Katze'], ['dog', 'cat'])
    """
    columns = columns or PairColumns()
    if not is_table(path):
        if labelled:
            raise ValueError(
                f"{path}: the targets are missing; give a table ({', '.join(TABLES)}), or a second"
                " file whose lines go with this one's."
            )
        lines = read_lines(path)
        _refuse_empty(lines, f"{path}: line")
        return lines, None
    if columns.are_numbers:
        return _numbered(path, columns, labelled)
    return pairs_of_table(read_table(path), columns, str(path), labelled=labelled)


def _numbered(
    path: Path, columns: PairColumns, labelled: bool
) -> tuple[list[str], list[str] | None]:
    if suffix(path) != ".tsv":
        raise ValueError(f"{path}: columns by number are for .tsv files; name them.")
    asked: list[Any] = [columns.source or 1, *([columns.target or 2] if labelled else [])]
    rows = [line.split("\t") for line in read_lines(path)]
    found: list[list[str]] = []
    for place in asked:
        if not isinstance(place, int) or place < 1:
            raise ValueError(f"{path}: column {place!r}; number both columns from 1, or name both.")
        for number, cells in enumerate(rows, 1):
            if len(cells) < place:
                raise ValueError(
                    f"{path}: line {number} has {len(cells)} columns, and column {place} is asked"
                    " for; mend the line."
                )
        texts = [cells[place - 1] for cells in rows]
        _refuse_empty(texts, f"{path}: column {place}, line")
        found.append(texts)
    return found[0], found[1] if labelled else None


def raw_texts(raw: Any, count: int, where: str) -> list[str]:
    """As many texts as there are sources: a list, or the lines of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are more or fewer.
    """
    texts, name = (read_lines(raw), str(raw)) if isinstance(raw, Path) else (list(raw), where)
    if len(texts) != count:
        raise ValueError(
            f"{name}: {len(texts)} raw texts and {count} sources: number"
            f" {min(len(texts), count) + 1} has no partner; give one for each."
        )
    return texts

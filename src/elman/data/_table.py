"""Tables in, through pyarrow: CSV, TSV, JSON lines, Parquet and any data frame."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
TEXT_NAMES = ("text", "sentence", "message", "review")
# a row is to fit into one: a book, or half a minute of features
_BLOCK = 1 << 26
# what is looked at to say what a file is
_HEAD = 1 << 16
# where a table says which file of cells it was read from
_CELLS = b"elman.cells"
_QUOTED = re.compile(rb'("[^"\t]*"\t)*"[^"\t]*"')


def suffix(path: Path) -> str:
    """The ending that tells the kind, without .gz."""
    return (Path(path.stem) if path.suffix == ".gz" else path).suffix.lower()


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its ending.

    Example:
        >>> is_table(Path("a.csv.gz")), is_table(Path("a.txt"))
        (True, False)
    """
    return suffix(path) in TABLES


def read_table(path: Path) -> pa.Table:
    r"""Reads a table; the first line of CSV and TSV names the columns.

    Args:
        path: a .csv, .tsv, .jsonl, .ndjson or .parquet file; the text ones may have .gz behind.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, binary, not UTF-8 or malformed, of another kind, or two of
            its columns have one name.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = path.write_text("x,y\n1,2\n")
        >>> read_table(path).column_names
        ['x', 'y']
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    kind = suffix(path)
    if kind not in TABLES:
        raise ValueError(f"{path}: {kind or 'no ending'} is no table; give {', '.join(TABLES)}.")
    try:
        table = _read(path, kind)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: {_reason(path, kind, str(error))}.") from None
    if kind in (".csv", ".tsv") and table.num_columns == 1:
        _refuse_separator(path, kind)
    if table.num_rows == 0:
        raise ValueError(f"{path}: the table has no rows; give a file with data in it.")
    if kind in (".csv", ".tsv"):
        _refuse_bytes(path, table)
        table = table.replace_schema_metadata({_CELLS: str(path)})
    else:
        table = table.replace_schema_metadata(None)
    return _with_own_names(path, table)


def _refuse_bytes(path: Path, table: pa.Table) -> None:
    """Refuses columns that pyarrow leaves as bytes, for a cell of theirs is not UTF-8."""
    for name, values in zip(_names(path, table), table.columns, strict=True):
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            row = next(i for i, cell in enumerate(values.to_pylist(), 1) if not _is_text(cell))
            raise ValueError(f"{path}: row {row}, column {name!r} is not UTF-8; {to_utf8(path)}.")


def _names(path: Path, table: pa.Table) -> list[str]:
    try:
        return table.column_names
    except UnicodeDecodeError:
        raise ValueError(f"{path}: line 1 is not UTF-8; {to_utf8(path)}.") from None


def _is_text(cell: bytes | None) -> bool:
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def to_utf8(path: Path) -> str:
    """What to do about a file that is not UTF-8."""
    return f"convert it, for example with iconv -f LATIN1 -t UTF-8 {path.name}"


def _with_own_names(path: Path, table: pa.Table) -> pa.Table:
    """The table without nameless columns that are empty, such as a spreadsheet leaves behind.

    Raises:
        ValueError: two columns have one name.
    """
    kept = [i for i, f in enumerate(table.schema) if f.name or not pa.types.is_null(f.type)]
    if 0 < len(kept) < table.num_columns:
        table = table.select(kept)
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{path}: {names.count(name)} columns are named {name!r}; give each its own name."
            )
    return table


def _read(path: Path, kind: str, text: str | None = None) -> pa.Table:
    """The table; or the column of a file of cells as texts, whatever they look like."""
    if kind == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path)
    if kind in (".csv", ".tsv"):
        import pyarrow.csv as csv

        # a tab file has no quotes by custom, and an SMS may hold one; those of elman predict do
        is_quoted = kind == ".csv" or _QUOTED.fullmatch(_first_line(path)) is not None
        parse = csv.ParseOptions(
            delimiter="\t" if kind == ".tsv" else ",",
            quote_char='"' if is_quoted else False,
            newlines_in_values=is_quoted,
        )
        convert = csv.ConvertOptions(strings_can_be_null=False)
        if text is not None:
            convert.include_columns, convert.column_types = [text], {text: pa.string()}
        try:
            return csv.read_csv(path, csv.ReadOptions(block_size=_BLOCK), parse, convert)
        except pa.ArrowInvalid:
            # one thread alone counts the rows
            blocks = csv.ReadOptions(block_size=_BLOCK, use_threads=False)
            return csv.read_csv(path, blocks, parse, convert)
    import pyarrow.json as json

    with pa.input_stream(str(path), compression="detect") as stream:
        return json.read_json(stream, json.ReadOptions(block_size=_BLOCK))


def _first_line(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="detect") as stream:
        return stream.read(_HEAD).split(b"\n")[0].rstrip(b"\r")


def _refuse_separator(path: Path, kind: str) -> None:
    """Refuses a table whose columns are parted by something else than its ending says."""
    head = _first_line(path)
    other = next((one for one in (b";", b"\t", b"|", b",") if one in head), None)
    # a sentence has blanks, where a file without a line of names begins with one
    is_own = (b"," if kind == ".csv" else b"\t") in head
    if other is not None and not is_own and b" " not in head:
        wanted = "commas" if kind == ".csv" else "tabs"
        raise ValueError(
            f"{path}: its line of names has {other.decode()!r} between the columns; put {wanted}"
            f" there, as {kind} files have them."
        )


def _reason(path: Path, kind: str, said: str) -> str:
    """What is wrong with a file that pyarrow refuses, in a line."""
    said = " ".join(said.split())
    if kind != ".parquet" and path.suffix != ".gz":
        with path.open("rb") as stream:
            start = stream.read(_HEAD)
        if not start.strip():
            return "the file is empty; give a file with data in it"
        if b"\0" in start:
            return f"a binary file (a zero byte at {start.index(0)}); give a {kind} file"
        if kind in (".csv", ".tsv"):
            _refuse_separator(path, kind)
    return f"cannot be read as {kind}: {said.replace('Row #', 'line ')}"


def table_of(X: Any, where: str) -> tuple[pa.Table, str] | None:
    """A table and the name to call it by, if X is one: a `pathlib.Path`, a data frame, a dict of
    columns; else None.

    Example:
        >>> table_of([1, 2], "fit") is None
        True
    """
    if isinstance(X, Path):
        return read_table(X), str(X)
    if isinstance(X, dict) or hasattr(X, "__arrow_c_stream__"):
        return as_table(X, where), where
    return None


def as_table(data: Any, where: str) -> pa.Table:
    """A table from any data frame with the Arrow interface, a dict of columns, or a pyarrow table.

    Example:
        >>> as_table({"x": [1, 2]}, "fit").num_rows
        2
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, dict):
        return pa.table(data)
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    raise TypeError(
        f"{where}: a {type(data).__name__} is no table; give a data frame or a dict of columns."
    )


def column(table: pa.Table, name: str, where: str) -> Any:
    """A column by name.

    Raises:
        ValueError: there is none of that name; the text lists those that exist.

    Example:
        >>> column(as_table({"x": [1]}, "fit"), "z", "data.csv")
        Traceback (most recent call last):
        ValueError: data.csv: no column 'z'; the columns are 'x'.
    """
    if name not in table.column_names:
        near = get_close_matches(name, table.column_names, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        names = ", ".join(repr(one) for one in table.column_names)
        raise ValueError(f"{where}: no column {name!r}; the columns are {names}.{meant}")
    return table[name]


def string_columns(table: pa.Table) -> list[str]:
    """The names of the columns that hold text."""
    return [f.name for f in table.schema if pa.types.is_string(f.type) or _is_large(f.type)]


def _is_large(kind: Any) -> bool:
    return pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def list_columns(table: pa.Table) -> list[str]:
    """The names of the columns whose rows are lists."""
    return [f.name for f in table.schema if is_list(f.type)]


def text_column(table: pa.Table, where: str) -> str:
    """The column that holds the text: one of the usual names, or the only string column.

    Raises:
        ValueError: it cannot be told.
    """
    found = string_columns(table)
    if (usual := usual_name(found, TEXT_NAMES)) is not None:
        return usual
    if len(found) == 1:
        return found[0]
    # texts of digits look like numbers
    if (usual := usual_name(table.column_names, TEXT_NAMES)) is not None:
        return usual
    names = ", ".join(repr(one) for one in table.column_names)
    raise ValueError(
        f"{where}: which column holds the text? The columns are {names}."
        " Name one with --text-column."
    )


def is_number(kind: Any) -> bool:
    """Whether a column of this type holds numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_list(kind: Any) -> bool:
    """Whether a column of this type holds lists."""
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def present(
    table: pa.Table, name: str, where: str, *, blank: bool = False, lack: str = "nothing"
) -> list[Any]:
    """A column without gaps, as a list.

    Args:
        table: the table.
        name: of the column.
        where: what the message starts with.
        blank: whether a text may be empty, as texts may that are read, and no label or id.
        lack: what a row without it has, in the message.

    Raises:
        ValueError: a row has nothing in it, or NaN; the text names the row.
    """
    values = column(table, name, where).to_pylist()
    for row, value in enumerate(values, 1):
        # NaN alone is not itself
        if value is None or value != value or (not blank and _is_blank(value)):
            raise ValueError(f"{where}: row {row} has {lack} in column {name!r}; drop it.")
    return values


def texts_of(table: pa.Table, name: str, where: str, *, lack: str = "nothing") -> list[str]:
    """A column without gaps as texts, as they stand in the file: "007" is no seven.

    Raises:
        ValueError: there is no such column, or a row has nothing in it; the text names the row.
    """
    kind = column(table, name, where).type
    source = (table.schema.metadata or {}).get(_CELLS)
    if source is not None and not pa.types.is_string(kind) and not pa.types.is_null(kind):
        path = Path(source.decode())
        table = _read(path, suffix(path), name)
    return [str(one) for one in present(table, name, where, blank=True, lack=lack)]


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def usual_name(names: Iterable[str], usual: Iterable[str]) -> str | None:
    """The first of the usual names that a column has, in whatever case; None without one.

    Example:
        >>> usual_name(["Message", "Category"], ["text", "message"])
        'Message'
    """
    names, usual = list(names), list(usual)
    lower = {name.lower(): name for name in names}
    # a name that is written as usual goes first
    found = [one for one in usual if one in names]
    found += [lower[one] for one in usual if one in lower]
    return next(iter(found), None)


def refuse_missing(block: Any, rows: Any, names: tuple[str, ...], missing: str, where: str) -> None:
    """Refuses infinite numbers, and missing ones where `missing` is "error".

    Args:
        block: numbers (T, I) of some rows of a table.
        rows: the numbers of those rows, from 0.
        names: the columns.
        missing: what may be done about NaN.
        where: what the message starts with.

    Raises:
        ValueError: there is one; the text names its row and column.
    """
    bad = ~np.isfinite(block) if missing == "error" else np.isinf(block)
    if not bad.any():
        return
    at, feature = (int(i) for i in np.argwhere(bad)[0])
    value = block[at, feature]
    found = "nothing, or NaN" if np.isnan(value) else str(value)
    advice = "mend it, or give missing=ffill or mask" if np.isnan(value) else "mend it"
    raise ValueError(
        f"{where}: row {rows[at] + 1}, column {names[feature]!r}: {found}"
        f" ({int(bad.sum())} such values); {advice}."
    )

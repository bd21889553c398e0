"""Text in: documents as streams of pieces, so that memory does not grow with a file."""

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ._table import is_table, read_table, suffix, text_column, texts_of, to_utf8
from ._unpack import unpacked

_CHUNK = 1 << 20
TEXTS = (".txt", ".text", ".md")


def documents(
    source: Path | Iterable[str], *, column_name: str | None = None
) -> Iterator[Iterator[str]]:
    """The documents of a source, each as pieces of text that are cut between lines.

    Args:
        source: a UTF-8 text file (one document), a folder of them (.txt, .text, .md; one document
            a file, in sorted order), a table (.csv, .tsv, .jsonl, .parquet; one document a row),
            any of them with .gz behind, or strings.
        column_name: the column of a table; guessed if None.

    Yields:
        One iterator of pieces for each document; exhaust one before the next.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is empty, binary or not UTF-8, a folder has no text in it, or a table no
            such column.

    Example:
        >>> ["".join(pieces) for pieces in documents(["one", "two"])]
        ['one', 'two']
    """
    if isinstance(source, str):
        raise TypeError(f"documents: {source[:40]!r} is a str; give a Path, or a list of texts.")
    if not isinstance(source, Path):
        yield from _given(source)
    elif source.is_dir():
        for file in text_files(source):
            yield pieces(file)
    elif is_table(source):
        table = read_table(source)
        name = column_name or text_column(table, str(source))
        for text in texts_of(table, name, str(source), lack="no text"):
            yield iter([text])
    else:
        yield pieces(source)


def _given(texts: Iterable[str]) -> Iterator[Iterator[str]]:
    for number, text in enumerate(texts):
        # the caller may pass anything
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"documents: item {number} is a {type(text).__name__}, not a str; give texts."
            )
        yield iter([text])


def text_files(folder: Path) -> list[Path]:
    """The text files below a folder, sorted.

    Raises:
        ValueError: there are none.
    """
    found = sorted(p for p in folder.rglob("*") if p.is_file() and suffix(p) in TEXTS)
    if not found:
        raise ValueError(
            f"{folder}: no text files below this folder; it needs files in {', '.join(TEXTS)}."
        )
    return found


def pieces(file: Path) -> Iterator[str]:
    """A text file in pieces of about a megabyte, cut at a line end or else between words."""
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file or folder.")
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept, offset, line, is_blank = "", 0, 1, True
    for content in unpacked(file):
        if b"\0" in content:
            at = offset + content.index(b"\0")
            raise ValueError(f"{file}: a binary file (a zero byte at {at}); give a text file.")
        text = _decode(decoder, content, file, offset, line)
        offset, line = offset + len(content), line + content.count(b"\n")
        is_blank = is_blank and not text.strip()
        kept += text.removeprefix("\ufeff") if offset == len(content) else text
        cut = _cut(kept)
        if cut:
            yield kept[:cut]
            kept = kept[cut:]
    _decode(decoder, b"", file, offset, line, final=True)
    if is_blank:
        raise ValueError(f"{file}: the file is empty; give a file with text in it.")
    if kept:
        yield kept


def _decode(
    decoder: codecs.IncrementalDecoder,
    content: bytes,
    file: Path,
    offset: int,
    line: int,
    *,
    final: bool = False,
) -> str:
    pending = len(decoder.getstate()[0])
    try:
        return decoder.decode(content, final)
    except UnicodeDecodeError as error:
        at = offset - pending + error.start
        line += content[: max(error.start - pending, 0)].count(b"\n")
        raise ValueError(f"{file}: not UTF-8 at byte {at}, line {line}; {to_utf8(file)}.") from None


def _cut(text: str) -> int:
    """Where to cut: behind the last line end, or else before the last space; 0 for not yet."""
    cut = text.rfind("\n") + 1
    if not cut and len(text) > _CHUNK:
        cut = max(text.rfind(" "), 0) or len(text)
    return cut


def fingerprint(source: Path | Iterable[str]) -> str:
    """A digest of a source's content, to tell whether two runs had the same data.

    Example:
        >>> fingerprint(["a"]) == fingerprint(["b"])
        False
    """
    digest = hashlib.sha256()
    if isinstance(source, Path):
        files = text_files(source) if source.is_dir() else [source]
        for file in files:
            with file.open("rb") as stream:
                while content := stream.read(_CHUNK):
                    digest.update(content)
            digest.update(b"\0")
    else:
        for text in source:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]

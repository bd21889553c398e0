"""Sentences whose words have tags: CoNLL and CoNLL-U files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ._table import suffix
from ._text import pieces

TAGGED = (".conllu", ".conll", ".iob", ".bio", ".txt", ".tsv")
# a comment of CoNLL-U: `# name = value`
_NAME = r"[^\s=]+"
_COMMENT = re.compile(rf"#\s*({_NAME})\s*=(.*)")
# the columns of CoNLL-U, https://universaldependencies.org/format.html
_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


@dataclass(frozen=True)
class TagColumns:
    """Which columns of a CoNLL file hold what, counted from 1; from the end if negative.

    Args:
        word: the words; 1, or the forms of CoNLL-U, if None.
        tag: the tags; the last one, or the universal parts of speech of CoNLL-U, if None.
        label: the name of the comment with the label of a sentence, "intent" for
            `# intent = PlayMusic` above its words; None where sentences have none.
    """

    word: int | None = None
    tag: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.word == 0 or self.tag == 0:
            raise ValueError("TagColumns: columns are counted from 1; 0 is none.")
        if self.label is not None and not re.fullmatch(_NAME, self.label):
            raise ValueError(
                f"TagColumns: label={self.label!r} cannot be the name of a comment; give it as it"
                " stands in the file, 'intent' for '# intent = PlayMusic'."
            )


@dataclass(frozen=True)
class Tagged:
    """Sentences.

    Args:
        words: of each sentence.
        tags: of each word; None where the file was read without them.
        lines: that each word stands in, from 1.
        labels: of each sentence; None where none were asked for.
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    lines: list[list[int]]
    labels: list[str] | None = None


def read_tagged(path: Path, columns: TagColumns | None = None, *, labelled: bool = True) -> Tagged:
    r"""Reads a CoNLL or a CoNLL-U file: a line for a word, an empty line behind a sentence.

    Columns are parted by tabs, or else by blanks. Of CoNLL-U, comments are left out, and so are
    the lines of words that were written in one (`1-2`) or that are not there (`8.1`). Where
    sentences have labels, any file has comments above its sentences.

    Args:
        path: a .conllu file, or any other for CoNLL; with .gz behind if it is compressed.
        columns: which columns hold the words and the tags, and what names the labels.
        labelled: whether the tags and the labels are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line has too few columns, or others than the line before it; or a sentence
            has no label or two; the text names the line.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.conll"
        >>> _ = path.write_text("John B-PER\nsleeps O\n\nYes O\n")
        >>> read_tagged(path).tags
        [['B-PER', 'O'], ['O']]
    """
    columns = columns or TagColumns()
    is_u = suffix(path) == ".conllu"
    word = _place(columns.word, 1 if is_u else 0)
    tag = _place(columns.tag, 3 if is_u else -1)
    asked = columns.label if labelled else None
    found = Tagged([], [] if labelled else None, [], None if asked is None else [])
    label: str | None = None
    words: list[str] = []
    tags: list[str] = []
    places: list[int] = []
    count = 0
    lines = "".join(pieces(path)).split("\n")
    for number, line in enumerate([*lines, ""], 1):
        text = line.rstrip("\r")
        if not text.strip():
            if words:
                found.words.append(words)
                found.lines.append(places)
                if found.tags is not None:
                    found.tags.append(tags)
                if found.labels is not None:
                    found.labels.append(_present(path, places[0], asked, label))
            words, tags, places, count, label = [], [], [], 0, None
            continue
        comment = _comment(text, words) if is_u or columns.label is not None else None
        if comment is not None:
            if comment[0] == asked:
                label = _only(path, number, comment, label)
            continue
        cells = text.split("\t") if "\t" in text else text.split()
        if (is_u and _is_left_out(text, cells)) or cells[0] == "-DOCSTART-":
            continue
        _check(path, number, cells, count, len(_CONLLU) if is_u else None)
        count = len(cells)
        places.append(number)
        words.append(_cell(path, number, cells, word, "word").strip())
        if labelled:
            if len(cells) == 1:
                raise ValueError(
                    f"{path}: line {number} has one column ({text.strip()[:30]!r});"
                    " it needs a word and its tag, with a tab or a blank between."
                )
            tags.append(_cell(path, number, cells, tag, "tag").strip())
    if not found.words:
        raise ValueError(f"{path}: there are no sentences in it; give a file with words in it.")
    return found


def _place(given: int | None, usual: int) -> int:
    """A column as Python counts."""
    return usual if given is None else given - 1 if given > 0 else given


def _is_left_out(text: str, cells: list[str]) -> bool:
    return text.startswith("#") or not cells[0].isdigit()


def _comment(text: str, words: list[str]) -> tuple[str, str] | None:
    """The name and the value of a comment above a sentence."""
    match = None if words else _COMMENT.match(text)
    return None if match is None else (match[1], match[2].strip())


def _only(path: Path, number: int, comment: tuple[str, str], before: str | None) -> str:
    """The label that a comment gives."""
    name, label = comment
    if not label:
        raise ValueError(f"{path}: line {number}: {name!r} is empty; mend the line.")
    if before is not None:
        raise ValueError(f"{path}: line {number}: a second {name!r} of one sentence; keep one.")
    return label


def _present(path: Path, number: int, name: str | None, label: str | None) -> str:
    """The label of a sentence, which must have one."""
    if label is None:
        raise ValueError(
            f"{path}: line {number}: the sentence has no label; give it a line"
            f" '# {name} = …' above its first word."
        )
    return label


def _check(path: Path, number: int, cells: list[str], before: int, needed: int | None) -> None:
    if needed is not None and len(cells) != needed:
        raise ValueError(
            f"{path}: line {number} has {len(cells)} columns, CoNLL-U has {needed}, parted by tabs;"
            " mend the line, or call the file .conll."
        )
    if before and len(cells) != before:
        raise ValueError(
            f"{path}: line {number} has {len(cells)} columns, the line before it {before};"
            " give all lines of a sentence as many."
        )


def _cell(path: Path, number: int, cells: list[str], place: int, what: str) -> str:
    if not -len(cells) <= place < len(cells):
        at = place + 1 if place >= 0 else place
        raise ValueError(
            f"{path}: line {number} has {len(cells)} columns, and the {what} is to be in column"
            f" {at}; name another column."
        )
    if not cells[place].strip():
        raise ValueError(f"{path}: line {number}: the {what} is empty; mend the line.")
    return cells[place]

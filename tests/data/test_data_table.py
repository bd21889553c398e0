"""Cells that look like numbers and are texts."""

import gzip

import pytest

from elman.data import (
    Columns,
    LogMel,
    PairColumns,
    StartColumns,
    documents,
    guess_columns,
    labelled_sequences,
    pairs_of_table,
    read_table,
    started_sequences,
    text_column,
)
from elman.data._table import texts_of
from elman.data._utterances import SpeechColumns, read_utterances

CELLS = ["007", "1.50", "2024-01-01 10:00", "true", "1e3", "0x1F", "-0"]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_text_is_as_it_stands_in_the_file(tmp_path, cell, name):
    mark = "\t" if "tsv" in name else ","
    content = f"label{mark}text\n" + f"x{mark}{cell}\n" * 3
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if "gz" in name else content.encode())
    table = read_table(path)
    assert texts_of(table, "text", "d") == [cell] * 3
    assert ["".join(one) for one in documents(path, column_name="text")] == [cell] * 3
    columns = Columns("label", "text")
    assert labelled_sequences(table, columns, "error", "d") == ([cell] * 3, ["x"] * 3)
    pairs = pairs_of_table(table, PairColumns("label", "text"), "d", labelled=True)
    assert pairs == (["x"] * 3, [cell] * 3)
    started = started_sequences(table, StartColumns(("label",), "text"), "d", labelled=True)
    assert started == (["x"] * 3, [cell] * 3)


def test_what_is_said_may_be_digits(tmp_path):
    (tmp_path / "a.mfc").write_bytes(b"\0\0\0\x0d" + b"\0" * 52)
    path = tmp_path / "a.csv"
    path.write_text("file,text\na.mfc,007\n")
    columns = SpeechColumns("file", "text")
    assert read_utterances(path, LogMel(), columns).texts == ["007"]


def test_texts_of_digits_are_found_by_their_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n007,1\n0070,2\n")
    table = read_table(path)
    assert guess_columns(table, Columns(), "d", labelled=True) == Columns("label", "text")
    assert text_column(table, "d") == "text"
    # a column of texts goes before one that only has the name
    path.write_text("review,body\n5,dull\n9,fine\n")
    assert text_column(read_table(path), "d") == "body"


def test_a_row_without_a_text_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": null}\n')
    with pytest.raises(ValueError, match="a.jsonl: row 2 has no text in column 'text'; drop it."):
        list(documents(path))

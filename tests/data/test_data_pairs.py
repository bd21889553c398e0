"""Pairs of texts, from tables and from files whose lines go together."""

import json

import pytest

from elman.data import PairColumns, aligned_lines, read_lines, read_pairs

PAIRS = (["Hund", "die Katze"], ["dog", "the cat"])


def test_files_whose_lines_go_together(tmp_path):
    for name, lines in zip(("a.de", "a.en"), PAIRS, strict=True):
        (tmp_path / name).write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    assert aligned_lines(tmp_path / "a.de", tmp_path / "a.en") == PAIRS


def test_tables_named_numbered_and_guessed(tmp_path):
    rows = [{"n": 1, "de": a, "en": b} for a, b in zip(*PAIRS, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip(*PAIRS, strict=True)))
    assert read_pairs(tmp_path / "a.jsonl") == PAIRS
    assert read_pairs(tmp_path / "a.jsonl", PairColumns("en", "de")) == PAIRS[::-1]
    assert read_pairs(tmp_path / "a.tsv", PairColumns(2, 1)) == PAIRS[::-1]
    assert read_pairs(tmp_path / "a.jsonl", labelled=False) == (PAIRS[0], None)


def test_sources_alone_come_from_a_text_file(tmp_path):
    (tmp_path / "a.txt").write_text("Hund\ndie Katze")
    assert read_pairs(tmp_path / "a.txt", labelled=False) == (PAIRS[0], None)
    assert read_lines(tmp_path / "a.txt") == PAIRS[0]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a\nb\nc\n", "x\n", "line 2 of a has no partner"),
        ("a\n", "x\ny\n", "line 2 of b has no partner"),
        ("a\n\n", "x\ny\n", "a: line 2 is empty; take the pair out"),
        ("a\nb\n", "x\n \n", "b: line 2 is empty; take the pair out"),
    ],
)
def test_lines_that_do_not_go_together_are_named(tmp_path, first, second, said):
    (tmp_path / "a").write_text(first)
    (tmp_path / "b").write_text(second)
    with pytest.raises(ValueError, match=said):
        aligned_lines(tmp_path / "a", tmp_path / "b")


def test_a_table_is_no_text_whose_lines_go_with_others(tmp_path):
    (tmp_path / "a.csv").write_text("de,en\na,b\n")
    (tmp_path / "b.txt").write_text("x\ny\n")
    for pair in (("a.csv", "b.txt"), ("b.txt", "a.csv")):
        with pytest.raises(ValueError, match="^/") as caught:
            aligned_lines(*(tmp_path / one for one in pair))
        assert str(caught.value) == (
            f"{tmp_path / 'a.csv'}: this is a table, whose lines are no texts; give two text files"
            " whose lines go together, or the table alone."
        )


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("a\tb\nc\n", PairColumns(1, 2), "line 2 has 1 columns, and column 2 is asked for"),
        ("a\tb\n\tc\n", PairColumns(1, 2), "column 1, line 2 is empty"),
        ("a\tb\n", PairColumns("de", 2), "column 'de'; number both columns from 1"),
        ("x\ty\na\tb\n", PairColumns("de", "y"), "no column 'de'; the columns are 'x', 'y'"),
        ("x\na\n", None, "2 columns of text are needed, and there is one; the columns are 'x'"),
        ("x\ty\na\t \n", None, "column 'y', row 1 is empty"),
    ],
)
def test_a_table_that_does_not_fit_is_explained(tmp_path, text, columns, said):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_pairs(tmp_path / "a.tsv", columns)


def test_targets_that_are_missing_are_asked_for(tmp_path):
    (tmp_path / "a.de").write_text("a\n")
    with pytest.raises(ValueError, match="the targets are missing; give a table"):
        read_pairs(tmp_path / "a.de")
    (tmp_path / "a.csv").write_text("a,b\nc,d\n")
    with pytest.raises(ValueError, match=r"by number are for \.tsv files"):
        read_pairs(tmp_path / "a.csv", PairColumns(1, 2))

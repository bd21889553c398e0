"""Text files of every kind, and the mistakes in them."""

import gzip
import json

import pytest

from elman.data import documents, fingerprint, read_table


def _texts(source, **more):
    return ["".join(pieces) for pieces in documents(source, **more)]


@pytest.mark.parametrize("size", [10, 1 << 20, (1 << 20) + 1, 3_000_001])
@pytest.mark.parametrize("unit", ["é☃ab\n", "wörd ", "long"])
def test_pieces_are_the_text_and_cut_between_words(tmp_path, size, unit):
    text = (unit * (size // len(unit.encode()) + 1))[: size // 2]
    file = tmp_path / "a.txt"
    file.write_text(text, encoding="utf-8")
    (pieces,) = (list(one) for one in documents(file))
    assert "".join(pieces) == text
    assert all(len(piece) <= 3 << 20 for piece in pieces)
    if " " in unit:
        # the space goes with the word behind it
        assert all(not piece.endswith(("w", "wö", "wör")) for piece in pieces[:-1])


def test_folders_tables_gzip_and_strings(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "sub" / "c.md").write_text("three")
    (tmp_path / "a.txt").write_text("\ufeffone")
    (tmp_path / "x.csv").write_text("text,n\nfirst,1\nsecond,2\n")
    with gzip.open(tmp_path / "z.txt.gz", "wt") as file:
        file.write("four")
    assert _texts(tmp_path) == ["one", "two", "three", "four"]
    assert _texts(tmp_path / "x.csv") == ["first", "second"]
    assert _texts(["x", "y"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", b"", "a.txt: the file is empty; give a file with text in it."),
        ("a.txt", b" \n \n", "a.txt: the file is empty; give a file with text in it."),
        ("a.txt", b"abc\0def", "a.txt: a binary file (a zero byte at 3); give a text file."),
        ("a.txt", b"ab\ncd\xff\n", "a.txt: not UTF-8 at byte 5, line 2; convert it, for example with"
         " iconv -f LATIN1 -t UTF-8 a.txt."),
        ("a.txt", b"ab\xc3", "a.txt: not UTF-8 at byte 2, line 1; convert it, for example with"
         " iconv -f LATIN1 -t UTF-8 a.txt."),
        ("a.txt", b"a" * ((1 << 20) - 1) + b"\xc3\n", "not UTF-8 at byte 1048575, line 1"),
        ("a.csv", b"p,q\nx,y\n", "a.csv: which column holds the text? The columns are 'p', 'q'."
         " Name one with --text-column."),
        ("a.csv", b"", "a.csv: the file is empty; give a file with data in it."),
        ("a.csv", b"a,b\n1\n", "a.csv: cannot be read as .csv: CSV parse error"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n6,7\n", "a.csv: cannot be read as .csv: CSV parse error: line 3:"
         " Expected 2 columns, got 3: 3,4,5."),
        ("a.csv", b"text;label\na b;x\n", "a.csv: its line of names has ';' between the columns; put"
         " commas there, as .csv files have them."),
        ("a.csv", b"text|label\na, b|x\n", "a.csv: its line of names has '|' between the columns;"),
        ("a.tsv", b"text,label\na b,x\n", "a.tsv: its line of names has ',' between the columns; put"
         " tabs there, as .tsv files have them."),
        ("a.csv", b"text\n", "a.csv: the table has no rows; give a file with data in it."),
        ("a.parquet", b"x", "a.parquet: cannot be read as .parquet"),
        ("a.jsonl", b'{"text": "a"}\n{"text": null}\n', "row 2 has no text in column 'text'"),
        ("a.csv", b"text,label\na,x\ncaf\xe9,y\n", "a.csv: row 2, column 'text' is not UTF-8;"
         " convert it, for example with iconv -f LATIN1 -t UTF-8 a.csv."),
        ("a.csv", b"t\xe9xt,label\na,x\n", "a.csv: line 1 is not UTF-8; convert it"),
        ("a.csv", b"text,v,v\na,1,2\n", "a.csv: 2 columns are named 'v'; give each its own name."),
        ("a.txt.gz", gzip.compress(b"one two " * 99, mtime=0)[:-9], "a.txt.gz: the packed file is damaged or"
         " cut off"),
        ("a.txt.gz", b"plain", "a.txt.gz: the packed file is damaged or cut off"),
    ],
)  # fmt: skip
def test_mistakes_in_files(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"\w") as caught:
        _texts(tmp_path / name)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        _texts(tmp_path / "no.txt")
    with pytest.raises(ValueError, match="no text files below this folder"):
        _texts(tmp_path)
    with pytest.raises(TypeError, match="is a str; give a Path"):
        _texts("text")
    with pytest.raises(TypeError, match="item 1 is a int, not a str"):
        _texts(["a", 3])


def test_a_missing_column_is_named_with_those_that_exist(tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\na,b\n")
    with pytest.raises(ValueError, match="no column 'lable'") as caught:
        _texts(file, column_name="lable")
    assert str(caught.value) == (
        f"{file}: no column 'lable'; the columns are 'text', 'label'. Did you mean 'label'?"
    )


def test_fingerprints_tell_contents_apart(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path / "a.txt") == first
    (tmp_path / "a.txt").write_text("two")
    assert fingerprint(tmp_path) != first
    assert fingerprint(["ab"]) != fingerprint(["a", "b"])


def test_a_tab_file_has_quotes_where_all_its_names_have(tmp_path):
    (tmp_path / "a.tsv").write_text('"text"\t"n"\n"a ""b""\tc\nd"\t1\n')
    assert read_table(tmp_path / "a.tsv").to_pydict() == {"text": ['a "b"\tc\nd'], "n": [1]}
    (tmp_path / "a.tsv").write_text('"text"\tn\n"a\t1\n')
    assert read_table(tmp_path / "a.tsv").to_pydict() == {'"text"': ['"a'], "n": [1]}
    # one column of sentences is no table with another separator
    (tmp_path / "a.tsv").write_text("Well, hello; you\nHi\n")
    assert read_table(tmp_path / "a.tsv").num_rows == 1


def test_nameless_empty_columns_and_rows_of_megabytes(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,,\na b,x,,\nc d,y,,\n")
    assert read_table(tmp_path / "a.csv").column_names == ["text", "label"]
    book = "word " * 600_000
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": book}) + '\n{"text": "short"}\n')
    assert _texts(tmp_path / "a.jsonl") == [book, "short"]

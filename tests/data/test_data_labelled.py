import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from elman.data import Columns, as_table, column, guess_columns, labelled_sequences, read_table


def _read(table, given=None, labelled=True, missing="ffill"):
    columns = guess_columns(table, given or Columns(), "d", labelled=labelled)
    X, y = labelled_sequences(table, columns, missing, "d")
    return columns, X, y


def test_texts_lists_and_long_tables(tmp_path):
    (tmp_path / "a.tsv").write_text('kind\tmessage\nham\tsay "hi\nspam\twin, now\n')
    columns, X, y = _read(read_table(tmp_path / "a.tsv"), Columns(label="kind"))
    assert (X, y) == (['say "hi', "win, now"], ["ham", "spam"])
    assert columns.describe() == "columns: label = kind; text = message"

    rows = [{"sequence": [[1, 2], [3, 4]], "label": 0}, {"sequence": [[5, 6]], "label": 1}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, X, y = _read(read_table(tmp_path / "a.jsonl"))
    assert [x.tolist() for x in X] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert y == [0, 1]

    table = pa.table({
        "patient": ["b", "a", "b", "a"], "hour": [2, 1, 1, 2], "pulse": [20.0, 30.0, 10.0, None],
        "label": ["x", "y", "x", "y"],
    })  # fmt: skip
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    given = Columns(id="patient", time="hour")
    columns, X, y = _read(read_table(tmp_path / "a.parquet"), given)
    assert columns.features == ("pulse",)
    assert X[0].tolist() == [[10], [20]]
    assert np.isnan(X[1][1, 0])
    with pytest.raises(ValueError, match="^d: row 4, column 'pulse': nothing, or NaN"):
        _read(table, given, missing="error")
    assert y == ["x", "y"]
    assert _read(table.drop_columns("label"), given, labelled=False)[2] is None


@pytest.mark.parametrize(
    ("columns", "given", "text"),
    [
        ({"a": ["x"], "b": ["y"], "c": [1]}, Columns(),
         "d: which column holds the sequences? The columns are 'a', 'b', 'c'."
         " Name one with --text-column, --sequence-column or --id-column."),
        ({"text": ["x", None], "label": [1, 2]}, Columns(),
         "d: row 2 has nothing in column 'text'; drop it."),
        ({"id": [1, 1], "v": [1, 2], "label": ["a", "b"]}, Columns(id="id"),
         "d: the sequence 1 has several labels ('a', 'b'); give one for all its rows."),
        ({"text": ["x", "y"], "label": ["a", " "]}, Columns(),
         "d: row 2 has nothing in column 'label'; drop it."),
        ({"text": ["x", "y"], "label": [1.0, float("nan")]}, Columns(),
         "d: row 2 has nothing in column 'label'; drop it."),
        ({"id": ["a", ""], "v": [1, 2], "label": ["a", "a"]}, Columns(id="id"),
         "d: row 2 has nothing in column 'id'; drop it."),
        ({"id": [1, 1], "v": [1, 2], "t": [float("nan"), 2], "label": ["a", "a"]},
         Columns(id="id", time="t"), "d: row 1 has nothing in column 't'; drop it."),
        ({"text": ["x"], "label": ["a"]}, Columns(id="label", label="text"),
         "d: no column of numbers is left for the steps; the columns are 'text', 'label'."
         " Name columns of numbers with --feature."),
        ({"s": [[1.0]]}, Columns(),
         "d: which column holds the labels? The columns are 's'. Name one with --label-column."),
        ({"text": ["x"], "label": [1]}, Columns(label="lable"),
         "d: no column 'lable'; the columns are 'text', 'label'. Did you mean 'label'?"),
        ({"id": [1, 1], "v": [1, 2], "when": ["t2", "t10"], "label": ["a", "a"]},
         Columns(id="id", time="when"), "d: row 1, column 'when': 't2' is no time; give ISO dates as"
         " 2024-12-31 or 2024-12-31 23:00."),
        ({"s": [[[1], [2, 3]]], "label": [1]}, Columns(),
         "d: row 1 holds no rectangular list of numbers; give [[…], …], one list a step."),
    ],
)  # fmt: skip
def test_mistakes_in_tables(columns, given, text):
    with pytest.raises(ValueError, match="^d: ") as caught:
        _read(pa.table(columns), given)
    assert str(caught.value) == text


def test_texts_may_be_empty():
    assert _read(pa.table({"text": ["", "x"], "label": [0, 1]}))[1] == ["", "x"]
    # labels that are not asked for are not read
    table = pa.table({"text": ["x", "y"], "label": ["a", ""]})
    assert _read(table, labelled=False) == (Columns(text="text"), ["x", "y"], None)


@pytest.mark.parametrize(
    ("names", "given", "label"),
    [
        (("category", "text"), Columns(), "category"),
        (("Category", "Message"), Columns(), "Category"),
        (("Y", "message", "from"), Columns(), "Y"),
        (("Label", "target", "Text"), Columns(), "target"),
        (("kind", "essay"), Columns(text="essay"), "kind"),
        (("a", "b", "essay"), Columns(text="essay"), "b"),
        (("text", "review"), Columns(text="text"), "review"),
        (("x", "kind", "id"), Columns(id="id", features=("x",)), "kind"),
        (("kind", "x", "id", "t"), Columns(id="id", time="t", features=("x",)), "kind"),
        (("text", "kind"), Columns(), "kind"),
    ],
)
def test_what_the_label_may_be(names, given, label):
    table = pa.table({name: ["1", "2"] for name in names})
    found = guess_columns(table, given, "d", labelled=True)
    assert found.label == label
    assert found.text != label


def test_lists_are_no_labels():
    table = pa.table({"kind": ["a"], "steps": [[1.0, 2.0]]})
    assert guess_columns(table, Columns(), "d", labelled=True) == Columns("kind", sequence="steps")


def test_tables_come_in_many_forms(tmp_path):
    table = pa.table({"x": [1]})
    assert as_table(table, "f") is table
    assert column(as_table({"x": [1]}, "f"), "x", "f").to_pylist() == [1]

    class Frame:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    assert as_table(Frame(), "f").equals(table)
    with pytest.raises(TypeError, match="f: a list is no table; give a data frame"):
        as_table([1], "f")
    (tmp_path / "a.xls").write_text("x")
    with pytest.raises(ValueError, match=r"a.xls: .xls is no table; give .csv, .tsv"):
        read_table(tmp_path / "a.xls")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(tmp_path / "no.csv")
    (tmp_path / "a.csv").write_bytes(b"x\0y\n1,2,3\n")
    with pytest.raises(ValueError, match=r"a.csv: a binary file \(a zero byte at 1\)"):
        read_table(tmp_path / "a.csv")

"""Music comes in as the keys that sound; what is no music is refused with its place."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from elman.data import KEYS, keys_of, notes_of, read_pieces

PIECES = [[[60, 64, 67], [], [60]], [[21], [108, 21]]]


def rows(path, pieces, name="notes", **more):
    lines = [json.dumps({name: piece, **more}) for piece in pieces]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_notes_become_keys_and_notes_again():
    found = read_pieces(PIECES, "fit")
    assert [one.shape for one in found] == [(3, KEYS), (2, KEYS)]
    assert found[1].nonzero()[1].tolist() == [0, 0, 87]
    assert [notes_of(one) for one in found] == [PIECES[0], [[21], [21, 108]]]
    # sets, tuples, NumPy's numbers, a note that is said twice
    same = read_pieces([[{64, 60, 67}, (), np.array([60, 60])]], "fit")
    assert np.array_equal(same[0], found[0])
    # a piano roll is taken as it is
    assert np.array_equal(read_pieces([found[0] > 0], "fit")[0], found[0])


@pytest.mark.parametrize("name", ["notes", "chords"])
def test_tables_hold_a_piece_in_each_row(tmp_path, name):
    lines = rows(tmp_path / "a.jsonl", PIECES, name, title="a tune", year=1723, parts=[1, 2])
    table = pa.table({name: PIECES, "title": ["a", "b"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    for source in (lines, tmp_path / "a.parquet", table):
        found = read_pieces(source, "fit", column_name=None)
        assert [notes_of(one) for one in found] == [notes_of(keys_of(p, "")) for p in PIECES]
    both = pa.table({"left": PIECES, "right": PIECES[::-1]})
    assert notes_of(read_pieces(both, "fit", column_name="right")[1]) == PIECES[0]


@pytest.mark.parametrize(
    ("pieces", "kind", "said"),
    [
        ([], ValueError, "fit: there are no pieces; give at least one."),
        ("abc", TypeError, "fit: X is a str; give a list of pieces, or a pathlib.Path."),
        (7, TypeError, "fit: X is a int; give a list of pieces, or a pathlib.Path."),
        (["abc"], TypeError, "fit: piece 0 is a str; give a list of steps for each."),
        ([PIECES[0], []], ValueError, "fit: piece 1 has 0 steps, and a piece goes on from one step to the"
         " next; give two or more, or drop it."),
        ([[[60]]], ValueError, "fit: piece 0 has 1 steps"),
        ([[[60], 62]], TypeError, "fit: piece 0, step 1 is a int; give a list of MIDI notes, [] for silence."),
        ([[[60], None]], TypeError, "fit: piece 0, step 1 is a NoneType; give a list"),
        ([[[60], [20]]], ValueError, "fit: piece 0, step 1: the note 20 is not on the keyboard; give MIDI"
         " notes from 21 to 108."),
        ([[[109], [60]]], ValueError, "fit: piece 0, step 0: the note 109 is not on the keyboard"),
        ([[[60.5], [60]]], TypeError, "fit: piece 0, step 0: the note 60.5 is a float; give whole MIDI notes."),
        ([[["C4"], [60]]], TypeError, "the note 'C4' is a str; give whole MIDI notes."),
        ([[[True], [60]]], TypeError, "the note True is a bool; give whole MIDI notes."),
        ([np.full((3, KEYS), 2)], ValueError, "fit: piece 0: an array (T, 88) that holds more than 0 and 1."),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_music_is_refused(pieces, kind, said):
    with pytest.raises(kind, match=r"\w") as caught:
        read_pieces(pieces, "fit")
    assert str(caught.value).startswith(said) or said in str(caught.value)


def test_what_is_no_table_of_music_is_refused(tmp_path):
    path = rows(tmp_path / "a.jsonl", [PIECES[0], [[60], [20]]])
    with pytest.raises(ValueError, match=r"a.jsonl: row 2, step 1: the note 20 is not on the keyb"):
        read_pieces(path, "fit")
    (tmp_path / "b.jsonl").write_text('{"text": "a tune"}\n')
    with pytest.raises(ValueError, match=r"b.jsonl: which column holds the notes, .* are 'text'\."):
        read_pieces(tmp_path / "b.jsonl", "fit")
    with pytest.raises(TypeError, match=r"b.jsonl: row 1 is a str; give a list of steps for each"):
        read_pieces(tmp_path / "b.jsonl", "fit", column_name="text")
    with pytest.raises(FileNotFoundError, match="c.jsonl: no such file"):
        read_pieces(tmp_path / "c.jsonl", "fit")
    (tmp_path / "d.txt").write_text("60 64\n")
    with pytest.raises(ValueError, match=r"d.txt: .txt is no table; give .csv"):
        read_pieces(tmp_path / "d.txt", "fit")

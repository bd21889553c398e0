"""Labels and vectors of a table, and the sequences that they start."""

import pytest

from elman.data import StartColumns, as_table, started_sequences

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("columns", "start", "said"),
    [
        ({"label": ["a", ""]}, (), "d: row 2 has nothing in column 'label'; drop it."),
        ({"p": [1.0, NAN]}, (), "d: row 2 has nothing in column 'p'; drop it."),
        (
            {"p": [1, 2], "q": [0.5, -INF]},
            (),
            "d: row 2, column 'q': -inf (1 such values); mend it.",
        ),
        ({"p": [INF, 2.0]}, ("p",), "d: row 1, column 'p': inf (1 such values); mend it."),
    ],
)
def test_a_start_that_says_nothing_is_named(columns, start, said):
    table = as_table({**columns, "name": ["ab", "cd"]}, "d")
    with pytest.raises(ValueError, match="^d: ") as caught:
        started_sequences(table, StartColumns(start, "name"), "d", labelled=True)
    assert str(caught.value) == said


def test_a_sequence_may_be_empty():
    table = as_table({"label": ["a", "b"], "name": ["ab", ""]}, "d")
    assert started_sequences(table, StartColumns(), "d", labelled=True)[1] == ["ab", ""]

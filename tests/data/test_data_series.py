"""Time series from tables and arrays: the axis, the season, gaps, what is known ahead."""

from datetime import UTC, datetime, time, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import Calendar, Series, SeriesColumns, as_series

from elman.data import guess_series_columns, series_of_table  # isort: skip


START = datetime(2024, 1, 1)


def axis(*times):
    return Calendar.of(np.array(times, dtype="datetime64[s]"))


@pytest.mark.parametrize(
    ("times", "season", "then", "features"),
    [
        (("2024-01-01T00", "2024-01-01T01"), 24, "2024-01-01T02:00:00", 6),
        (("2024-01-01T00:00", "2024-01-01T00:15"), 96, "2024-01-01T00:30:00", 6),
        (("2024-02-28", "2024-02-29"), 7, "2024-03-01T00:00:00", 4),
        (("2024-01-01", "2024-01-08"), 52, "2024-01-15T00:00:00", 2),
        (("2024-01-01", "2024-02-01"), 12, "2024-03-01T00:00:00", 2),
        (("2024-01-15", "2024-02-15"), 12, "2024-03-15T00:00:00", 2),
        (("2024-01-31", "2024-02-29"), 12, "2024-03-31T00:00:00", 2),
        (("2024-06-30", "2024-07-31"), 12, "2024-08-31T00:00:00", 2),
        (("2023-12-31T12", "2024-01-31T12"), 12, "2024-02-29T12:00:00", 2),
        (("2024-01-30T12", "2024-03-30T12"), 1, "2024-05-30T12:00:00", 2),
        (("2024-06-30", "2024-09-30"), 4, "2024-12-31T00:00:00", 2),
        (("2022-02-28", "2023-02-28"), 1, "2024-02-29T00:00:00", 0),
        (("2024-01-01", "2024-04-01"), 4, "2024-07-01T00:00:00", 2),
        (("2023-01-01", "2024-01-01"), 1, "2025-01-01T00:00:00", 0),
        (("2024-01-01T00:00:00", "2024-01-01T00:00:07"), 1, "2024-01-01T00:00:14", 6),
    ],
)
def test_the_step_tells_season_times_and_features(times, season, then, features):
    calendar, places = axis(*times)
    assert places.tolist() == [0, 1]
    assert calendar.season == season
    assert str(calendar.times(3)[2]) == then
    assert calendar.features(5).shape == (5, features)
    np.testing.assert_array_equal(calendar.features(5)[2:], calendar.features(5, 2))


@given(st.integers(1, 400), st.sampled_from([60, 3600, 86400, 604800]), st.integers(0, 10**9))
def test_regular_times_come_back(count, step, start):
    times = (start + step * np.arange(count + 1)).astype("datetime64[s]")
    calendar, places = Calendar.of(times)
    np.testing.assert_array_equal(places, np.arange(count + 1))
    np.testing.assert_array_equal(calendar.times(count + 1), times)


def read(columns, given=None, missing="error"):
    table = pa.table(columns)
    chosen = guess_series_columns(table, given or SeriesColumns(), "d")
    return chosen, series_of_table(table, chosen, missing, "d")


def test_one_series_with_gaps():
    table = {"date": ["2024-01-01", "2024-01-02", "2024-01-05"], "sold": [1, 2, 5]}
    columns, (one,) = read(table, missing="ffill")
    assert columns.describe() == "columns: target = sold; time = date"
    np.testing.assert_array_equal(one.target, [1, 2, np.nan, np.nan, 5])
    assert one.name == "sold"
    assert str(one.calendar.times(1)[0]) == "2024-01-01T00:00:00"


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_rows_behind_the_last_number_are_not_yet(missing):
    table = {"date": ["2024-01-01", "2024-01-02", "2024-01-03"], "sold": [1.0, None, None]}
    (one,) = read(table, missing=missing)[1]
    assert one.target.tolist() == [1]
    assert str(one.calendar.times(2)[1]) == "2024-01-02T00:00:00"
    with pytest.raises(ValueError, match="row 2, column 'sold': nothing, or NaN"):
        read(table)


def test_many_series_and_what_is_known_ahead():
    table = {
        "id": ["a", "b", "a", "b", "a"],
        "y": [1.0, 10.0, 2.0, None, None],
        "seen": [5.0, 6.0, 7.0, None, None],
        "price": [0.1, 0.2, 0.3, 0.4, 0.5],
    }
    columns, (a, b) = read(table, SeriesColumns(observed=("seen",), known=("price",)))
    assert columns.target == "y"
    assert columns.id == "id"
    assert a.target.tolist() == [1, 2]
    assert a.known.tolist() == [[0.1], [0.3], [0.5]]
    assert a.observed.tolist() == [[5], [7]]
    assert (b.name, b.target.tolist(), b.known.tolist()) == ("b", [10], [[0.2], [0.4]])
    # a counter that looks like a date is none
    assert read({"Month": ["1-01", "1-02"], "Sales": [1, 2]})[0].time is None
    stamps = pa.array(np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[s]"))
    assert read({"when": stamps, "v": [1, 2]})[0].time == "when"


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([20240228, 20240229], ["2024-02-28", "2024-02-29", "2024-03-01"]),
        (["20240228", "20240229"], ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ([1999, 2000], ["1999-01-01", "2000-01-01", "2001-01-01"]),
        # a jitter below a hundredth of the step
        (
            [START, START + timedelta(seconds=60.007)],
            [START, "2024-01-01T00:01", "2024-01-01T00:02"],
        ),
        ([datetime(9999, 1, 1), datetime(9999, 1, 2)], ["9999-01-01", "9999-01-02", "9999-01-03"]),
    ],
)
def test_whole_numbers_and_fine_times(times, found):
    (one,) = read({"t": times, "v": [1, 2]}, SeriesColumns(time="t"))[1]
    np.testing.assert_array_equal(one.calendar.times(3), np.array(found, "datetime64[s]"))


@pytest.mark.parametrize(
    "times",
    [
        ["2024-03-31T00:00:00+01:00", "2024-03-31T03:00:00+02:00"],
        ["2024-03-30T23:00:00Z", "2024-03-31 01:00Z"],
        [datetime(2024, 3, 30, 23, tzinfo=UTC), datetime(2024, 3, 31, 1, tzinfo=UTC)],
        [datetime(2024, 3, 31, hour, tzinfo=timezone(timedelta(hours=1))) for hour in (0, 2)],
    ],
)
def test_times_with_a_zone_become_utc_with_one_notice(times):
    said = "^d: the times in column 'date' have a zone; they are read, and forecast, in UTC.$"
    with pytest.warns(UserWarning, match=said) as notices:
        (one,) = read({"date": times, "v": [1, 2]})[1]
    assert len(notices) == 1
    found = np.array(["2024-03-30T23", "2024-03-31T01", "2024-03-31T03"], "datetime64[s]")
    np.testing.assert_array_equal(one.calendar.times(3), found)


def test_a_time_of_day_does_not_hide_the_date():
    table = {"time": [time(12), time(12)], "date": ["2024-01-01", "2024-01-02"], "v": [1, 2]}
    assert read(table)[0].time == "date"
    assert read({"month": ["May", "June"], "v": [1, 2]})[0].time is None


def test_a_whole_series_in_each_row():
    table = {"id": [7, 8], "date": ["2024-01-01"] * 2, "y": [[1, 2, 3], [4, None]]}
    columns, (a, b) = read(table, missing="ffill")
    assert columns.describe() == "columns: target = y; id = id"
    assert (a.name, a.target.tolist(), a.calendar) == ("7", [1, 2, 3], None)
    assert (b.name, b.length) == ("8", 2)
    assert np.isnan(b.target[1])
    assert [one.name for one in read({"y": [[1.0], [2.0]]})[1]] == ["", ""]


@pytest.mark.parametrize(
    ("columns", "given", "text"),
    [
        ({"name": ["x"]}, None, "d: no column of numbers to forecast; the columns are 'name'."
         " Name one with --target-column."),
        ({"v": [1.0]}, SeriesColumns(target="w"), "d: no column 'w'; the columns are 'v'."),
        ({"v": [1.0]}, SeriesColumns(target="v", known=("v",)), "d: column 'v' is given 2 times among"
         " the target and the covariates; give it once, for what is forecast is not known ahead."),
        ({"v": ["x"]}, SeriesColumns(target="v"), "d: column 'v' holds no numbers ('x' in row 1);"
         " name a column of numbers."),
        ({"v": [1.0, None, 2.0]}, None, "d: row 2, column 'v': nothing, or NaN (1 such values);"
         " mend it, or give missing=ffill or mask."),
        ({"v": [1.0, float("inf")]}, None, "d: row 2, column 'v': inf (1 such values); mend it."),
        ({"date": ["2024-01-01", "2024-01-02", "2024-01-04"], "v": [1, 2, 3]}, None,
         "d: row 3: 1 step is missing before 2024-01-04T00:00:00; add the rows,"
         " or give missing=ffill or mask."),
        ({"date": ["2024-01-02", "2024-01-01"], "v": [1, 2]}, None,
         "d: row 2: 2024-01-01T00:00:00 comes after 2024-01-02T00:00:00; sort the rows, one a step."
         " Name the series with --id-column if there are several."),
        ({"date": ["2024-01-01", "2024-01-02", "2024-01-02"], "v": [1, 2, 3]}, None,
         "d: row 3: 2024-01-02T00:00:00 is there twice; sort the rows, one a step."
         " Name the series with --id-column if there are several."),
        ({"id": ["a", "b", "a"], "y": [[1.0], [2.0], [3.0]]}, None,
         "d: row 3: the series 'a' is there already; give each one row."),
        ({"y": [[1.0], [2.0, None, 3.0]]}, None,
         "d: row 2, column 'y': nothing, or NaN (1 such values); mend it, or give missing=ffill or"
         " mask."),
        ({"y": [[1.0], None]}, None, "d: row 2 has nothing in column 'y'; drop it."),
        ({"y": [[1.0], []]}, None, "d: row 2 has no number in 'y'; drop it."),
        ({"y": [[1.0]], "p": [2.0]}, SeriesColumns(target="y", known=("p",)),
         "d: 'y' holds a whole series in each row, which leaves no room for 'p'; give a table with"
         " a row for each step."),
        ({"date": ["2024-01-01T00", "2024-01-01T02", "2024-01-01T05"], "v": [1, 2, 3]}, None,
         "d: row 3: 2024-01-01T05:00:00 is off the series' step of 2 hours; sort the rows, one a"
         " step. Name the series with --id-column if there are several."),
        ({"t": ["2024-01-01", "soon"], "v": [1, 2]}, SeriesColumns(time="t"),
         "d: row 2, column 't': 'soon' is no time; give ISO dates as 2024-12-31 or"
         " 2024-12-31 23:00."),
        ({"date": ["01/05/2024", "01/06/2024"], "v": [1, 2]}, None, "d: row 1, column 'date':"
         " '01/05/2024' is no time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"ds": ["5.1.24", "6.1.24"], "v": [1, 2]}, None, "d: row 1, column 'ds': '5.1.24' is no"
         " time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"month": ["May 2024", "June 2024"], "v": [1, 2]}, None, "d: row 1, column 'month':"
         " 'May 2024' is no time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"time": [time(0, 0), time(0, 1)], "v": [1, 2]}, None, "d: row 1, column 'time':"
         " '00:00:00' is no time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"t": [0, 1], "v": [1, 2]}, SeriesColumns(time="t"), "d: row 1, column 't': 0 is no time;"
         " give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"t": [20241301, 20241302], "v": [1, 2]}, SeriesColumns(time="t"), "d: row 1, column 't':"
         " 20241301 is no time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"t": [1704067200000], "v": [1]}, SeriesColumns(time="t"), "d: row 1, column 't':"
         " 1704067200000 is no time; give ISO dates as 2024-12-31 or 2024-12-31 23:00."),
        ({"date": [START, START + timedelta(seconds=1.5)], "v": [1, 2]}, None, "d: row 2, column"
         " 'date': 2024-01-01T00:00:01.500000 is 1.5 seconds from the row before it, and steps are"
         " whole seconds; round the times, or leave the column out."),
        ({"date": ["2024-01-01T00:00:00.1", "2024-01-01T00:00:00.2"], "v": [1, 2]}, None, "d: row"
         " 2, column 'date': 2024-01-01T00:00:00.200000 is 0.1 seconds from the row before it, and"
         " steps are whole seconds; round the times, or leave the column out."),
        ({"id": ["a", " "], "v": [1.0, 2.0]}, None, "d: row 2 has nothing in column 'id'; drop it."),
        ({"date": ["2024-01-01", None], "v": [1, 2]}, None,
         "d: row 2 has nothing in column 'date'; drop it."),
        ({"id": ["a", "b"], "v": [1.0, None]}, None,
         "d: the series 'b' has no number in 'v'."),
    ],
)  # fmt: skip
def test_mistakes_in_tables(columns, given, text):
    with pytest.raises(ValueError, match="^d: ") as caught:
        read(columns, given)
    assert str(caught.value) == text


def test_arrays():
    one = as_series(np.arange(4.0), "f")
    assert [s.length for s in one] == [4]
    many = as_series([np.ones((3, 2)), Series([1.0])], "f")
    assert many[0].observed.shape == (3, 1)
    assert many[1].known.shape == (1, 0)
    for bad, said in (
        (["x"], "f: series 0 is no array of numbers"),
        ([], "f: there are no series"),
        ([np.ones((2, 2, 2))], "f: series 0 is no array of numbers"),
    ):
        with pytest.raises(ValueError, match=said):
            as_series(bad, "f")
    with pytest.raises(ValueError, match="target has shape"):
        Series(np.ones((2, 2)))
    with pytest.raises(ValueError, match="known 1; the target has 2 steps"):
        Series([1.0, 2.0], known=[[1.0]])

"""Ragged sequences, missing values, buckets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import BucketBatches, Scaler, as_sequences, fill_missing, forward_fill, pad

NAN = float("nan")


@pytest.mark.parametrize(
    ("X", "text"),
    [
        ([[1.0], []], "f: sequence 1 has no steps; drop it."),
        (
            [[[1, 2]], [[1]]],
            "f: sequence 1 has 1 features, but sequence 0 has 2; all need the same.",
        ),
        ([[1], ["a"]], "f: sequence 1 is no array of numbers; give (T, I) or (T,) for each."),
        ([[[[1]]]], "f: sequence 0 has shape (1, 1, 1); give (T, I) or (T,) for each."),
        ([], "f: there are no sequences; give at least one."),
    ],
)
def test_what_is_no_list_of_sequences(X, text):
    with pytest.raises(ValueError, match="^f: ") as caught:
        as_sequences(X, "f")
    assert str(caught.value) == text


def test_missing_values():
    rows = [np.array([[1.0, NAN], [NAN, NAN], [3.0, 5.0]]), np.array([[NAN, 1.0]])]
    with pytest.raises(ValueError, match="^f: ") as caught:
        fill_missing(rows, "error", "f")
    assert str(caught.value) == (
        "f: nan in sequence 0, step 0, feature 1 (3 such values in that sequence);"
        ' mend the data, or give missing="ffill" or "mask".'
    )
    assert fill_missing(rows, "ffill", "f")[0].tolist() == [[1, 5], [1, 5], [3, 5]]
    assert fill_missing(rows, "mask", "f")[1].tolist() == [[0, 1, 0, 1]]
    with pytest.raises(ValueError, match="inf in sequence 0, step 1, feature 0 .*; mend the data"):
        fill_missing([np.array([[1.0], [np.inf]])], "ffill", "f")
    with pytest.raises(ValueError, match="missing='zero' is not known; give one of error, ffill"):
        fill_missing(rows, "zero", "f")


def test_forward_fill_against_a_loop():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(50, 7))
    array[rng.random(array.shape) < 0.6] = NAN
    array[:, 3] = NAN
    expected = np.zeros_like(array)
    for i in range(7):
        seen = [v for v in array[:, i] if not np.isnan(v)]
        last = seen[0] if seen else 0.0
        for t in range(50):
            last = last if np.isnan(array[t, i]) else array[t, i]
            expected[t, i] = last
    assert np.array_equal(forward_fill(array), expected)


@pytest.mark.parametrize("constant", [0.1, 9.99, 1 / 3, 1e-9, 0.0, 1e30])
def test_a_constant_keeps_its_scale_though_its_mean_is_rounded(constant):
    scaler = Scaler.fit([np.full((180, 1), constant), np.full((93, 1), constant)])
    assert scaler.std.tolist() == [1.0]


def test_scaling_goes_both_ways():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(3, 5, size=(n, 2)) for n in (4, 9)]
    arrays[0][:, 1] = arrays[1][:, 1] = 2.0
    scaler = Scaler.from_json(Scaler.fit(arrays).to_json())
    scaled = np.concatenate([scaler.transform(a) for a in arrays])
    assert scaled.mean(0) == pytest.approx([0, 0], abs=1e-6)
    assert scaled.std(0) == pytest.approx([1, 0], abs=1e-6)
    np.testing.assert_allclose(scaler.inverse(scaler.transform(arrays[0])), arrays[0], rtol=1e-5)


def test_padding_is_zero():
    batch, lengths = pad([np.array([1, 2, 3]), np.array([4])])
    assert batch.T.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=200),
    size=st.integers(1, 33),
    epoch=st.integers(0, 5),
)
def test_buckets_hold_every_row_once_with_little_padding(lengths, size, epoch):
    batches = BucketBatches(lengths, batch_size=size, seed=1)
    found = list(batches.epoch(epoch))
    assert len(found) == len(batches)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert max(map(len, found)) <= size
    whole = sum(max(lengths[r] for r in batch) * len(batch) for batch in found)
    assert 1 - sum(lengths) / whole == pytest.approx(batches.padding())
    assert batches.padding() < 0.1
    rest = list(batches.epoch(epoch, start=len(found) // 2))
    for one, other in zip(rest, found[len(found) // 2 :], strict=True):
        assert np.array_equal(one, other)


def test_epochs_differ_and_seeds_repeat():
    batches = BucketBatches([5] * 40, batch_size=8, seed=1)
    again = BucketBatches([5] * 40, batch_size=8, seed=1)
    order = [[b.tolist() for b in batches.epoch(e)] for e in (0, 1)]
    assert order[0] != order[1]
    assert order[0] == [b.tolist() for b in again.epoch(0)]

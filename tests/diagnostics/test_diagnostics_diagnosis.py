"""The diagnosis: its class follows from the model, its sentences from its numbers."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.diagnostics import (
    KINDS,
    Diagnosis,
    Reach,
    diagnose,
    is_on_its_way,
    need,
    need_of_tokens,
    probe,
    reach_of,
)


def linear(eigenvalue, nonlinearity="identity"):
    layer = elman.nn.RNN(1, 6, nonlinearity=nonlinearity)
    with torch.no_grad():
        torch.nn.init.orthogonal_(layer.weight_hh_l0).mul_(eigenvalue)
    return layer


X = torch.randn(80, 4, 1)


def test_healthy_vanishing_and_exploding():
    assert diagnose(linear(1.0), X, needed=70).kind == "healthy"
    found = diagnose(linear(0.8), X, needed=70)
    assert (found.kind, found.can_learn) == ("vanishing", False)
    assert "gradients shrink by 0.8 a step" in str(found)
    assert "the answer lies 70 steps back: this model cannot learn it as it is." in str(found)
    assert diagnose(linear(0.8), X, needed=10).can_learn is True
    found = diagnose(linear(1.3), X)
    assert (found.kind, found.can_learn) == ("exploding", False)
    assert "gradients grow by 1.3 a step" in str(found)


def test_chaotic_is_a_bounded_cell_whose_gradient_grows():
    layer = elman.nn.RNN(1, 64, nonlinearity="sin")
    with torch.no_grad():
        torch.nn.init.orthogonal_(layer.weight_hh_l0).mul_(4.0)
    assert diagnose(layer, torch.randn(60, 4, 1)).kind == "chaotic"


def test_saturated_and_dead():
    layer = elman.nn.RNN(1, 6)
    with torch.no_grad():
        layer.bias_ih_l0.fill_(5.0)
    assert diagnose(layer, X, needed=40).kind == "saturated"
    layer = elman.nn.RNN(1, 6, nonlinearity="relu")
    with torch.no_grad():
        layer.bias_ih_l0.fill_(-100.0)
    found = diagnose(layer, X)
    assert (found.kind, found.dead) == ("dead", 1.0)
    assert [name for name, _ in found.remedies][:2] == ["lower lr", "identity"]


def test_truncated_too_short():
    found = diagnose(linear(1.0), X, needed=70, window=20)
    assert (found.kind, found.can_learn) == ("truncated too short", False)
    assert found.remedies[0][0] == "longer windows"
    assert diagnose(linear(1.0), X, needed=70, window=75).kind == "healthy"


def test_values_that_are_not_finite_are_an_explosion():
    found = diagnose(linear(1e30), X)
    assert found.kind == "exploding"
    assert "not finite" in str(found)


@pytest.mark.parametrize("kind", [elman.nn.RNN, elman.nn.GRU, elman.nn.LSTM])
def test_nan_in_the_weights_or_one_row_of_the_data_is_seen(kind):
    layer, x = kind(4, 5), torch.randn(7, 3, 4)
    lengths = torch.tensor([7, 3, 5])
    # what stands behind a row's end is no step of it
    x[3:, 1] = math.nan
    found = diagnose(layer, x, needed=1, lengths=lengths)
    assert found.finite
    assert found.kind == "healthy"
    row = x.clone()
    row[2, 0] = math.nan
    ill = diagnose(layer, row, needed=1, lengths=lengths)
    with torch.no_grad():
        layer.weight_hh_l0[0, 0] = math.nan
    for one in (ill, diagnose(layer, x, needed=1, lengths=lengths)):
        assert (one.kind, one.can_learn, one.finite) == ("exploding", False, False)
        assert "not finite: the data or the weights hold such numbers" in str(one)
        assert "reach" not in str(one)


def test_states_that_overflow_are_an_explosion_though_their_gradient_is_zero():
    layer = elman.nn.RNN(1, 8, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.mul_(1e4)
    x = torch.randn(40, 4, 1)
    assert probe(layer, x).finite
    found = diagnose(layer, x, needed=20)
    assert (found.kind, found.can_learn) == ("exploding", False)
    assert "the states or the gradient on its way back are not finite" in str(found)


def test_one_step_says_that_it_is_too_short():
    assert "too short" in str(diagnose(elman.nn.GRU(2, 3), torch.randn(1, 4, 2)))


reaches = st.builds(
    lambda lag, rate, steps: Reach(
        lag if lag is not None and lag < steps else None, 1.0, 2.0, rate, rate * 0.99, rate * 1.01,
        steps, 4,
    ),
    st.none() | st.integers(1, 400), st.floats(0.05, 2.0), st.integers(2, 500),
)  # fmt: skip
found = st.builds(
    Diagnosis,
    kind=st.sampled_from(KINDS),
    reach=reaches,
    needed=st.none() | st.integers(1, 500),
    window=st.none() | st.integers(1, 500),
    reaches=st.just({}),
    saturated=st.dictionaries(st.sampled_from("ifgo"), st.floats(0, 1)),
    dead=st.floats(0, 1),
    radius=st.just({"w (h)": 1.0}),
    finite=st.booleans(),
    carried=st.none() | st.integers(1, 9),
    width=st.none() | st.integers(0, 9),
)


@settings(max_examples=300, deadline=None)
@given(found)
def test_sentences_come_from_the_numbers_without_contradiction(one):
    said = str(one)
    assert said.startswith(f"{one.kind}: ")
    assert not ("can learn it" in said and "cannot learn it" in said)
    if one.finite and one.needed is not None:
        assert ("this model can learn it." in said) == bool(one.can_learn)
        assert f"{one.needed:,} step" in said
    assert not ("gradients grow" in said and "gradients shrink" in said)
    if "gradients grow" in said:
        assert one.reach.rate > 1
    if match := re.search(r"after ([\d,]+) steps? under 1 % is left", said):
        assert int(match[1].replace(",", "")) == one.reach.lag
    if match := re.search(r"shrink by ([\d.e-]+) a step", said):
        assert float(match[1]) < 1
    if "keep over 1 %" in said:
        assert one.reach.lag is None
    again = Diagnosis.from_json(one.to_json())
    assert str(again) == said


@settings(max_examples=100, deadline=None)
@given(st.floats(0.3, 0.99), st.integers(30, 200), st.integers(2, 9))
def test_the_reach_of_a_known_decay(rate, steps, rows):
    curve = rate ** np.arange(float(steps))[:, None].repeat(rows, 1)
    one = reach_of(curve)
    assert one.rate == pytest.approx(rate, rel=1e-6)
    first = next((k for k in range(steps) if rate**k < 0.01), None)
    assert one.lag == first
    assert one.low <= one.high if one.high is not None else first is None


def test_the_interval_covers_what_sequences_differ_by():
    random = np.random.default_rng(0)
    rates = random.normal(0.9, 0.02, 40)
    curve = rates[None] ** np.arange(60.0)[:, None]
    one = reach_of(curve)
    assert one.rate_low < 0.9 < one.rate_high
    assert one.rate_high - one.rate_low < 0.03


def test_a_rate_near_one_is_not_said_to_be_one():
    reach = reach_of(0.9991 ** np.arange(9000.0)[:, None])
    found = Diagnosis("vanishing", reach, None, None, {}, {}, 0.0, {}, True)
    assert "shrink by 0.9991 a step: after 5,115 steps" in str(found)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(2, 60)), min_size=1, max_size=12))
def test_the_reach_lies_within_its_interval_in_ragged_batches(rows):
    curve = np.full((60, len(rows)), np.nan)
    for row, (fall, length) in enumerate(rows):
        curve[:length, row] = np.where(np.arange(length) < fall, 1.0, 0.0)
    one = reach_of(curve)
    known = sorted(fall for fall, length in rows if fall < length)
    if len(known) == len(rows):
        assert one.lag == known[(len(known) - 1) // 2]
    if not known:
        assert (one.lag, one.high) == (None, None)
    if one.lag is not None:
        assert one.lag in known
        assert one.low <= one.lag
        assert one.high is None or one.lag <= one.high


def test_one_sequence_whose_gradient_dies_does_not_speak_for_all():
    curve = np.ones((50, 8))
    curve[20:, 3] = 0
    assert reach_of(curve).lag is None
    curve[30:, :5] = 0
    assert reach_of(curve).lag == 30


def test_on_its_way():
    assert is_on_its_way([10, None], 50)
    assert is_on_its_way([60, 12, 55], 50)
    assert is_on_its_way([60, 12, 25], 50)
    assert not is_on_its_way([60, 12, 20], 50)


def test_need_finds_the_lag_of_numbers_classes_and_ragged_rows():
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 400, 1))
    one = need(x, x[-21, :, 0])
    assert one.lag in range(20, 26)
    classes = need(x, (x[-7, :, 0] > 0).astype(int))
    assert classes.unit == "accuracy"
    assert classes.lag in (6, 7)
    lengths = random.integers(30, 61, 400)
    ragged = need(x, x[lengths - 6, np.arange(400), 0], lengths=lengths)
    assert ragged.lag in range(5, 8)
    assert need(x, random.normal(size=400)).lag is None
    with pytest.raises(ValueError, match="at least 20"):
        need(x[:, :5], np.zeros(5))


def test_need_takes_classes_of_any_name():
    random = np.random.default_rng(1)
    x = random.normal(size=(6, 100, 1))
    late = x[-3, :, 0] > 0
    plain = need(x, late.astype(int))
    assert plain.lag == 2
    for names in ((-1, 1), ("no", "yes")):
        assert need(x, np.where(late, names[1], names[0])) == plain
    assert need(x, np.where(late, "yes", "no").astype(object)).gains == plain.gains


def test_need_of_a_target_that_never_changes_is_none():
    random = np.random.default_rng(1)
    x = random.normal(size=(6, 100, 1))
    found = need(x, np.ones(100))
    assert found.lag is None
    assert set(found.gains) == {0.0}
    assert need(x, np.ones((100, 2))).lag is None
    # beside another it tells nothing either
    both = need(x, np.stack([np.ones(100), x[-4, :, 0]], 1))
    assert both == need(x, x[-4, :, :])


def test_need_says_what_targets_and_inputs_it_cannot_read():
    x = np.random.default_rng(1).normal(size=(12, 40, 1))
    for targets, said in (
        (np.where(x[-1, :, 0] > 0, np.nan, 1.0), "targets that are NaN or infinite"),
        (np.array(["a", None] * 20, object), "targets of type object are neither numbers nor"),
        (np.zeros((40, 2), int), r"classes of shape \(40, 2\); give one for each"),
        (np.zeros((40, 2, 1)), r"targets of shape \(40, 2, 1\); give finite numbers"),
    ):
        with pytest.raises(ValueError, match=f"^need: {said}") as raised:
            need(x, targets)
        assert "\n" not in str(raised.value)
    holed = x.copy()
    holed[3, 3] = np.nan
    with pytest.raises(ValueError, match="^need: an input is NaN or infinite; fill it in"):
        need(holed, x[-1, :, 0])
    # behind a row's end nothing is read
    lengths = np.full(40, 12)
    lengths[3] = 3
    assert need(holed, x[0, :, 0], lengths=lengths).unit == "R²"


def test_need_of_tokens_finds_the_period():
    random = np.random.default_rng(2)
    block = random.integers(0, 9, (3000,))
    tokens = np.empty(3000, dtype=int)
    tokens[:7] = block[:7]
    for t in range(7, 3000):
        # every token is the one seven before, or drawn
        tokens[t] = tokens[t - 7] if random.random() < 0.7 else block[t]
    one = need_of_tokens(tokens[:-1, None], tokens[1:, None], most=40)
    assert one.gains[one.lags.index(6)] == max(one.gains)
    assert one.lag is not None
    assert one.lag >= 6

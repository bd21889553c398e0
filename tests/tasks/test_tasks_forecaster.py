"""Forecasters learn, beat what costs nothing, say what is wrong, and come back from their folders."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import elman
from elman.data import Calendar, Series, SeriesColumns
from elman.tasks._forecast_network import sample_paths
from elman.tasks._forecast_windows import lagged
from elman.tasks._frames import Framer, back
from elman.tasks._skill import Skill, mase_scale, persistence, rse, seasonal_naive, smape

RNG = np.random.default_rng(0)
STEPS = np.arange(300)
# two waves: no season of the naive forecast fits
WAVES = np.sin(STEPS / 5) + 0.5 * np.sin(STEPS / 2.3) + RNG.normal(0, 0.02, 300)
SMALL = {
    "cell": "gru", "horizon": 6, "context": 40, "season": 12, "hidden_size": 16, "epochs": 60, "batch_size": 2,
    "lr": 0.02,
}  # fmt: skip


def forecaster(**more):
    return elman.Forecaster(**{**SMALL, **more})


def timed(seconds, name=""):
    """A series with a time every so many seconds."""
    times = np.datetime64("2024-01-01", "s") + np.arange(90) * np.timedelta64(seconds, "s")
    return Series(WAVES[:90], calendar=Calendar.of(times)[0], name=name)


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm", "strategy": "recursive", "paths": 30},
        {"normalization": "series", "quantiles": [0.05, 0.25, 0.5, 0.95]},
        {"normalization": "none", "num_layers": 2, "input_dropout": 0.05},
        {"strategy": "recursive", "normalization": "series", "paths": 30},
        {"lags": [10, 31]},
        {"strategy": "recursive", "lags": (31,), "paths": 30},
    ],
    ids=str,
)
def test_it_beats_what_costs_nothing(options):
    model = forecaster(**options).fit(WAVES)
    assert model.results_["skill_over_persistence"] > 0.5
    assert model.results_["skill_over_seasonal_naive"] > 0.5
    assert 0.3 < model.results_["coverage"] <= 1
    said = model.predict_quantiles([WAVES, WAVES[:200]])
    assert said.shape == (2, 6, len(model.quantiles))
    assert (np.diff(said, axis=-1) >= 0).all()
    np.testing.assert_allclose(model.predict([WAVES[:200]])[0], WAVES[200:206], atol=0.5)


def test_the_end_of_the_series_is_all_that_a_forecast_needs():
    model = forecaster(normalization="none", epochs=3).fit(WAVES)
    whole, end = model.predict([WAVES]), model.predict([WAVES[-40:]])
    np.testing.assert_allclose(whole, end, atol=1e-4)


def test_nothing_behind_the_origin_reaches_a_forecast():
    model = forecaster(epochs=2, lags=[3, 20]).fit(WAVES)
    stop = 200
    changed = WAVES.copy()
    changed[stop:] = 1e3
    frames = [
        model.framer_.frame(Series(y), stop, "test", future=0) for y in (WAVES, changed)
    ]  # fmt: skip
    first, second = model._roll(frames, [(stop - 20, stop)] * 2)
    np.testing.assert_array_equal(first, second)


def test_known_covariates_are_used_and_needed():
    price = RNG.normal(size=260)
    series = Series(3 * price[:250], known=price[:250, None])
    model = forecaster(epochs=40).fit([series])
    assert model.results_["skill_over_persistence"] > 0.8
    said = model.predict([Series(3 * price[:250], known=price[:, None])])[0]
    np.testing.assert_allclose(said, 3 * price[250:256], atol=1.2)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        model.predict([series])
    assert str(caught.value) == (
        "Forecaster.predict: the covariates that are known ahead end 6 steps too early;"
        " give them for 6 steps behind the end of the series."
    )


def test_the_calendar_is_an_input():
    times = np.datetime64("2024-01-01", "s") + np.arange(400) * np.timedelta64(86400, "s")
    week = np.random.default_rng(1).normal(size=7)
    y = np.tile(week, 58)[:400]
    calendar, _ = Calendar.of(times)
    model = forecaster(season=None, epochs=5).fit([Series(y, calendar=calendar)])
    assert model.season_ == 7
    assert model.framer_.waves == 4
    with pytest.raises(ValueError, match="series 0 has no times, but the model needs them"):
        model.predict(y)
    assert forecaster(calendar=False, epochs=1).fit([Series(y, calendar=calendar)]).predict(
        y
    ).shape == (1, 6)


@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_missing_values(missing):
    y = WAVES.copy()
    y[[5, 100, 101, 298]] = np.nan
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        forecaster().fit(y)
    assert str(caught.value) == (
        "Forecaster.fit: nan in target of series 0, step 5 (4 such values); mend it,"
        " or give missing=ffill or mask."
    )
    model = forecaster(missing=missing, epochs=10).fit(y)
    assert model.results_["skill_over_persistence"] > 0.2
    assert np.isfinite(model.predict(y)).all()


def test_logarithms():
    y = np.exp(STEPS / 60 + WAVES / 5)
    model = forecaster(log=True).fit(y)
    assert model.results_["skill_over_persistence"] > 0.2
    assert (model.predict_quantiles(y) > 0).all()
    with pytest.raises(ValueError, match="log=True needs numbers above zero, and -1.* came"):
        forecaster(log=True).fit(WAVES)


def test_in_logarithms_every_series_counts_by_its_relative_error():
    calm, wild = np.exp(np.cumsum(RNG.normal(0, 0.01, 300))), 1e6 * np.exp(WAVES)
    model = forecaster(log=True, epochs=1, quantiles=[0.5]).fit([calm, wild])
    torch.nn.init.zeros_(model.module_.head.weight)
    torch.nn.init.zeros_(model.module_.head.bias)
    error = 0.0
    for y in (calm, wild):
        for origin in range(269, 294):
            error += np.abs(np.log(y[origin + 1 : origin + 7] / y[origin])).mean() / 2 / 50
    assert model.evaluate([calm, wild])["loss"] == pytest.approx(error, rel=1e-4)


def test_what_lies_at_lags_before_the_next_steps():
    assert lagged(np.array([4]), 3, [1, 2, 5]).tolist() == [[[4, 3, 0], [4, 4, 1], [4, 3, 2]]]
    # the origin stands in where the series is too young
    assert lagged(np.array([1]), 3, [3])[..., 0].tolist() == [[1, 0, 1]]
    y = np.array([3.0, 1.0, 4.0, 1.5])
    assert back(y, 1).tolist() == [3, 3, 1, 4]
    assert back(y, 2).tolist() == [3, 3, 3, 1]
    assert back(y, 9).tolist() == [3, 3, 1, 4]


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_a_network_leans_on_a_lag_or_on_nothing(strategy):
    model = forecaster(strategy=strategy, lags=[4, 11], epochs=1, paths=3).fit(WAVES)
    head = model.module_.head
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    np.testing.assert_allclose(model.predict(WAVES), [WAVES[[-1]].repeat(6)], rtol=1e-5)
    with torch.no_grad():
        head.bias[3 + 1] = 1.0
    expected = seasonal_naive(WAVES, np.array([299]), 6, 11)
    np.testing.assert_allclose(model.predict(WAVES), expected, rtol=1e-4)
    # younger than the lag, which nothing is known of
    np.testing.assert_allclose(model.predict(WAVES[:3]), [WAVES[[2]].repeat(6)], rtol=1e-4)


def test_fed_its_own_forecasts_a_network_sees_what_it_would_of_the_series(monkeypatch):
    model = forecaster(strategy="recursive", lags=[4, 50], epochs=1, paths=1).fit([WAVES, WAVES])
    for origin in (150, 30):
        frame = model.framer_.frame(Series(WAVES[: origin + 1]), 270, "test", future=6)
        said, states = model.module_.say, []

        def heard(state, *more, said=said, states=states):
            states.append(state)
            return said(state, *more)

        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(model.module_, "say", heard)
            (drawn,) = sample_paths(
                model.module_, frame, origin, context=40, steps=6, levels=model.quantiles, paths=1,
                generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
        y = np.concatenate([frame.y, drawn]) * frame.std + frame.mean
        model.framer_.scales["whole"] = [frame.mean, frame.std]
        whole = model.framer_.frame(Series(y, name="whole"), 270, "test")
        x = torch.from_numpy(whole.inputs[max(origin - 39, 0) :])[:, None]
        with torch.no_grad():
            found = model.module_.read(x, torch.tensor([len(x)]))[-7:-1, 0]
        torch.testing.assert_close(torch.cat(states), found, atol=1e-4, rtol=1e-4)


def test_many_series_of_other_lengths_in_one_table(tmp_path):
    lengths = {"north": 120, "south": 300, "east": 45}
    rows = [(name, step) for step in range(300) for name in lengths if step < lengths[name]]
    size = {"north": 1.0, "south": 1e6, "east": 50.0}
    steps = {
        "id": [name for name, _ in rows],
        "y": [size[name] * np.exp(WAVES[step]) for name, step in rows],
    }
    table = {"id": list(lengths), "y": [size[n] * np.exp(WAVES[:m]) for n, m in lengths.items()]}
    options = {"horizon": 4, "lags": [13], "log": True, "epochs": 30, "validation_fraction": 1e-3}
    model = forecaster(**options).fit(steps)
    assert (model.results_["series"], model.results_["origins"]) == (3, 3)
    found = model.predictions(steps)
    assert found["series"][::4] == list(lengths)
    assert found["forecast"][4:8] == pytest.approx(1e6 * np.exp(WAVES[300 - 4 :]), rel=1.5)
    # a row a series is the same
    other = forecaster(**options).fit(table)
    assert torch.equal(weights(other), weights(model))
    np.testing.assert_array_equal(other.predictions(table)["q0.1"], found["q0.1"])
    assert model.predictions({"y": table["y"]})["series"][::4] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="series 'east' has 45 steps; to learn a horizon of 30"):
        forecaster(**options | {"horizon": 30}).fit(table)


def test_tables_runs_and_the_way_back(tmp_path):
    table = pa.table({
        "date": np.datetime64("2020-01-01") + np.arange(300), "shop": ["a"] * 300, "sold": WAVES,
    })  # fmt: skip
    model = forecaster(epochs=2).fit(table, columns=SeriesColumns(id="shop"), run=tmp_path / "run")
    assert model.columns_ == SeriesColumns(id="shop")
    rows = model.predictions(table)
    assert (rows["series"], rows["step"]) == (["a"] * 6, [1, 2, 3, 4, 5, 6])
    assert str(rows["time"][0]) == "2020-10-27T00:00:00"
    assert (rows["q0.1"] <= rows["forecast"]).all()
    again = elman.load(tmp_path / "run")
    assert again.results_ == model.results_
    columns = SeriesColumns(id="shop")
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    # the same command changes nothing
    before = (tmp_path / "run" / "config.json").read_bytes()
    same = forecaster(epochs=2).fit(table, columns=columns, run=tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert torch.equal(weights(same), weights(model))
    with pytest.raises(ValueError, match="horizon: here 6, now 5"):
        forecaster(epochs=2, horizon=5).fit(table, columns=columns, run=tmp_path / "run")
    figures = again.evaluate(table, columns=columns, last=50)
    assert figures["origins"] == 45


def test_a_tables_columns_are_those_of_the_training(tmp_path):
    days = np.datetime64("2024-01-01") + np.arange(90)
    table = {"date": days, "sold": 5 + np.sin(np.arange(90.0))}
    fitted = forecaster(epochs=1).fit(table, run=tmp_path / "run")
    assert fitted.chosen_ == SeriesColumns("sold", "date")
    # each of these would be taken for something else, were it guessed anew
    other = {"month": days, **table, "series": np.arange(90), "y": np.full(90, 1e6)}
    for one in (fitted, elman.load(tmp_path / "run")):
        assert one.predictions(other)["time"].tolist() == one.predictions(table)["time"].tolist()
        np.testing.assert_array_equal(one.predict(other), one.predict(table))
        assert one.evaluate(other) == one.evaluate(table)
        assert one.inspect(other).reach == one.inspect(table).reach
        named = SeriesColumns("y", "date", "id")
        assert one.predict({"id": ["a"] * 90, **other}, columns=named).min() > 1e3
        with pytest.raises(ValueError, match="no column 'sold'; the columns are 'date', 'y'"):
            one.predict({"date": days, "y": np.arange(90.0)})
    again = elman.load(tmp_path / "run")
    # a run of before has noted what was named alone
    again.chosen_ = None
    assert again.predict({"date": days, "y": np.arange(90.0)}).shape == (1, forecaster().horizon)


def test_scikit_learn_finds_its_contract():
    model = forecaster(epochs=1, quantiles=(0.2, 0.5, 0.8))
    assert clone(model).get_params() == model.get_params()
    series = [WAVES + i for i in range(4)]
    search = GridSearchCV(model, {"hidden_size": [4, 8]}, cv=2).fit(series)
    assert search.best_estimator_.predict(series).shape == (4, 6)
    a, b = (forecaster(epochs=2).fit(WAVES) for _ in range(2))
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: forecaster(horizon=200).fit(WAVES),
         "Forecaster.fit: series 0 has 300 steps; to learn a horizon of 200 and hold 200 out takes"
         " 401; give a shorter horizon or a longer series."),
        (lambda: forecaster(horizon=0).fit(WAVES),
         "Forecaster: horizon=0; give a whole number above zero."),
        (lambda: forecaster(quantiles=[0.1, 0.9]).fit(WAVES),
         "Forecaster: quantiles=[0.1, 0.9]; give rising levels between 0 and 1, 0.5 among them."),
        (lambda: forecaster(lags=[24, 24]).fit(WAVES),
         "Forecaster: lags=[24, 24]; give different whole numbers above zero."),
        (lambda: forecaster(lags=[0]).fit(WAVES),
         "Forecaster: lags=[0]; give different whole numbers above zero."),
        (lambda: forecaster(lags=24).fit(WAVES),
         "Forecaster: lags=24; give different whole numbers above zero."),
        (lambda: forecaster(quantiles=0.5).fit(WAVES),
         "Forecaster: quantiles=0.5; give rising levels between 0 and 1, 0.5 among them."),
        (lambda: forecaster(quantiles=["a", 0.5]).fit(WAVES),
         "Forecaster: quantiles=['a', 0.5]; give rising levels between 0 and 1, 0.5 among them."),
        (lambda: forecaster(validation_fraction="half").fit(WAVES),
         "Forecaster: validation_fraction='half'; give a number between 0 and 1: the skill is always"
         " measured."),
        (lambda: forecaster(log="no").fit(WAVES), "Forecaster: log='no'; give True or False."),
        (lambda: forecaster(strategy="both").fit(WAVES),
         "Forecaster: strategy='both' is not known; give one of direct, recursive."),
        (lambda: forecaster(strategy="recursive", quantiles=[0.5]).fit(WAVES),
         "Forecaster: strategy='recursive' draws futures between quantiles; give two or more,"
         " e.g. (0.1, 0.5, 0.9)."),
        (lambda: forecaster(strategy="recursive").fit([np.ones((90, 2))]),
         "Forecaster.fit: strategy='recursive' needs covariates that are known ahead, and 1 are"
         " not; give strategy='direct' or leave them out."),
        (lambda: forecaster(validation_fraction=0).fit(WAVES),
         "Forecaster: validation_fraction=0; give a number between 0 and 1: the skill is always"
         " measured."),
        (lambda: forecaster().fit([np.ones((90, 2)), np.ones(90)]),
         "Forecaster.fit: series 1 has 0 observed and 0 known covariates; 1 and 0 are needed."),
        (lambda: forecaster(missing="ffill").fit([Series([np.nan] * 90, name="x")]),
         "Forecaster.fit: series 'x' has no numbers to learn from."),
        (lambda: forecaster().fit([timed(86_400, name="a"), timed(900, name="b")]),
         "Forecaster.fit: series 'b' has a step of 15 minutes, and the model's is 1 day; give series"
         " of one step."),
        (lambda: forecaster(epochs=1).fit([timed(3600)]).predict([timed(900)]),
         "Forecaster.predict: series 0 has a step of 15 minutes, and the model's is 1 hour; give"
         " series of one step."),
        (lambda: forecaster(epochs=1, calendar=False).fit([timed(60)]).evaluate([timed(2)]),
         "Forecaster.evaluate: series 0 has a step of 2 seconds, and the model's is 1 minute; give"
         " series of one step."),
        (lambda: forecaster(epochs=1).fit(WAVES).evaluate(WAVES, last=-7),
         "Forecaster.evaluate: last=-7; give a whole number from the horizon, 6, on."),
        (lambda: forecaster(epochs=1).fit(WAVES).evaluate(WAVES, last=5),
         "Forecaster.evaluate: last=5; give a whole number from the horizon, 6, on."),
        (lambda: forecaster().fit([np.append(WAVES, np.inf)]),
         "Forecaster.fit: inf in target of series 0, step 300 (1 such values); mend it."),
    ],
)  # fmt: skip
def test_mistakes(call, text):
    with pytest.raises(ValueError, match="Forecaster") as caught:
        call()
    assert str(caught.value) == text


def test_runs_that_know_no_step_take_any():
    model = forecaster(epochs=1).fit([timed(3600)])
    # of a run of before
    saved = {k: v for k, v in model.framer_.to_json().items() if k not in ("step", "months")}
    model.framer_ = Framer.from_json(saved)
    assert model.predict([timed(900)]).shape == (1, 6)


def test_a_constant_series_has_no_scale():
    model = forecaster(epochs=1).fit(np.ones(90))
    assert "mase" not in model.results_
    assert model.predict(np.ones(90)).round(2).tolist() == [[1.0] * 6]
    # the mean of tenths is not quite a tenth
    tenths = np.full(90, 0.1)
    assert tenths.std() > 0
    assert "rse" not in model.evaluate(tenths)
    assert model.framer_.scale(Series(tenths), 80, "test")[1] == 1


def test_the_naive_forecasts_and_the_scale_by_hand():
    y = np.array([1.0, 5.0, 2.0, 7.0, 4.0])
    assert persistence(y, np.array([2, 3]), 2).tolist() == [[2, 2], [7, 7]]
    assert seasonal_naive(y, np.array([3]), 5, 2).tolist() == [[2, 7, 2, 7, 2]]
    assert seasonal_naive(y, np.array([0]), 2, 3).tolist() == [[1, 1]]
    assert mase_scale(y, 2) == pytest.approx((1 + 2 + 2) / 3)
    assert mase_scale(np.array([1.0, np.nan, 3.0, 5.0]), 2) == 2
    skill = Skill([0.5])
    skill.add(np.array([[[3.0]]]), y, y, np.array([3]), season=2, learned=4)
    # |4 - 3| = 1; persistence |4 - 7| = 3; seasonal |4 - 2| = 2; the scale (1 + 2) / 2
    assert skill.figures() == pytest.approx({
        "mase": 1 / 1.5, "mase_persistence": 2.0, "mase_seasonal_naive": 2 / 1.5, "mae": 1.0,
        "mae_persistence": 3.0, "mae_seasonal_naive": 2.0, "rmse": 1.0, "coverage": 0.0,
        "smape": 200 / 7, "smape_persistence": 600 / 11, "smape_seasonal_naive": 400 / 6,
        "skill_over_persistence": 2 / 3, "skill_over_seasonal_naive": 0.5, "origins": 1,
    })  # fmt: skip
    # another series, forecast from two steps: the furthest steps are 4 and 6, 8 of both series
    z = np.array([0.0, 2.0, 6.0, 8.0])
    said = np.array([[[9.0]], [[6.0]]])
    skill.add(said, z, z, np.array([1, 2]), season=1, learned=2)
    figures = skill.figures()
    # about the mean 6: 4 + 0 + 4; errors 1 + 9 + 4; persistence 9 + 16 + 4
    assert figures["rse"] == pytest.approx((14 / 8) ** 0.5)
    assert figures["rse_persistence"] == pytest.approx((29 / 8) ** 0.5)
    assert figures["smape"] == pytest.approx((200 / 7 + 100 * (3 / 15 + 2 / 14)) / 2)


def test_smape_and_rse_by_hand():
    assert smape(np.array([100.0, np.nan, -2.0]), np.array([50.0, 3.0, 2.0])) == pytest.approx(
        100 * (50 / 150 + 1)
    )
    assert smape(np.array([0.0, 0.0]), np.array([0.0, 1.0])) == 100
    assert rse(np.array([1.0, np.nan, 5.0]), np.array([2.0, 9.0, 5.0])) == pytest.approx(8**-0.5)
    # numbers that are all the same have no spread to be measured by
    assert rse(np.array([2.0, 2.0]), np.array([1.0, 2.0])) is None
    assert rse(np.array([np.nan]), np.array([1.0])) is None

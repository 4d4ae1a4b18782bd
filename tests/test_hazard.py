"""The hazard of return: person-periods, the curve of silence, and what the trees make of a known law."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone

import planted
from waymark import models
from waymark.calibration import UNBENT, Bend, fit_bend, fit_line, gain_of
from waymark.explanations import explain
from waymark.hazard import PERIOD_COLUMNS, SILENCE, Hazard
from waymark.on_disk import as_they_are
from waymark.period_rows import points_of
from waymark.periods import Curve, Horizons, expand, lay_edges, n_periods

FEATURES, TARGETS = planted.tables()
HORIZONS = Horizons(30, (7, 30, 90))
EDGES = (1, 3, 7)


def trained(targets=TARGETS, **chosen):
    given = {"n_estimators": 20} | chosen
    return models.train(
        FEATURES, targets, planted.CATALOGUE, "churn", "hazard", given, planted.GROUPS, 7, horizons=HORIZONS
    )


# --- periods --------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(1, 400), min_size=1, max_size=4))
def test_every_horizon_is_the_end_of_a_period(horizons):
    edges = lay_edges(horizons)
    assert horizons <= set(edges)
    assert list(edges) == sorted(set(edges))
    assert edges[-1] == max(horizons)


@pytest.mark.parametrize(
    ("back", "observed", "rows"),
    [
        (0.0, 7, [(0, True)]),
        (0.99, 7, [(0, True)]),
        (1.0, 7, [(0, False), (1, True)]),
        (6.5, 7, [(0, False), (1, False), (2, True)]),
        (np.nan, 7, [(0, False), (1, False), (2, False)]),
        (np.nan, 3.5, [(0, False), (1, False)]),  # a period watched in part tells nothing,
        (3.2, 3.5, [(0, False), (1, False)]),  # whatever happened in it
        (0.2, 0.5, []),
    ],
)
def test_a_point_has_a_row_for_each_period_watched_until_it_returned(back, observed, rows):
    found = expand(np.array([np.nan, back]), np.array([0.0, observed]), EDGES)
    assert found.point.tolist() == [1] * len(rows)
    assert list(zip(found.period.tolist(), found.has_returned.tolist(), strict=True)) == rows
    assert n_periods(np.array([back]), np.array([observed]), EDGES).tolist() == [len(rows)]


def test_whoever_was_drawn_by_their_name_before_is_drawn_by_it_anew():
    names = np.array([f"anonymous:{i}" for i in range(20_000)], object)
    names = names[pd.util.hash_array(names) >> np.uint64(60) == 0]  # as `features` draws them
    y = pd.DataFrame({"return_days": np.nan, "observed_days": np.full(len(names), 7.0)})
    points = points_of(y, y, names, None, as_they_are)
    assert points.draw(np.array(EDGES), len(EDGES) * len(names)).all()
    assert points.draw(np.array(EDGES), len(EDGES) * len(names) // 2).mean() == pytest.approx(0.5, abs=0.06)


# --- the curve ------------------------------------------------------------------------------------------------------

_logs = st.lists(st.floats(-2, 0), min_size=3, max_size=3).map(lambda steps: np.cumsum(steps))


@given(_logs, st.lists(st.floats(0, 7), min_size=2, max_size=2).map(sorted))
def test_silence_for_longer_is_never_likelier(logs, days):
    sooner, later = Curve(EDGES, logs[None]).silent(days)[0]
    assert 0 <= later <= sooner <= 1


def test_the_curve_agrees_with_its_edges_and_falls_at_a_constant_rate_between_them():
    curve = Curve(EDGES, np.log([[0.8, 0.2, 0.1]]))
    np.testing.assert_allclose(curve.silent([0, 1, 3, 7])[0], [1, 0.8, 0.2, 0.1])
    np.testing.assert_allclose(curve.silent([2])[0], [np.sqrt(0.8 * 0.2)])
    with pytest.raises(ValueError, match="within 0 and 7"):
        curve.silent([8])


@given(_logs, st.floats(0.01, 0.99))
@settings(max_examples=50)
def test_the_day_of_return_is_the_inverse_of_the_curve_given_a_return(logs, quantile):
    curve = Curve(EDGES, np.minimum(logs, [-1e-6, -2e-6, -3e-6])[None])
    [day] = curve.return_days([quantile])[0]
    returned = (1 - curve.silent([day])) / (1 - curve.silent([7]))
    np.testing.assert_allclose(returned, quantile, atol=1e-6)
    np.testing.assert_allclose(curve.returned(np.array([day]), 7), quantile, atol=1e-6)


# --- the model ------------------------------------------------------------------------------------------------------


def test_the_forecast_of_each_horizon_is_on_one_falling_curve():
    model, _ = trained()
    silent = model.survival(FEATURES, HORIZONS.every)
    assert (np.diff(silent, axis=1) <= 0).all()
    np.testing.assert_array_equal(model.predict_proba(FEATURES)[:, 1], silent[:, 1])
    np.testing.assert_allclose(model.predict_proba(FEATURES).sum(axis=1), 1)
    scores = model.scores(FEATURES)
    np.testing.assert_allclose(silent[:, 0], np.prod(1 - 1 / (1 + np.exp(-scores[:, :5])), axis=1))


def test_a_score_is_what_the_trees_say_of_the_matrix_of_the_period_and_the_start():
    model, _ = trained()
    x = model.matrix(FEATURES, 3)
    assert model.matrix_columns == (*model.feature_names_in_, *PERIOD_COLUMNS)
    np.testing.assert_array_equal(x[:, -2], model.edges_[2])
    np.testing.assert_array_equal(x[:, -1], FEATURES[SILENCE].to_numpy() + np.float32(model.edges_[2]))
    expected = model.booster_.predict(x, raw_score=True) + model.start_[3]
    np.testing.assert_allclose(model.scores(FEATURES)[:, 3], expected)


@pytest.mark.parametrize("num_leaves", [2, 8, 40])
def test_the_periods_walked_at_once_are_those_that_lightgbm_walks_one_by_one(num_leaves):
    """Categories, those that the fit never saw among them, missing values where it had some and where it had none."""
    rows = FEATURES.assign(
        f_days_since_last_activity=np.where(FEATURES.index % 7 == 0, np.nan, FEATURES["f_days_since_last_activity"]),
        f_stage=np.where(FEATURES.index % 5 == 0, np.nan, FEATURES["f_last_type_2"] + 40),
    )
    model, _ = models.train(
        *(rows, TARGETS, planted.CATALOGUE, "churn", "hazard"),
        {"n_estimators": 30, "num_leaves": num_leaves, "min_child_samples": 5, "colsample_bytree": 1.0},
        *(planted.GROUPS, 7),
        horizons=HORIZONS,
    )
    odd = rows.assign(
        f_stage=np.resize([np.nan, 0, 41, 42, 300, -1], len(rows)),
        f_noise=np.resize([np.nan, 0.0, 1.0], len(rows)),
        f_value_cents_ever=np.resize([np.nan, 0.0, -5.0], len(rows)),
    )
    for x in (rows, odd.iloc[:100], odd.iloc[:0]):
        scores = model.scores(x)
        for k in range(len(model.edges_) if len(x) else 0):
            one_by_one = model.booster_.predict(model.matrix(x, k), raw_score=True) + model.start_[k]
            np.testing.assert_array_equal(scores[:, k], one_by_one)


def test_what_was_watched_in_part_trains_as_far_as_it_was_watched():
    """Of the newest rows nobody has a mature label; without them nothing of their drift would be learnt."""
    rng = np.random.default_rng(3)
    is_new = (TARGETS["split_rank"] == 2).to_numpy()
    back = np.where(is_new, rng.exponential(3, len(TARGETS)), 200.0)
    truth = TARGETS.assign(
        return_days=np.where(back < np.where(is_new, 5, 90), back, np.nan),
        observed_days=np.where(is_new, 5.0, 90.0),
        churn_status=np.where(is_new, "immature", "mature"),
    )
    rows = FEATURES.assign(f_noise=is_new.astype("float32"))
    model, card = models.train(
        rows, truth, planted.CATALOGUE, "churn", "hazard", {}, planted.GROUPS, 7, horizons=HORIZONS
    )
    assert card["n_train_rows"] == (truth["fold"] == "train").sum()
    silent = model.survival(rows, [5])[:, 0]
    assert silent[is_new].mean() == pytest.approx(np.exp(-5 / 3), abs=0.05)
    assert silent[~is_new].mean() > 0.95


def test_a_period_that_nobody_was_watched_through_goes_on_at_the_rate_of_the_one_before():
    watched = TARGETS.assign(observed_days=np.minimum(TARGETS["observed_days"], 30.0))
    watched["return_days"] = watched["return_days"].where(watched["return_days"] < 30)
    model, _ = trained(watched)
    edges, silent = model.edges_, 1 / (1 + np.exp(model.start_))
    seen = edges.tolist().index(30)
    daily = silent ** (1 / np.diff(edges, prepend=0))
    np.testing.assert_allclose(daily[seen + 1 :], daily[seen])


def test_a_known_law_is_found_again():
    """The hazard is 0.2 a day until day 3, and 0.05 from then on; it doubles for half of the persons."""
    rng = np.random.default_rng(0)
    n = 20_000
    is_keen = rng.random(n) < 0.5
    rate = np.where(is_keen, 0.4, 0.2)
    early, late = rng.exponential(1 / rate), 3 + rng.exponential(4 / rate)
    back = np.where(early < 3, early, late)
    watched = rng.choice([2.0, 7.0], n)
    y = pd.DataFrame({"return_days": np.where(back < watched, back, np.nan), "observed_days": watched})
    x = pd.DataFrame({"f_keen": is_keen.astype("float32")})
    model = Hazard(horizon_days=7, horizons_days=(3, 7), min_child_samples=20, colsample_bytree=1.0)
    model.fit(x, y, groups=np.arange(n).astype(str))
    found = model.survival(pd.DataFrame({"f_keen": np.float32([0, 1])}), [3, 7])
    np.testing.assert_allclose(found, np.exp([[-0.6, -0.8], [-1.2, -1.6]]), atol=0.02)


def test_points_of_a_person_share_their_weight():
    """One person with a hundred points that return at once, beside a hundred persons who do not."""
    x = pd.DataFrame({"f_any": np.zeros(200, "float32")})
    y = pd.DataFrame({"return_days": np.repeat([0.5, np.nan], 100), "observed_days": 1.0})
    groups = np.array(["heavy"] * 100 + [f"p{i}" for i in range(100)])
    settings = {"horizon_days": 1, "horizons_days": (1,), "early_stopping_rounds": 0, "n_estimators": 1}
    for power, returned in ((0.0, 0.5), (0.5, 10 / 110), (1.0, 1 / 101)):
        model = Hazard(person_power=power, **settings).fit(x, y, groups)
        assert model.survival(x[:1], [1])[0, 0] == pytest.approx(1 - returned, abs=0.01)


def test_of_too_many_rows_some_persons_train_with_all_of_theirs():
    model, _ = trained()
    kept = clone(model).set_params(max_rows=2000, n_estimators=5)
    rows = models.training_rows(FEATURES, TARGETS, "churn", kept)
    n = n_periods(rows["return_days"].to_numpy(), rows["observed_days"].to_numpy(), model.edges_)
    assert n.sum() > 3000
    fitted = models.fit(kept, rows)
    leaves = fitted.trees_.trees_to_dataframe()
    used = leaves.loc[leaves["node_depth"] == 1, "count"].max()
    assert 1500 < used < 2500


def test_a_model_read_back_forecasts_the_same(tmp_path):
    model, card = trained()
    models.write(model, card, tmp_path / "m")
    again, _ = models.load(tmp_path / "m")
    np.testing.assert_array_equal(again.survival(FEATURES, [7, 90]), model.survival(FEATURES, [7, 90]))
    assert clone(again).get_params() == model.get_params()


def test_the_silence_so_far_tells_the_most():
    model, _ = trained()
    assert model.feature_names_in_[model.feature_importances_.argmax()] == SILENCE
    assert model.feature_importances_.sum() == pytest.approx(1)


# --- calibration ----------------------------------------------------------------------------------------------------


def test_a_line_is_found_again():
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-1, 1, 50_000)
    y = rng.random(50_000) < expit(0.4 + 0.7 * log_odds)
    line = fit_line(log_odds, y, np.ones(len(y)))
    assert line == pytest.approx((0.4, 0.7), abs=0.04)


@pytest.mark.parametrize("bend", [Bend(0.6, 1.5, 0.4), Bend(0.7, 0.7, -0.5), Bend(1.0, 1.0, 0.0), Bend(0.0, 1.2, -0.2)])
def test_a_bend_is_found_again_and_keeps_order(bend):
    rng = np.random.default_rng(0)
    log_odds = rng.normal(-1, 2, 100_000)
    found = fit_bend(log_odds, rng.random(len(log_odds)) < expit(bend.of(log_odds)))
    assert tuple(found) == pytest.approx(tuple(bend), abs=0.1)
    assert min(found.low, found.high) >= 0
    line = np.linspace(-30, 30, 601)
    assert (np.diff(found.of(line)) >= 0).all()
    np.testing.assert_allclose(found.slope(line[1:-1]), (found.of(line[2:]) - found.of(line[:-2])) / 0.2, atol=2e-3)


def test_unbent_log_odds_are_the_same_and_what_opposes_the_truth_is_not_turned_round():
    log_odds = np.random.default_rng(1).normal(0, 1, 5000)
    assert UNBENT.of(log_odds) is log_odds and (UNBENT.slope(log_odds) == 1).all()
    np.testing.assert_allclose(Bend(1.0, 1.0, 1e-12).of(log_odds), log_odds, atol=1e-11)
    found = fit_bend(log_odds, np.random.default_rng(2).random(5000) < expit(-log_odds))
    assert found.low == found.high == 0


def test_a_gain_is_proven_by_many_persons_and_not_by_many_rows_of_few():
    rng = np.random.default_rng(1)
    log_odds = rng.normal(0, 1, 6000)
    y = rng.random(6000) < expit(log_odds + 0.3)
    moved = Bend(1.0, 1.0, 0.3).of(log_odds)
    mean, low = gain_of(log_odds, moved, y, np.arange(6000).astype(str), 0)
    assert 0 < low < mean
    few = np.repeat(np.arange(6), 1000).astype(str)
    flips = np.repeat([1, 1, 1, 1, -1, -1], 1000)
    assert gain_of(log_odds, moved, rng.random(6000) < expit(log_odds + 0.3 * flips), few, 0)[1] < 0


def drifting(drift: float, n: int = 6000) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows of persons seen on some nights; from night 60 on, returns are `drift` times as frequent."""
    rng = np.random.default_rng(5)
    days = np.repeat(np.arange(0, 100, 10.0), n // 10)
    x = pd.DataFrame({"f_keen": rng.random(n).astype("float32")})
    rate = (0.1 + 0.3 * x["f_keen"]) * np.where(days >= 60, drift, 1.0)
    back = rng.exponential(1 / rate)
    y = pd.DataFrame({"return_days": np.where(back < 5, back, np.nan), "observed_days": 5.0})
    return x, y, np.arange(n).astype(str), days


@pytest.mark.parametrize(("drift", "is_kept"), [(1.0, False), (0.5, True)])
def test_log_odds_are_moved_only_where_newer_nights_prove_that_it_serves(drift, is_kept, tmp_path):
    x, y, persons, days = drifting(drift)
    settings = {"horizon_days": 5, "horizons_days": (5,), "colsample_bytree": 1.0, "n_estimators": 40}
    plain = Hazard(**settings).fit(x, y, persons, days)
    model = Hazard(calibration_share=0.4, **settings).fit(x, y, persons, days)
    assert (model.bend != UNBENT) is is_kept
    if not is_kept:
        np.testing.assert_array_equal(model.scores(x), plain.scores(x))
        return
    np.testing.assert_array_equal(model.scores(x), model.bend.of(plain.scores(x)))
    for label in ("silent", "active"):
        found, p = explain(model, x[:100], [label] * 100), model.predict_proba(x[:100])
        np.testing.assert_allclose(expit(found.log_odds), p[:, int(label == "silent")], rtol=1e-9)
        assert np.abs(found.parts).max() > 0.1
    again = models.read(tmp_path / "model.skops", models.save(model, tmp_path / "model.skops"))
    np.testing.assert_array_equal(again.scores(x), model.scores(x))
    newest = days >= 90
    silent = y["return_days"].isna()[newest].mean()
    moved, left = (m.survival(x[newest], [5]).mean() for m in (model, plain))
    assert abs(moved - silent) < abs(left - silent)

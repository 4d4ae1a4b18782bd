"""Forecasts that come true as often as they say, and such as do not."""

import numpy as np
import pandas as pd
import pytest

import planted
from waymark import models
from waymark.periods import Curve, Horizons
from waymark.reliability import at_every_horizon, in_range, in_the_large, night_of, of_each_outcome

HOW = {"n_bootstrap": 100, "coverage": 0.95, "seed": 1}


def judged(y, silent, persons, **groups):
    p = np.column_stack([1 - np.asarray(silent), silent])
    found = in_the_large(np.asarray(y), p, persons, {k: np.asarray(v, object) for k, v in groups.items()}, **HOW)
    return {(row["by"], row["value"]): row for row in found}


def test_the_mean_forecast_stands_beside_what_came_true():
    found = judged([1, 0, 0, 1], [0.5, 0.5, 0.2, 0.6], list("abcd"), stage=["new", "new", "old", "old"])
    assert {key: row["n"] for key, row in found.items()} == {
        ("all", "all"): 4,
        ("stage", "new"): 2,
        ("stage", "old"): 2,
    }
    assert found["all", "all"]["predicted"] == pytest.approx(0.45)
    assert found["all", "all"]["observed"] == 0.5
    assert found["stage", "old"]["bias"]["value"] == pytest.approx(-0.1)


def test_an_interval_holds_nought_where_forecasts_are_honest_and_not_where_they_are_not():
    rng = np.random.default_rng(0)
    silent = rng.random(4000)
    night = np.repeat(["one", "two"], 2000)
    y = (rng.random(4000) < np.where(night == "one", silent, silent**2)).astype(int)
    found = judged(y, silent, np.arange(4000).astype(str), night=night)
    one, two = found["night", "one"]["bias"], found["night", "two"]["bias"]
    assert one["low"] < 0 < one["high"]
    assert two["low"] > 0.1 and two["value"] == pytest.approx(1 / 6, abs=0.03)


def test_rows_of_one_person_are_one_witness():
    rng = np.random.default_rng(0)
    y, silent = rng.integers(0, 2, 400), np.full(400, 0.5)
    alone = judged(y, silent, np.arange(400).astype(str))["all", "all"]["bias"]
    of_few = judged(np.repeat(y[:20], 20), silent, np.repeat(np.arange(20), 20).astype(str))["all", "all"]["bias"]
    assert of_few["high"] - of_few["low"] > 3 * (alone["high"] - alone["low"])


def test_an_outcome_that_is_never_the_likeliest_is_judged_too():
    """A third of what is said of `seldom` belongs to `rare`; of what is the likeliest all is right."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([0.6 + 0.2 * rng.random(6000), np.zeros((6000, 2))])
    truth[:, 1] = 0.3 * (1 - truth[:, 0])
    truth[:, 2] = 1 - truth.sum(axis=1)
    y = (rng.random(6000)[:, None] > truth.cumsum(axis=1)).sum(axis=1)
    told = truth + np.outer(truth[:, 2], [0, 1 / 3, -1 / 3])
    persons = (np.arange(6000) // 2).astype(str)
    assert judged_top(y, told, persons)["low"] < 0 < judged_top(y, told, persons)["high"]
    often, rare, seldom = of_each_outcome(y, told, ("often", "rare", "seldom"), persons, n_bins=5, **HOW)
    assert often["bias"]["low"] < 0 < often["bias"]["high"]
    assert rare["bias"]["low"] > 0.05 and seldom["bias"]["high"] < -0.05
    assert often["ece"]["value"] < often["ece_noise"]["high"] and rare["ece"]["low"] > rare["ece_noise"]["high"]
    for k, one in enumerate((often, rare, seldom)):
        assert one["predicted"] == pytest.approx(told[:, k].mean())
        assert one["observed"] == pytest.approx((y == k).mean())
        assert one["bias"]["value"] == pytest.approx(one["predicted"] - one["observed"])
        assert sum(b["n"] for b in one["bins"]) == 6000


def judged_top(y, p, persons):
    [overall] = in_the_large(y, p, persons, {}, **HOW)
    return overall["bias"]


def test_of_many_nights_the_months_are_told():
    nights = pd.Series(pd.date_range("2025-01-01", periods=90, tz="UTC"))
    assert set(night_of(nights)) == {"2025-01", "2025-02", "2025-03"}
    assert night_of(nights[:2]).tolist() == ["2025-01-01", "2025-01-02"]


@pytest.mark.parametrize("name", ["hazard", "bg_nbd", "lightgbm"])
def test_a_curve_is_judged_at_every_horizon_on_the_rows_watched_so_long(name):
    features, targets = planted.tables()
    is_test = targets["fold"] == "test"
    targets = targets.assign(observed_days=np.where(is_test & (np.arange(len(targets)) % 2 == 0), 40.0, 90.0))
    horizons = Horizons(30, (7, 30, 90))
    settings = {} if name == "bg_nbd" else {"n_estimators": 20}
    churn = models.train(
        *(features, targets, planted.CATALOGUE, "churn", name, settings, planted.GROUPS, 7),
        horizons=horizons,
    )
    baselines = ["most_frequent", "recency", "bg_nbd"]
    found = at_every_horizon(features, targets, planted.CATALOGUE, churn, baselines, horizons, n_bins=5, **HOW)
    assert [(h["days"], h["n"]) for h in found] == [(7, 150), (30, 150), (90, 75)]
    for h in found:
        truth = targets[is_test & (targets["observed_days"] >= h["days"])]
        silent = ~(truth["return_days"] < h["days"])
        assert h["n_silent"] == silent.sum()
        assert h["observed"] == pytest.approx(silent.mean())
        assert h["bias"]["value"] == pytest.approx(h["predicted"] - h["observed"])
        assert set(h["models"]) == {name, *baselines}
        assert h["best_baseline"] == "recency"
        assert h["returns"]["n"] == len(truth) - h["n_silent"]
        if name != "bg_nbd":
            assert h["models"][name]["log_loss"]["value"] < h["models"]["most_frequent"]["log_loss"]["value"]


def test_a_model_without_a_curve_is_not_judged_at_every_horizon():
    features, targets = planted.tables()
    of = planted.CATALOGUE, "churn", "lightgbm", {"n_estimators": 5}, planted.GROUPS, 7
    churn = models.train(features, targets, *of)
    assert (
        at_every_horizon(features, targets, planted.CATALOGUE, churn, [], Horizons(30, (7, 30)), n_bins=5, **HOW) == []
    )


def test_eight_in_ten_of_those_who_return_do_so_in_their_range_of_days():
    """Half never return. The others do after days of which a curve knows the law, or believes half as many."""
    rng = np.random.default_rng(0)
    rate = 0.02 + 0.2 * rng.random(5000)
    rows = pd.DataFrame({"person_id": np.arange(5000).astype(str), "return_days": rng.exponential(1 / rate)})
    rows.loc[rng.random(5000) < 0.5, "return_days"] = np.nan
    edges = np.arange(1, 91)
    true, hasty = (Curve(tuple(edges.tolist()), np.log(0.5 + 0.5 * np.exp(-np.outer(k * rate, edges)))) for k in (1, 2))
    for days in (30, 90):
        found = in_range(true, rows, days, **HOW)
        assert found["n"] == (rows["return_days"] < days).sum()
        assert found["expected"] == pytest.approx(0.8)
        assert found["inside"]["low"] < 0.8 < found["inside"]["high"] < 0.83
        assert found["inside"]["value"] + found["sooner"] + found["later"] == pytest.approx(1)
        assert in_range(hasty, rows, days, **HOW)["later"] > 0.15
    low, high = true.return_days([0.1, 0.9]).T
    is_inside = (low <= rows["return_days"]) & (rows["return_days"] <= high)
    assert found["inside"]["value"] == pytest.approx(is_inside[rows["return_days"] < 90].mean(), abs=1e-3)


def test_a_horizon_that_no_test_row_was_watched_for_is_not_judged():
    features, targets = planted.tables()
    targets = targets.assign(observed_days=np.where(targets["fold"] == "test", 40.0, 90.0))
    horizons = Horizons(30, (30, 90))
    churn = models.train(
        *(features, targets, planted.CATALOGUE, "churn", "hazard", {"n_estimators": 5}, planted.GROUPS, 7),
        horizons=horizons,
    )
    found = at_every_horizon(features, targets, planted.CATALOGUE, churn, ["recency"], horizons, n_bins=5, **HOW)
    assert found[1] == {"days": 90, "n": 0, "n_silent": 0}


def test_a_horizon_that_no_training_row_was_watched_for_is_judged_beside_bg_nbd_alone():
    features, targets = planted.tables()
    targets = targets.assign(observed_days=np.where(targets["fold"] == "test", 90.0, 40.0))
    targets = targets.assign(
        return_days=targets["return_days"].where(targets["return_days"] < targets["observed_days"])
    )
    horizons = Horizons(30, (30, 90))
    churn = models.train(
        *(features, targets, planted.CATALOGUE, "churn", "hazard", {"n_estimators": 20}, planted.GROUPS, 7),
        horizons=horizons,
    )
    baselines = ["recency", "bg_nbd"]
    found = at_every_horizon(features, targets, planted.CATALOGUE, churn, baselines, horizons, n_bins=5, **HOW)
    assert [set(h["models"]) for h in found] == [{"hazard", *baselines}, {"hazard", "bg_nbd"}]
    assert found[1]["best_baseline"] == "bg_nbd"
    assert found[1]["difference"]["low"] < found[1]["difference"]["value"] < found[1]["difference"]["high"]

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import check_grad

from waymark.bgnbd import BGNBD, log_likelihood, p_alive, p_none
from waymark.explanations import explain

TRUE = np.array([0.8, 12.0, 0.9, 2.5])  # r, alpha in days, a, b
DAYS, LATER = 200.0, 45.0
LOGS = os.environ.get("WAYMARK_LOGS")


def simulate(n, seed, until):
    """Return the times of the returns of each customer from the first day to `until`: lists of days."""
    rng = np.random.default_rng(seed)
    r, alpha, a, b = TRUE
    rates, leaves = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    found = []
    for rate, leave in zip(rates, leaves, strict=True):
        times, now = [], rng.exponential(1 / rate)
        while now < until:
            times.append(now)
            if rng.random() < leave:
                break
            now += rng.exponential(1 / rate)
        found.append(times)
    return found


def history(times, until):
    seen = [t for t in times if t < until]
    return len(seen), seen[-1] if seen else 0.0


def as_features(x, t_x, T):
    return pd.DataFrame({"n": np.asarray(x) + 1.0, "since_first": T, "since_last": np.asarray(T) - t_x})


LIVES = simulate(20_000, 0, DAYS + LATER)
X_SEEN, T_SEEN = np.array([history(times, DAYS) for times in LIVES]).T
CAME_AGAIN = np.array([any(t >= DAYS for t in times) for times in LIVES])
LABEL = np.where(CAME_AGAIN, "active", "silent")
ROWS = as_features(X_SEEN, T_SEEN, np.full(len(LIVES), DAYS))


def test_the_parameters_of_simulated_customers_are_found_again():
    model = BGNBD(horizon_days=LATER).fit(ROWS, LABEL)
    np.testing.assert_allclose(model.parameters, TRUE, rtol=0.15)
    at_truth, _ = log_likelihood(TRUE, X_SEEN, T_SEEN, np.full(len(LIVES), DAYS))
    assert at_truth.sum() <= model.log_likelihood_ <= at_truth.sum() + 12  # likelier than the truth by chance alone


def test_the_forecast_is_the_share_of_simulated_customers_who_stay_away():
    p = p_none(TRUE, X_SEEN, T_SEEN, np.full(len(LIVES), DAYS), LATER)
    for rows in np.array_split(np.argsort(p), 10):
        expected = p[rows].mean()
        spread = np.sqrt(expected * (1 - expected) / len(rows))
        assert (~CAME_AGAIN[rows]).mean() == pytest.approx(expected, abs=3.5 * spread)


def test_the_slopes_are_those_of_the_likelihood():
    few = X_SEEN[:200], T_SEEN[:200], np.full(200, DAYS)
    error = check_grad(
        lambda p: log_likelihood(p, *few)[0].sum(), lambda p: log_likelihood(p, *few)[1].sum(axis=1), TRUE
    )
    assert error < 1e-3


def test_who_never_came_back_is_still_here_and_a_long_silence_after_many_times_is_the_end():
    x, t_x, T = np.array([0.0, 20.0, 20.0]), np.array([0.0, 199.0, 20.0]), np.full(3, 200.0)
    assert p_alive(TRUE, x, t_x, T) == pytest.approx([1, 1, 0], abs=0.12)
    none = p_none(TRUE, x, t_x, T, 30)
    assert none[2] > none[0] > none[1]
    assert p_none(TRUE, x, t_x, T, 1e-9) == pytest.approx(1)
    assert (np.diff([p_none(TRUE, x, t_x, T, h)[:2] for h in (1, 7, 30, 90)], axis=0) < 0).all()


def test_time_has_no_unit():
    weeks = as_features(X_SEEN, T_SEEN / 7, np.full(len(LIVES), DAYS / 7))
    by_day, by_week = BGNBD(horizon_days=28).fit(ROWS, LABEL), BGNBD(horizon_days=4).fit(weeks, LABEL)
    assert by_week.alpha_ == pytest.approx(by_day.alpha_ / 7, rel=1e-6)
    np.testing.assert_allclose(by_day.predict_proba(ROWS), by_week.predict_proba(weeks), atol=1e-6)


def test_each_customer_counts_once_as_last_seen():
    earlier = as_features(*np.array([history(times, 90) for times in LIVES]).T, np.full(len(LIVES), 90.0))
    persons, times = np.tile(np.arange(len(LIVES)), 2), np.repeat([0, 1], len(LIVES))
    both = pd.concat([earlier, ROWS], ignore_index=True)
    twice = BGNBD().fit(both, np.tile(LABEL, 2), groups=persons, times=times)
    assert twice.get_params() == BGNBD().get_params()
    np.testing.assert_array_equal(twice.parameters, BGNBD().fit(ROWS, LABEL).parameters)


def test_the_order_of_rows_changes_no_digit():
    order = np.random.default_rng(1).permutation(len(ROWS))
    turned = BGNBD().fit(ROWS.iloc[order], LABEL[order])
    np.testing.assert_array_equal(turned.parameters, BGNBD().fit(ROWS, LABEL).parameters)


def test_customers_who_never_leave_are_told_as_such():
    rng = np.random.default_rng(3)
    rates = rng.gamma(2.0, 1 / 40.0, 3000)
    x = rng.poisson(rates * DAYS)
    t_x = np.where(x > 0, DAYS * rng.random(3000) ** (1 / np.maximum(x, 1)), 0.0)  # the latest of x even times
    model = BGNBD().fit(as_features(x, t_x, np.full(3000, DAYS)), LABEL[:3000])
    assert model.a_ / (model.a_ + model.b_) < 0.01
    assert (model.r_, model.alpha_) == pytest.approx((2, 40), rel=0.15)


def test_who_has_not_been_active_at_all_stays_silent_as_often_as_such_persons_did():
    none = pd.DataFrame({"n": [0.0] * 4, "since_first": np.nan, "since_last": np.nan})
    label = ["silent", "silent", "silent", "active"]
    model = BGNBD().fit(pd.concat([ROWS, none], ignore_index=True), [*LABEL, *label])
    assert model.predict_proba(none)[:, 1].tolist() == [0.75] * 4
    np.testing.assert_array_equal(model.parameters, BGNBD().fit(ROWS, LABEL).parameters)
    with pytest.raises(ValueError, match="needs persons with an active day"):
        BGNBD().fit(none, label)


@pytest.mark.slow
@pytest.mark.skipif(not LOGS, reason="WAYMARK_LOGS names no folder of public logs")
def test_the_published_parameters_of_cdnow_are_found_again():
    """Fader, Hardie and Lee (2005), table 2: the 1-in-10 sample, 39 weeks, in weeks; repeats counted by day."""
    file = Path(LOGS) / "cdnow" / "sample_transactions.parquet"
    if not file.is_file():
        pytest.skip("no cdnow among the logs")
    bought = pd.read_parquet(file).drop_duplicates(["customer_id", "event_date"])
    end = pd.Timestamp("1997-09-30")
    days = bought[bought["event_date"] <= end].groupby("customer_id")["event_date"].agg(["min", "max", "count"])
    since_first, since_last = ((end - days[c]) / pd.Timedelta(days=7) for c in ("min", "max"))
    rows = pd.DataFrame({"n": days["count"], "since_first": since_first, "since_last": since_last})
    came_again = bought.groupby("customer_id")["event_date"].max().loc[days.index] > end
    model = BGNBD(horizon_days=39).fit(rows, came_again.map({True: "active", False: "silent"}))
    assert len(rows) == 2357
    np.testing.assert_allclose(model.parameters, [0.243, 4.414, 0.793, 2.426], atol=6e-4)
    assert model.log_likelihood_ == pytest.approx(-9582.4, abs=0.06)


# --- the curve, and reasons -----------------------------------------------------------------------------------------

NEVER = pd.DataFrame({"n": [0.0, np.nan], "since_first": np.nan, "since_last": np.nan})


def test_its_curve_is_its_forecast_at_every_horizon():
    rows = pd.concat([ROWS, NEVER], ignore_index=True)
    model = BGNBD(horizon_days=45, horizons_days=(7, 45, 90)).fit(rows, [*LABEL, "silent", "active"])
    curve = model.curve(rows)
    for days in (7, 45, 90):
        known = p_none(model.parameters, *model.histories(ROWS), days)
        np.testing.assert_allclose(curve.silent([days])[: len(ROWS), 0], known, rtol=1e-9)
    np.testing.assert_allclose(curve.silent([45])[:, 0], model.predict_proba(rows)[:, 1], rtol=1e-9)
    assert (np.diff(curve.log_silent, axis=1) <= 0).all()
    # Of those who never were active, half stayed silent for 45 days.
    np.testing.assert_allclose(curve.silent([90])[len(ROWS) :, 0], 0.25, rtol=1e-9)
    low, middle, high = curve.return_days([0.1, 0.5, 0.9]).T
    assert (low < middle).all() and (middle < high).all() and (high < 90).all()


@pytest.mark.parametrize("label", ["silent", "active"])
def test_what_its_columns_moved_adds_up(label):
    model = BGNBD(horizon_days=LATER).fit(ROWS, LABEL)
    rows = pd.concat([ROWS[:200], NEVER], ignore_index=True)
    found = explain(model, rows, [label] * len(rows))
    p = model.predict_proba(rows)[:, model.classes_.tolist().index(label)]
    np.testing.assert_allclose(found.log_odds, np.log(p / (1 - p)), atol=1e-9)
    assert len(np.unique(found.base)) == 1
    assert (np.abs(found.parts[:200, [0, 2]]).mean(axis=0) > 0.02).all()  # all were first active on one day
    assert (found.parts[200:, 1:] == 0).all()
    long_quiet = ROWS["since_last"][:200] > 150
    towards = found.parts[:200, 2][long_quiet & (ROWS["n"][:200] > 2)]
    assert ((towards > 0) == (label == "silent")).all()

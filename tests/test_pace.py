import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waymark.pace import Paced
from waymark.periods import Horizons

HORIZONS = Horizons(30, (7, 30, 90))


class Says(Paced):
    """Forecasts what it is given."""

    classes_ = np.array(["active", "silent"])

    def predict_proba(self, X):
        return np.column_stack([1 - X["p"], X["p"]])


def seen(n=20_000, watched=90.0, seed=0):
    """Return points whose cumulative hazard rises with the square root of time: 1 after 20 days."""
    back = 20 * np.random.default_rng(seed).exponential(size=n) ** 2
    watched = np.broadcast_to(watched, n)
    return pd.DataFrame({"return_days": np.where(back < watched, back, np.nan), "observed_days": watched})


def curve(p, points, horizons=HORIZONS):
    return Says().learn_pace(points, horizons).curve(pd.DataFrame({"p": p}))


@pytest.mark.parametrize("watched", [90.0, np.tile([30.0, 30.0, 30.0, 90.0], 5000)])
def test_a_known_pace_is_found_however_long_each_was_watched(watched):
    silent = curve([0.2, 0.9], seen(watched=watched)).silent([7, 14, 60, 90])
    expected = np.array([[0.2], [0.9]]) ** np.sqrt(np.array([7, 14, 60, 90]) / 30)
    np.testing.assert_allclose(silent, expected, atol=0.006)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=5))
@example(p=[0.0, 1.0, 1e-300])
def test_what_the_model_says_stays_and_silence_falls_with_the_horizon(p):
    found = curve(p, seen(500))
    silent = found.silent([1, 7, 30, 60, 90])
    np.testing.assert_allclose(silent[:, 2], p, atol=1.1e-12, rtol=1e-12)
    assert (np.diff(silent, axis=1) <= 0).all() and ((silent >= 0) & (silent <= 1)).all()
    days = found.return_days([0.1, 0.5, 0.9])
    assert (np.diff(days, axis=1) > 0).all() and (days > 0).all() and (days < 90).all()


def test_beyond_what_anybody_was_watched_for_the_last_daily_rate_goes_on():
    rates = -np.diff(np.log(curve([0.5], seen(watched=45.0)).silent([30, 45, 60, 90]))[0]) / [15, 15, 30]
    np.testing.assert_allclose(rates, rates[0], rtol=1e-9)


@pytest.mark.parametrize("back", [np.nan, 0.5])
def test_where_all_did_the_same_there_is_a_curve_still(back):
    silent = curve([0.5], pd.DataFrame({"return_days": [back] * 60, "observed_days": 90.0})).silent([7, 30, 90])[0]
    assert silent[1] == pytest.approx(0.5) and silent[0] > 0.5 > silent[2] > 0


def test_the_judged_horizon_is_one_of_them():
    assert Says().learn_pace(seen(100), Horizons(14, (7,))).horizons_days == (7, 14)


def test_without_a_pace_there_is_no_curve():
    assert not hasattr(Says(), "curve") and hasattr(Says().learn_pace(seen(100), HORIZONS), "curve")

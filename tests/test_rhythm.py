"""A hazard that starts from BG/NBD: only where that is proven, as one curve, and with reasons that add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from waymark import estimators, hazard, hazard_trials, models
from waymark.bgnbd import BGNBD, p_none
from waymark.explanations import explain
from waymark.hazard import SILENCE, Hazard
from waymark.hazard_trials import gains_in_time
from waymark.on_disk import as_they_are
from waymark.period_rows import points_of
from waymark.rhythm import Rhythm

COLUMNS = ("f_n", "f_since_first", "f_since_last")
LAW = np.array([0.7, 14.0, 0.8, 3.5])
NIGHTS, HORIZON = np.arange(60, 130, 10.0), 30
SETTINGS = {"horizon_days": HORIZON, "horizons_days": (7, HORIZON), "min_child_samples": 20, "n_estimators": 60}


def buyers(n: int = 1200) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Return what buyers who obey `LAW` did until each night and what they did then, and noise beside it."""
    rng = np.random.default_rng(3)
    r, alpha, a, b = LAW
    rows = []
    for i, (rate, leaves) in enumerate(zip(rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n), strict=True)):
        times = [rng.uniform(0, 40)]
        while times[-1] < NIGHTS[-1] + HORIZON and (len(times) == 1 or rng.random() > leaves):
            times.append(times[-1] + rng.exponential(1 / rate))
        times = np.array(times)
        for night in NIGHTS:
            seen, later = times[times < night], times[times >= night]
            watched = min(HORIZON, NIGHTS[-1] + HORIZON - night)
            back = later[0] - night if len(later) and later[0] - night < watched else np.nan
            rows.append((f"p{i}", night, len(seen), night - seen[0], night - seen[-1], back, watched))
    names = ["person", "night", *COLUMNS, "return_days", "observed_days"]
    table = pd.DataFrame(rows, columns=names).assign(**{SILENCE: lambda t: t["f_since_last"]})
    noise = pd.DataFrame(rng.normal(size=(len(table), 20)), columns=[f"f_noise_{i}" for i in range(20)])
    x = pd.concat([table[[*COLUMNS, SILENCE]], noise], axis=1).astype("float32")
    return x, table[["return_days", "observed_days"]], table["person"].to_numpy(), table["night"].to_numpy()


X, Y, PERSONS, DAYS = buyers()


@pytest.fixture(scope="module")
def started():
    return Hazard(history_columns=COLUMNS, **SETTINGS).fit(X, Y, PERSONS, DAYS)


@pytest.fixture(scope="module")
def plain():
    return Hazard(history_columns=COLUMNS, start_share=0.0, **SETTINGS).fit(X, Y, PERSONS, DAYS)


def test_the_scores_of_bg_nbd_are_its_forecast_period_by_period():
    model = BGNBD(COLUMNS).fit(X, np.full(len(X), "silent"), PERSONS, DAYS)
    ends = np.array([1, 3, 7, 30])
    silent = np.cumprod(1 / (1 + np.exp(model.scores(X, ends))), axis=1)
    histories = model.histories(X)
    for k, days in enumerate(ends):
        np.testing.assert_allclose(silent[:, k], p_none(model.parameters, *histories, days), atol=1e-3)
    never = pd.DataFrame({COLUMNS[0]: [0.0, 2.0], COLUMNS[1]: np.nan, COLUMNS[2]: np.nan})
    assert np.isnan(model.scores(never, ends)).all()


@pytest.mark.slow
def test_where_buyers_obey_the_law_the_trees_start_from_it_and_forecast_better(started, plain):
    assert plain.rhythm_ is None
    assert started.rhythm_.slope == pytest.approx(1, abs=0.15)
    truth = p_none(LAW, *started.rhythm_.model.histories(X), HORIZON)
    away = [np.abs(model.survival(X, [HORIZON])[:, 0] - truth).mean() for model in (started, plain)]
    assert away[0] < 0.8 * away[1]
    silent = started.survival(X, [1, 7, 20, 30])
    assert (np.diff(silent, axis=1) <= 0).all()


def test_where_histories_tell_nothing_they_start_from_everybody():
    rng = np.random.default_rng(1)
    back = rng.exponential(40.0, len(X))
    y = pd.DataFrame({"return_days": np.where(back < HORIZON, back, np.nan), "observed_days": float(HORIZON)})
    assert Hazard(history_columns=COLUMNS, **SETTINGS).fit(X, y, PERSONS, DAYS).rhythm_ is None


def test_it_takes_both_proofs_of_other_persons_and_of_the_newest_nights(monkeypatch):
    monkeypatch.setattr(hazard_trials, "gains_in_time", lambda *_: False)
    assert Hazard(history_columns=COLUMNS, **SETTINGS).fit(X, Y, PERSONS, DAYS).rhythm_ is None


def rows_tried_and_grown(monkeypatch, **settings):
    """Return a hazard that tries some of its persons only, and how many rows each of its growths of trees had."""
    sizes = []
    grow_task = estimators.grow

    def counted(take, task):
        sizes.append(len(task.rows.at) + (0 if task.judges is None else len(task.judges.at)))
        return grow_task(take, task)

    monkeypatch.setattr(hazard, "grow", counted)
    monkeypatch.setattr(hazard_trials, "grow", counted)
    monkeypatch.setattr(hazard_trials, "TRIAL_ROWS", 34_000)
    return Hazard(history_columns=COLUMNS, **SETTINGS | settings).fit(X, Y, PERSONS, DAYS), sizes


def test_what_is_tried_has_so_many_rows_at_most_and_comes_to_the_same(monkeypatch, started):
    model, sizes = rows_tried_and_grown(monkeypatch)
    every = max(sizes)
    assert every > 65_000
    assert sizes[-2:] == [every, every]  # how many rounds, and those: of all rows
    assert max(sizes[:-2]) < 38_000
    assert len(sizes) == 8  # two starts tried; and twice on the newest nights, each tried and grown
    assert model.n_rounds_ == started.n_rounds_
    np.testing.assert_allclose(model.start_, started.start_)
    np.testing.assert_allclose(model.rhythm_.shifts, started.rhythm_.shifts)


def test_trees_that_some_do_not_want_to_stop_are_not_tried_on_all(monkeypatch):
    model, sizes = rows_tried_and_grown(monkeypatch, n_estimators=5)
    assert model.n_rounds_ == 5
    assert sizes[-1] > 65_000
    assert max(sizes[:-1]) < 38_000


@pytest.mark.parametrize("nothing_is_known_of", ["what came before", "what came after"])
def test_without_a_return_before_the_newest_nights_or_after_nothing_is_proven(nothing_is_known_of, started):
    is_blank = (DAYS < 110) == (nothing_is_known_of == "what came before")
    blank = Y.assign(return_days=Y["return_days"].where(~is_blank))
    assert not gains_in_time(started, points_of(X, blank, PERSONS, DAYS, as_they_are))
    assert not gains_in_time(started, points_of(X, Y, PERSONS, np.full(len(X), 5.0), as_they_are))


def test_a_score_is_the_start_and_what_the_trees_say(started):
    own = started.rhythm_.starts(X, started.edges_)
    expected = own[:, 2] + started.booster_.predict(started.matrix(X, 2), raw_score=True)
    np.testing.assert_allclose(started.scores(X)[:, 2], expected, atol=1e-12)
    never = X.assign(f_n=0.0, f_since_first=np.nan, f_since_last=np.nan)
    trees = started.booster_.predict(started.matrix(never, 2), raw_score=True)
    np.testing.assert_allclose(started.scores(never)[:, 2], started.start_[2] + trees, atol=1e-12)


@pytest.mark.parametrize("label", ["silent", "active"])
def test_what_features_moved_adds_up_with_the_start_among_them(started, label):
    rows = pd.concat([X[:200], X[:5].assign(f_n=0.0, f_since_first=np.nan, f_since_last=np.nan)], ignore_index=True)
    found = explain(started, rows, [label] * len(rows))
    p = started.predict_proba(rows)[:, started.classes_.tolist().index(label)]
    np.testing.assert_allclose(found.log_odds, np.log(p / (1 - p)), atol=1e-9)
    np.testing.assert_allclose(found.base, found.base[0], atol=1e-12)
    of_histories = np.abs(found.parts[:, [started.feature_names_in_.tolist().index(c) for c in COLUMNS]])
    assert (of_histories.mean(axis=0) > 0.02).all()


def test_so_it_does_where_all_that_is_bent(started, monkeypatch):
    monkeypatch.setattr(started, "bend_", np.array([0.7, 1.4, -0.2]))
    bent = started.bend.of(started.raw_scores(X[:200]))
    np.testing.assert_array_equal(started.scores(X[:200]), bent)
    found = explain(started, X[:200], ["silent"] * 200)
    p = started.predict_proba(X[:200])[:, 1]
    np.testing.assert_allclose(found.log_odds, np.log(p / (1 - p)), atol=1e-9)


def test_it_can_be_kept(started, tmp_path):
    path = tmp_path / "model.skops"
    again = models.read(path, models.save(started, path))
    np.testing.assert_array_equal(again.scores(X), started.scores(X))
    assert isinstance(again.rhythm_, Rhythm)

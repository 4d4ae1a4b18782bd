"""The compiled loops against sums that a person can do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waymark import kernels
from waymark.kernels import DAY, EVER


def grouped(seed: int, n_persons: int, n: int) -> dict[str, np.ndarray]:
    """Return random events grouped by person, in time order, and a point after some of them, tied ones among them."""
    draw = np.random.default_rng(seed)
    starts = np.append(0, np.cumsum(draw.multinomial(n, np.ones(n_persons) / n_persons)))
    person = np.repeat(np.arange(n_persons), np.diff(starts))
    time = draw.integers(-20, 20, n) * (DAY // 4)
    time = time[np.lexsort((time, person))]
    end = np.sort(draw.choice(np.arange(1, n + 1), draw.integers(0, n + 1), replace=True)).astype(np.int64)
    owner = person[end - 1] if n else end
    return {
        "starts": starts.astype(np.int64),
        "person": person,
        "time": time,
        "category": draw.integers(-1, 3, n).astype(np.int32),
        "weight": draw.integers(-500, 500, n),
        "first": starts[owner].astype(np.int64),
        "end": end,
        "cutoff": (time[end - 1] if n else end) + DAY // 4,
        "value": np.where(draw.random(n) < 0.3, np.nan, draw.normal(size=n)),
    }


many = given(
    events=st.builds(grouped, st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 40)),
)


def points(events: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [events[k] for k in ("first", "end", "cutoff", "time")]


def seen(events: dict[str, np.ndarray], p: int, category: int) -> np.ndarray:
    """Return the positions of a category's events that a point sees."""
    i = np.arange(events["first"][p], events["end"][p])
    return i[events["category"][i] == category]


@given(person=st.lists(st.integers(0, 5), max_size=20))
def test_events_are_grouped_in_the_order_they_had(person):
    order, starts = kernels.group_order(np.array(person, np.int32), 6)
    assert order.tolist() == sorted(range(len(person)), key=lambda i: person[i])
    assert np.diff(starts).tolist() == [person.count(p) for p in range(6)]


@many
def test_counts_so_far(events):
    out = kernels.count_so_far(events["starts"], events["category"], 3)
    for i, category in enumerate(events["category"]):
        start = events["starts"][events["person"][i]]
        expected = (events["category"][start : i + 1] == category).sum() if category >= 0 else 0
        assert out[i] == expected


@many
def test_sums_over_windows(events):
    windows = np.array([DAY, 3 * DAY, EVER])
    out = kernels.window_sums(*points(events), events["category"], events["weight"], windows, 3)
    for p in range(len(events["end"])):
        for w, window in enumerate(windows):
            for c in range(3):
                i = seen(events, p, c)
                recent = i[events["time"][i] >= events["cutoff"][p] - window]
                assert out[p, w, c] == events["weight"][recent].sum()


@many
def test_decayed_counts(events):
    out = kernels.decayed_counts(*points(events), events["category"], 2.0 * DAY, 3)
    for p in range(len(events["end"])):
        for c in range(3):
            age = events["cutoff"][p] - events["time"][seen(events, p, c)]
            assert out[p, c] == pytest.approx((0.5 ** (age / (2 * DAY))).sum())


@many
def test_days_since_the_first_and_the_last(events):
    out = kernels.days_since(*points(events), events["category"], 3)
    for p in range(len(events["end"])):
        for c in range(3):
            days = (events["cutoff"][p] - events["time"][seen(events, p, c)]) / DAY
            expected = [days[0], days[-1]] if len(days) else [np.nan, np.nan]
            assert out[p, c].tolist() == pytest.approx(expected, nan_ok=True)


@many
def test_gaps_between_counted_events(events):
    counts = events["category"] == 0
    out = kernels.gap_states(events["starts"], events["time"], counts)
    for i in range(len(counts)):
        start = events["starts"][events["person"][i]]
        times = events["time"][start : i + 1][counts[start : i + 1]]
        gaps = np.diff(times) / DAY
        expected = [gaps.mean(), gaps.std(), gaps[-1]] if len(gaps) else [np.nan] * 3
        assert out[i].tolist() == pytest.approx(expected, nan_ok=True, abs=1e-6)


@pytest.mark.parametrize("days", [0.1, 1 / 3, 7.7, 1234.567])
def test_a_steady_rhythm_has_no_spread(days):
    time = np.arange(20) * round(days * DAY)
    out = kernels.gap_states(np.array([0, 20]), time, np.ones(20, bool))
    assert out[-1, 1] == pytest.approx(0, abs=1e-9)


@many
def test_running_means(events):
    out = kernels.running_means(events["starts"], events["value"])
    for i in range(len(out)):
        start = events["starts"][events["person"][i]]
        there = events["value"][start : i + 1]
        there = there[~np.isnan(there)]
        assert out[i] == pytest.approx(there.mean() if len(there) else np.nan, nan_ok=True)


@many
def test_points_left_out_change_no_other(events):
    keep = slice(None, None, 2)
    args = (events["category"], events["weight"], np.array([DAY, EVER]), 3)
    some = [a[keep].copy() for a in points(events)[:3]]
    assert (
        kernels.window_sums(*some, events["time"], *args).tolist()
        == kernels.window_sums(*points(events), *args)[keep].tolist()
    )
    decays = (events["category"], 2.0 * DAY, 3)
    assert (
        kernels.decayed_counts(*some, events["time"], *decays).tobytes()
        == kernels.decayed_counts(*points(events), *decays)[keep].tobytes()
    )

"""What tonight is, and what training may see."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import by_hand
from by_hand import events, time
from table_facts import TableFacts
from waymark import clock, schema, tables
from waymark.clock import ScoreClock, TrainClock, known_before
from waymark.config import ClockConfig, SplitConfig, TargetsConfig
from waymark.errors import InputError

DAY = timedelta(days=1)
LATEST = ClockConfig(cutoff_time="latest")
SMALL = {"n_train": 3, "n_test": 2, "min_history_days": 7}


def latest_cutoff(log: pd.DataFrame) -> pd.Timestamp:
    return clock.latest_cutoff(TableFacts(log))


def strays(log: pd.DataFrame) -> list[str]:
    return clock.strays(TableFacts(log))


def set_score_clock(log: pd.DataFrame, settings: ClockConfig) -> ScoreClock:
    return clock.set_score_clock(TableFacts(log), settings)


def set_train_clock(log: pd.DataFrame, split: SplitConfig, targets: TargetsConfig) -> TrainClock:
    return clock.set_train_clock(TableFacts(log), split, targets)


def version_of(log: pd.DataFrame) -> str:
    return TableFacts(log).version_as_of(time("2200-01-01"))


def stored(log: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the events as a step reads them."""
    tables.write(log, folder / "events.parquet", schema.EVENTS)
    return tables.read(folder / "events.parquet")


def daily(n: int, start: str = "2025-01-01") -> pd.DataFrame:
    return events(*(f"ann {(time(start) + i * DAY).isoformat()} web view 100" for i in range(n)))


# --- tonight --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "cutoff"),
    [
        ("2025-01-10", "2025-01-11"),
        ("2025-01-10T23:59:59.999999", "2025-01-11"),
        ("2025-01-05 known=2025-01-10T08:00", "2025-01-11"),
    ],
)
def test_tonight_ends_the_last_delivered_day(last, cutoff):
    when, *known = last.split()
    log = events("ann 2025-01-01 web view", " ".join(["ann", when, "web view", *known]))
    assert latest_cutoff(log) == time(cutoff)
    assert set_score_clock(log, LATEST).cutoff_time == time(cutoff)


def test_a_chosen_night_sees_what_was_known_by_then():
    log = events("ann 2025-01-01 web view", "ann 2025-01-03 web view known=2025-01-08", "bob 2025-01-05 web view")
    clock = set_score_clock(log, ClockConfig(cutoff_time="2025-01-05"))
    assert clock.cutoff_time == time("2025-01-05")
    assert clock.scored_at_cutoff == time("2025-01-01")
    assert set_score_clock(log, LATEST).scored_at_cutoff == time("2025-01-05")


@pytest.mark.parametrize(
    ("night", "words"),
    [
        ("2025-01-01", r"cutoff_time 2025-01-01 .* is before the first known event; choose one after 2025-01-01"),
        (
            "2025-01-12",
            r"cutoff_time 2025-01-12 .* is after the last delivered day; choose `latest` or one up to 2025-01",
        ),
    ],
)
def test_an_impossible_night_is_named_with_the_choices(night, words):
    with pytest.raises(InputError, match=words):
        set_score_clock(daily(10), ClockConfig(cutoff_time=night))


def test_no_event_at_all_is_no_night():
    for make in (
        lambda e: set_score_clock(e, LATEST),
        lambda e: set_train_clock(e, by_hand.split(), by_hand.targets()),
    ):
        with pytest.raises(InputError, match=r"no event was accepted.*rejects"):
            make(events())


def test_an_event_at_the_cut_off_is_not_known_before_it():
    log = events("ann 2025-01-01 web view", "ann 2025-01-02 web view", "ann 2025-01-01 web late known=2025-01-02")
    assert known_before(log, time("2025-01-02"))["event_type"].tolist() == ["view"]


def test_a_night_does_not_know_what_is_restated_later(tmp_path):
    first, then = "ann 2025-01-01 web view id=1", "ann 2025-01-01 web order id=1 known=2025-01-04"
    alone, both = stored(events(first), tmp_path), stored(events(f"{first} superseded=2025-01-04", then), tmp_path)
    for night in (time("2025-01-02"), time("2025-01-04")):
        pd.testing.assert_frame_equal(known_before(both, night), known_before(alone, night))
        assert TableFacts(both).version_as_of(night) == TableFacts(alone).version_as_of(night)
    later = known_before(both, time("2025-01-05"))
    assert later["superseded_time"].tolist() == [time("2025-01-04"), pd.NaT]
    assert later["event_type"].tolist() == ["view", "order"]


def test_a_booking_far_ahead_moves_no_night():
    log = events("ann 2025-01-03 web view", "ann 2042-01-01 web visit known=2025-01-02")
    assert latest_cutoff(log) == time("2025-01-04")
    assert set_score_clock(log, LATEST).scored_at_cutoff == time("2025-01-03")


def a_thousand(*others: str) -> pd.DataFrame:
    """Return a thousand events an hour apart, to 2025-02-11, and others."""
    hours = pd.date_range("2025-01-01", periods=1000, freq="h")
    return events(*(f"ann {hour.isoformat()} web view" for hour in hours), *others)


FAR = "bob 2099-05-05 web view"


def test_one_event_of_a_wrong_year_moves_no_night():
    log = a_thousand(FAR)
    assert latest_cutoff(log) == latest_cutoff(a_thousand()) == time("2025-02-12")
    split, targets = by_hand.split(**SMALL), by_hand.targets(horizon_days=2)
    assert set_train_clock(log, split, targets) == set_train_clock(a_thousand(), split, targets)
    assert set_score_clock(log, LATEST) == set_score_clock(a_thousand(), LATEST)
    assert strays(log) == ["1 of 1,001 events, from 2099-05-05 on, lie a year after all others and move no night"]
    assert strays(a_thousand()) == []


@pytest.mark.parametrize(
    ("others", "cutoff"),
    [
        (["bob 2026-02-11T23:59 web view"], "2026-02-12"),  # a year's pause, to the day
        (["bob 2026-02-12T00:00 web view"], "2025-02-12"),
        ([FAR, "bob 2098-05-05 web view"], "2099-05-06"),  # two in a thousand are too many to be strays
        (["bob 2025-06-01 web view", FAR], "2025-06-02"),
        (["bob 2024-01-01 web view known=2099-05-05"], "2025-02-12"),
        (["bob 1970-01-01 web view"], "2025-02-12"),
    ],
)
def test_strays_are_few_and_far(others, cutoff):
    assert latest_cutoff(a_thousand(*others)) == time(cutoff)


def test_a_small_log_has_no_strays():
    assert latest_cutoff(
        events(*(f"ann {(time('2025-01-01') + i * DAY).isoformat()} web view" for i in range(9)), FAR)
    ) == time("2099-05-06")


def test_what_a_night_adds_to_a_history_loaded_at_once_is_no_stray():
    log = a_thousand().assign(known_time=time("2025-02-12"))
    nightly = events("bob 2025-02-12 web view known=2025-02-13T01:00")
    assert latest_cutoff(pd.concat([log, nightly], ignore_index=True)) == time("2025-02-14")


# --- the version of the data ----------------------------------------------------------------------------------------

LOG = ("ann 2025-01-01 web view 100", "bob 2025-01-02 web order 200 attr_plan=gold", "bob 2025-01-03 web view")


def test_what_nobody_may_see_yet_changes_no_version(tmp_path):
    """A newer event without a value makes the column of values, read back, one of floats."""
    clocks = []
    for newer in ((), ("cid 2025-01-03 web view",), ("cid 2025-01-01 web view 5 known=2025-01-04", LOG[2])):
        log = stored(events(*LOG[:2], *newer), tmp_path)
        clocks.append(set_score_clock(log, ClockConfig(cutoff_time="2025-01-03")))
    assert clocks[0] == clocks[1] == clocks[2]


# --- what training may see ------------------------------------------------------------------------------------------


def test_weekly_cut_offs_fall_on_mondays():
    clock = set_train_clock(daily(100), by_hand.split(**SMALL), by_hand.targets(horizon_days=14))
    assert clock.as_of == time("2025-04-07")
    assert clock.test_cutoffs == (time("2025-03-17"), time("2025-03-24"))
    assert clock.train_cutoffs == (time("2025-02-17"), time("2025-02-24"), time("2025-03-03"))
    assert {t.weekday() for t in (clock.as_of, *clock.test_cutoffs, *clock.train_cutoffs)} == {0}


def test_training_stands_still_within_a_week(tmp_path):
    """Scoring moves on each night; training when a week is full."""
    log = daily(105)
    training, scoring = [], []
    for n in range(97, 104):  # from Monday, 7 April, to Sunday
        delivered = log.head(n)
        delivered = pd.concat([delivered.iloc[:-1], delivered.iloc[-1:].assign(value_cents=None)])
        delivered = stored(delivered.astype({"value_cents": "Int64"}), tmp_path)
        training.append(set_train_clock(delivered, by_hand.split(**SMALL), by_hand.targets(horizon_days=14)))
        scoring.append(set_score_clock(delivered, LATEST))
    assert len(set(training[:6])) == 1
    assert training[6].as_of == training[0].as_of + timedelta(days=7)
    assert len({c.data_version for c in scoring}) == len(scoring)


@given(
    n_days=st.integers(20, 400),
    horizon_days=st.integers(1, 60),
    split=st.fixed_dictionaries(
        {
            "step_days": st.integers(1, 30),
            "n_train": st.integers(1, 10),
            "n_test": st.integers(1, 5),
            "gap_days": st.integers(0, 20),
            "min_history_days": st.integers(0, 30),
            "n_unripe": st.integers(0, 9),
        }
    ),
)
def test_no_training_label_reaches_a_test_cut_off(n_days, horizon_days, split):
    log = events(*(f"ann {(time('2025-01-01') + d * DAY).isoformat()} web view" for d in (0, n_days)))
    settings = by_hand.split(**split)
    horizon, gap = horizon_days * DAY, split["gap_days"] * DAY
    try:
        clock = set_train_clock(log, settings, by_hand.targets(horizon_days=horizon_days))
    except InputError as error:
        assert "targets.horizon_days" in str(error)
        return
    ripe = [t for t in clock.train_cutoffs if t + horizon + gap <= min(clock.test_cutoffs)]
    unripe = [t for t in clock.train_cutoffs if t not in ripe]
    assert max(clock.train_cutoffs) + gap < min(clock.test_cutoffs)
    assert len(unripe) <= split["n_unripe"]
    assert max(clock.test_cutoffs) + horizon <= clock.as_of <= latest_cutoff(log)
    assert min(clock.train_cutoffs) >= time("2025-01-01") + split["min_history_days"] * DAY
    assert len(clock.test_cutoffs) == split["n_test"]
    assert len(ripe) <= split["n_train"]
    assert clock.train_cutoffs
    nights = (*clock.train_cutoffs, *clock.test_cutoffs)
    assert list(nights) == sorted(set(nights))


def test_nights_whose_horizon_has_not_passed_train_where_they_are_asked_for():
    targets = by_hand.targets(horizon_days=14)
    few, many = (set_train_clock(daily(100), by_hand.split(**SMALL, n_unripe=n), targets) for n in (1, 9))
    assert few.train_cutoffs[-2:] == (time("2025-03-03"), time("2025-03-10"))
    assert many == few  # the next one is the first that tests
    assert few.test_cutoffs == (time("2025-03-17"), time("2025-03-24"))
    apart = by_hand.split(**SMALL, n_unripe=9, gap_days=7)
    assert max(set_train_clock(daily(100), apart, targets).train_cutoffs) == time("2025-03-03")


def test_a_log_too_young_for_any_label_has_nights_that_train_if_asked():
    targets, tests = by_hand.targets(horizon_days=60), {"test_cutoffs": ["2025-02-10"], "n_train": 3}
    with pytest.raises(InputError, match="no training cut-off fits"):
        set_train_clock(daily(110), by_hand.split(**tests, min_history_days=7), targets)
    clock = set_train_clock(daily(110), by_hand.split(**tests, min_history_days=7, n_unripe=9), targets)
    assert len(clock.train_cutoffs) == 5
    assert time("2025-01-08") <= min(clock.train_cutoffs) <= max(clock.train_cutoffs) == time("2025-02-06")


def test_too_short_a_history_says_how_many_days_are_missing():
    split, targets = by_hand.split(**SMALL), by_hand.targets(horizon_days=14)
    with pytest.raises(InputError, match=r"2025-01-01 to .* days short .*targets.horizon_days") as caught:
        set_train_clock(daily(30), split, targets)
    missing = int(str(caught.value).split(" days short")[0].split()[-1])
    assert set_train_clock(daily(30 + missing), split, targets)


def test_chosen_test_nights_are_taken_when_they_are_mature():
    chosen = by_hand.split(**SMALL, test_cutoffs=["2025-03-20", "2025-03-05"])
    clock = set_train_clock(daily(100), chosen, by_hand.targets(horizon_days=14))
    assert clock.test_cutoffs == (time("2025-03-05"), time("2025-03-20"))
    assert max(clock.train_cutoffs) == time("2025-02-19")
    assert clock.as_of == time("2025-04-11")
    with pytest.raises(InputError, match=r"split.test_cutoffs .*2025-03-29.* not mature.* up to 2025-03-28"):
        set_train_clock(daily(100), by_hand.split(test_cutoffs=["2025-03-29"]), by_hand.targets(horizon_days=14))


def test_chosen_test_nights_that_leave_no_room_for_training_are_named_with_the_choices():
    targets = by_hand.targets(horizon_days=14)
    with pytest.raises(InputError, match=r"split.test_cutoffs 2025-01-10.* from 2025-01-22") as caught:
        set_train_clock(daily(100), by_hand.split(**SMALL, test_cutoffs=["2025-01-10"]), targets)
    assert "targets.horizon_days (14)" in str(caught.value)
    assert set_train_clock(daily(100), by_hand.split(**SMALL, test_cutoffs=["2025-01-22"]), targets)


def test_cases_train_on_whole_weeks():
    clock = set_train_clock(daily(100), by_hand.split("cases"), by_hand.targets())
    assert clock == TrainClock(time("2025-04-07"), (), (), version_of(known_before(daily(100), time("2025-04-07"))))


def test_clocks_survive_their_files(tmp_path):
    log = daily(100)
    train = set_train_clock(log, by_hand.split(**SMALL), by_hand.targets(horizon_days=14))
    score = set_score_clock(log, LATEST)
    tables.write_json(train.to_json(), tmp_path / "train.json")
    tables.write_json(score.to_json(), tmp_path / "score.json")
    read = TrainClock.from_json(tables.read_json(tmp_path / "train.json"))
    assert read == train
    assert read.as_of.unit == train.as_of.unit == "us"
    assert ScoreClock.from_json(tables.read_json(tmp_path / "score.json")) == score

"""What knows the future is caught and named, and what does not is left alone."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import planted_leaks
from planted_leaks import HORIZON, TARGETS, brand, subject
from waymark import custom, findings, leakcheck, lone_skill, tampering
from waymark.clock import TrainClock
from waymark.config import LeakcheckConfig
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.findings import ALARM, OK, Finding
from waymark.identity import link_identities
from waymark.kernels.jit import DAY
from waymark.points import Points

SETTINGS = LeakcheckConfig(n_persons=planted_leaks.N_PERSONS, n_cutoffs=2)
EVENTS = brand()


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(custom, "REGISTERED", dict(custom.REGISTERED))


def found(checked: leakcheck.Subject) -> dict[str, set[str]]:
    """Return what each check raised an alarm for."""
    alarms: dict[str, set[str]] = {}
    for f in leakcheck.leakcheck(checked, SETTINGS, seed=1):
        if f.verdict == ALARM:
            alarms.setdefault(f.check, set()).add(f.name)
    return alarms


# --- a clean project ------------------------------------------------------------------------------------------------


@functools.cache
def clean(kind: str = "snapshots") -> leakcheck.Subject:
    return subject(EVENTS, "share_weekend", kind=kind)


@pytest.mark.parametrize("kind", ["snapshots", "every_event"])
def test_what_is_shipped_raises_no_alarm_and_every_check_has_judged(kind):
    said = leakcheck.leakcheck(clean(kind), SETTINGS, seed=1)
    assert [(f.check, f.verdict) for f in said] == [(c, OK) for c in leakcheck.CHECKS]


def test_the_same_seed_finds_the_same():
    assert leakcheck.leakcheck(clean(), SETTINGS, seed=3) == leakcheck.leakcheck(clean(), SETTINGS, seed=3)


# --- leaks planted as features --------------------------------------------------------------------------------------


def _sums(points: Points, which: np.ndarray, as_of: int | None = None) -> np.ndarray:
    """Return how many events of the whole log, those where `which` holds, belong to each point's person."""
    when = int(points.cutoff.max()) if as_of is None else as_of
    person = points.log.identities.persons(when)
    counts = np.bincount(person[which], minlength=len(points.log.identities.person_ids))
    return counts[points.grouped.persons[points.group]].astype(float)


def test_an_event_at_the_cut_off_that_counts_is_caught(registry):
    @custom.feature("events so far", unit="count")
    def n_so_far(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        return _sums(points, (log.event_time <= cutoff) & (log.known_time <= cutoff))

    alarms = found(subject(EVENTS, "n_so_far"))
    assert alarms["at_cutoff"] == {"n_so_far"}
    assert set().union(*alarms.values()) == {"n_so_far"}


def test_an_identity_with_hindsight_is_caught(registry):
    @custom.feature("events of the person so far", unit="count")
    def n_joined(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        past = (log.event_time < cutoff) & (log.known_time < cutoff)
        return _sums(points, past, as_of=micro(planted_leaks.OPENED) + 1000 * int(DAY))

    alarms = found(subject(EVENTS, "n_joined"))
    assert alarms["hindsight_identity"] == {"n_joined"}
    assert set().union(*alarms.values()) == {"n_joined"}


def test_a_late_restatement_joined_by_event_time_only_is_caught(registry):
    @custom.feature("events that had happened", unit="count")
    def n_happened(points: Points) -> np.ndarray:
        return _sums(points, points.log.event_time < points.cutoff[0])

    alarms = found(subject(EVENTS, "n_happened"))
    assert alarms["late_arrival"] == {"n_happened"}
    assert set().union(*alarms.values()) == {"n_happened"}


def _returns(points: Points) -> np.ndarray:
    """Return who comes back within the horizon: what no feature may know."""
    log, cutoff = points.log, points.cutoff[0]
    after = (log.event_time >= cutoff) & (log.event_time < cutoff + HORIZON * int(DAY)) & log.is_customer
    return _sums(points, after) > 0


def test_a_target_encoding_over_all_rows_is_caught_by_skill_that_cannot_be(registry):
    @custom.feature("share of those who come back among the like", unit="share")
    def share_back(points: Points) -> np.ndarray:
        like = points.grouped.time[points.first] // int(DAY)  # who came on the same day
        return pd.Series(_returns(points)).groupby(like).transform("mean").to_numpy(float)

    alarms = found(subject(EVENTS, "share_back"))
    assert alarms["permuted_targets"] == {"share_back"}
    assert "share_back" in alarms["future"]
    assert set().union(*alarms.values()) == {"share_back"}


def test_a_status_known_at_the_end_and_filled_into_earlier_rows_is_caught():
    cutoff = clean().clock.test_cutoffs[0]
    status = _filled_status(EVENTS, cutoff)
    alarms = found(subject(EVENTS.assign(attr_status=status)))
    assert set(alarms) == {"alone_too_good"}
    assert "last_status" in alarms["alone_too_good"]
    assert all("status" in name for name in alarms["alone_too_good"])


def _filled_status(events: pd.DataFrame, cutoff: pd.Timestamp) -> pd.Series:
    """Return, for every event of a person, what became of the person after the cut-off, in three words."""
    person = leakcheck.persons_of_ids(events, link_identities(events))
    of_event = person.loc[leakcheck._ids_of(events)].to_numpy()
    later = events["event_time"] >= cutoff - pd.Timedelta(days=21)
    n = pd.Series(later.to_numpy(int)).groupby(of_event).transform("sum")
    return pd.Series(np.select([n == 0, n == 1], ["lost", "dormant"], "active"), index=events.index, dtype="str")


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_of_a_horizon_that_had_not_passed_are_caught():
    """The clock told that training may see less than the labels were made of."""
    checked = clean()
    early = replace(checked.clock, as_of=checked.clock.as_of - pd.Timedelta(days=5))
    assert "is_silent" in found(replace(checked, clock=early))["unripe_targets"]


def test_labels_that_are_not_those_of_the_horizon_are_caught():
    checked = subject(EVENTS, target=TARGETS.model_copy(update={"horizon_days": 10}))
    assert found(checked) == {"unripe_targets": {"is_silent", "next_stage"}}


def test_labels_from_events_known_only_after_training_are_caught():
    checked = clean()
    after = replace(checked.clock, as_of=checked.clock.as_of + pd.Timedelta(days=40))
    late = EVENTS.assign(known_time=EVENTS["known_time"] + pd.Timedelta(days=5))
    doctored = replace(subject(late, clock=after), clock=checked.clock)
    assert found(doctored) == {"unripe_targets": {"is_silent", "next_stage"}}


def test_training_labels_that_reach_past_the_first_test_cut_off_are_caught():
    checked = clean()
    clock = checked.clock
    nights = (*clock.train_cutoffs, clock.test_cutoffs[0] - pd.Timedelta(days=7))
    overlapping = TrainClock(clock.as_of, nights, clock.test_cutoffs, clock.data_version)
    assert found(subject(EVENTS, clock=overlapping)) == {"unripe_targets": {"is_silent", "next_stage"}}


# --- how it is said -------------------------------------------------------------------------------------------------

FOUND = [
    Finding("future", "all features", "ok", "9 rows stay as they are"),
    *(Finding("at_cutoff", f"f{i}", ALARM, "3 of 9 rows change") for i in range(14)),
]


def test_the_table_is_small_and_counts_what_it_leaves_out():
    text = findings.as_text(findings.to_json(FOUND))
    assert "future     all features  ok       9 rows stay as they are" in text
    assert "at_cutoff  f0            ALARM    3 of 9 rows change" in text
    assert "at_cutoff  and 2 more    ALARM" in text
    assert len(text.splitlines()) == 1 + 1 + 12 + 1


def test_an_alarm_stops_the_run_only_where_it_shall():
    findings.stop_on_alarm(FOUND, fail=False)
    findings.stop_on_alarm(FOUND[:1], fail=True)
    with pytest.raises(InputError, match=r"alarm for f0 \(at_cutoff\), .* and 9 more; reports/leakcheck.json"):
        findings.stop_on_alarm(FOUND, fail=True)


# --- its parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [w for ways in leakcheck.TAMPERINGS.values() for w in ways.values()])
def test_tampering_leaves_what_could_be_seen_and_changes_the_rest(way):
    cutoff, links = clean().clock.train_cutoffs[0], clean().links
    events, later_links = way((EVENTS, links), cutoff, np.random.default_rng(0))
    told = EVENTS.columns.difference(["superseded_time"]).tolist()
    pd.testing.assert_frame_equal(
        events[tampering.is_past(events, cutoff)][told].sort_values("event_id", ignore_index=True),
        EVENTS[tampering.is_past(EVENTS, cutoff)][told].sort_values("event_id", ignore_index=True),
    )
    known = [t[t["known_time"] < cutoff].sort_values(["id_a", "id_b"], ignore_index=True) for t in (later_links, links)]
    pd.testing.assert_frame_equal(*known)
    assert len(events) != len(EVENTS) or len(later_links) != len(links) or not events.equals(EVENTS)
    assert events.dtypes.to_dict() == EVENTS.dtypes.to_dict()


def test_a_feature_is_judged_by_any_of_its_values():
    rng = np.random.default_rng(0)
    x, half = rng.normal(size=4000), rng.random(4000) < 0.5
    middle = np.abs(x) < 0.67  # no order of x tells this
    unknown = np.where(middle, np.nan, x)
    nothing = rng.random(4000) < 0.5
    assert lone_skill.alone(x, [middle, nothing], half) == [pytest.approx(1, abs=0.01), pytest.approx(0.5, abs=0.04)]
    assert lone_skill.alone(unknown, [middle], half) == [pytest.approx(1)]


def test_the_standard_error_is_that_of_skill_by_chance():
    rng = np.random.default_rng(0)
    half, x = rng.random(300) < 0.5, rng.integers(0, 5, 300).astype(float)
    outcomes = [rng.permutation(np.arange(300) < 60) for _ in range(400)]
    aucs = np.array(lone_skill.alone(x, outcomes, half))
    assert aucs.mean() == pytest.approx(0.5, abs=0.02)
    assert aucs.std() < lone_skill.standard_error(outcomes[0], half)

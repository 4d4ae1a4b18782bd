"""What knows the future is caught and named, and what does not is left alone."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import by_hand
import planted_leaks
from by_hand import SHOP
from imports import SRC
from planted_leaks import HORIZON, TARGETS, brand, subject
from waymark import (
    custom,
    findings,
    leak_files,
    leak_labels,
    leak_skill,
    leak_subject,
    leak_worlds,
    leakcheck,
    lone_skill,
    schema,
    tables,
    tampering,
)
from waymark.clock import TrainClock
from waymark.config import IdentityConfig, LeakcheckConfig
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.file_watch import opened_files
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding
from waymark.kernels.jit import DAY
from waymark.ledger import link_identities
from waymark.points import Points

SETTINGS = LeakcheckConfig(n_persons=planted_leaks.N_PERSONS, n_cutoffs=1)
EVENTS = brand()


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(custom, "REGISTERED", dict(custom.REGISTERED))


def found(checked: leak_subject.Subject) -> dict[str, set[str]]:
    """Return what each check raised an alarm for."""
    alarms: dict[str, set[str]] = {}
    for f in leakcheck.leakcheck(checked, SETTINGS, seed=1):
        if f.verdict == ALARM:
            alarms.setdefault(f.check, set()).add(f.name)
    return alarms


# --- a clean project ------------------------------------------------------------------------------------------------


@functools.cache
def clean(kind: str = "snapshots") -> leak_subject.Subject:
    return subject(EVENTS, "share_weekend", kind=kind)


@functools.cache
def judged(kind: str) -> list[Finding]:
    """Return what is found in what is shipped."""
    return leakcheck.leakcheck(clean(kind), SETTINGS.model_copy(update={"n_cutoffs": 2}), seed=1)


@pytest.mark.parametrize("kind", ["snapshots", "every_event"])
def test_what_is_shipped_raises_no_alarm_and_every_check_has_judged(kind):
    said = judged(kind)
    assert [(f.check, f.verdict) for f in said] == [(c, OK) for c in leakcheck.CHECKS]


@pytest.mark.slow
def test_the_same_seed_finds_the_same():
    assert judged.__wrapped__("snapshots") == judged("snapshots")


def of_half(checked: leak_subject.Subject) -> leak_subject.Subject:
    """Return the tables as training makes them above `features.max_train_rows`."""
    ids = leak_subject.drawn_ids(checked.events, checked.links, checked.rules, checked.clock.as_of, n_halvings=1)
    tables = {name: getattr(checked, name) for name in ("features", "targets")}
    return replace(checked, drawn=ids, **{name: rows[rows["person_id"].isin(ids)] for name, rows in tables.items()})


@pytest.mark.parametrize("kind", ["snapshots", "every_event"])
def test_where_training_drew_half_of_the_persons_it_is_no_leak_that_the_others_have_no_row(kind):
    """Who was drawn and who was not become one person after training looked."""
    clock = clean(kind).clock
    day = f"{clock.as_of + pd.Timedelta(days=1):%Y-%m-%d}"
    log_ins = by_hand.events(*(f"c{i}~d{i + 1} {day} web view" for i in range(0, planted_leaks.N_PERSONS, 2)))
    everybody = subject(pd.concat([EVENTS, log_ins], ignore_index=True), kind=kind, clock=clock)
    checked = of_half(everybody)
    assert len(checked.features) == pytest.approx(len(everybody.features) / 2, rel=0.2)
    assert found(checked) == {}
    one_less = checked.features.drop(index=checked.features.sort_values("cutoff_time").index[-2])
    for other in (replace(checked, drawn=None), replace(checked, features=one_less)):
        assert {f.name for f in _stored(other, -1) if f.verdict == ALARM} == {"person_id"}


# --- leaks planted as features --------------------------------------------------------------------------------------


def _sums(points: Points, which: np.ndarray, as_of: int | None = None) -> np.ndarray:
    """Return how many events of the whole log, those where `which` holds, belong to each point's person."""
    when = int(points.cutoff.max()) if as_of is None else as_of
    person = points.log.identities.persons(when)
    counts = np.bincount(person[which], minlength=len(points.log.identities.person_ids))
    return counts[points.grouped.persons[points.group]].astype(float)


@pytest.mark.slow
def test_an_event_at_the_cut_off_that_counts_is_caught(registry):
    @custom.feature("events so far", unit="count")
    def n_so_far(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        return _sums(points, (log.event_time <= cutoff) & (log.known_time <= cutoff))

    alarms = found(subject(EVENTS, "n_so_far"))
    assert alarms["at_cutoff"] == {"n_so_far"}
    assert set().union(*alarms.values()) == {"n_so_far"}


@pytest.mark.slow
def test_an_identity_with_hindsight_is_caught(registry):
    @custom.feature("events of the person so far", unit="count")
    def n_joined(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        past = (log.event_time < cutoff) & (log.known_time < cutoff)
        return _sums(points, past, as_of=micro(planted_leaks.OPENED) + 1000 * int(DAY))

    leaking = subject(EVENTS, "n_joined")
    for checked in (leaking, of_half(leaking)):
        alarms = found(checked)
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


@pytest.mark.slow
def test_a_feature_that_stops_seeing_at_the_wrong_side_of_the_cut_off_is_caught(registry):
    """Each clock by itself: what happens exactly then and was known before, and what becomes known exactly then."""

    @custom.feature("events that had happened or just happen", unit="count")
    def n_happened(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        return _sums(points, (log.event_time <= cutoff) & (log.known_time < cutoff))

    @custom.feature("events that were known or just become so", unit="count")
    def n_known(points: Points) -> np.ndarray:
        log, cutoff = points.log, points.cutoff[0]
        return _sums(points, (log.event_time < cutoff) & (log.known_time <= cutoff))

    assert found(subject(EVENTS, "n_happened", "n_known"))["at_cutoff"] == {"n_happened", "n_known"}


def test_a_leak_in_small_pieces_is_caught_by_what_they_tell_together(registry):
    """Each piece is right about six in ten persons, too few to be sure of it alone."""
    pieces = [f"piece_{i}" for i in range(12)]
    for i, name in enumerate(pieces):

        def piece(points: Points, seed: int = i) -> np.ndarray:
            persons = points.grouped.persons[points.group]
            lies = np.random.default_rng(seed).random(len(points.log.identities.person_ids)) < 0.38
            return _returns(points) ^ lies[persons]

        piece.__name__ = piece.__qualname__ = name
        custom.feature("a hint", unit="number")(piece)
    assert found(subject(EVENTS, *pieces))["permuted_targets"] == {"all features together"}


@pytest.mark.slow
def test_a_feature_that_kept_the_future_from_an_earlier_call_is_caught(registry):
    """Whatever is changed later, it says what it said first: only the rows stored before tell."""
    kept: dict[str, float] = {}

    @custom.feature("share of those who come back", unit="share")
    def share_back(points: Points) -> np.ndarray:
        if not kept:
            kept.update(zip(points.person_ids, _returns(points), strict=True))
        return np.array([kept.get(p, np.nan) for p in points.person_ids])

    checked = subject(EVENTS, "share_back")
    kept.clear()  # leakcheck is a process of its own
    alarms = found(checked)
    assert "stored_rows" in alarms and not alarms.keys() & leak_worlds.TAMPERINGS.keys()
    assert set().union(*alarms.values()) == {"share_back"}


@pytest.mark.slow
def test_a_feature_that_kept_later_links_from_an_earlier_call_is_caught(registry):
    kept: dict[str, int] = {}

    @custom.feature("identifiers", unit="count")
    def n_ids(points: Points) -> np.ndarray:
        if not kept:
            people = points.log.identities.people(micro(planted_leaks.OPENED) + 1000 * int(DAY))
            kept.update(zip(points.log.identities.person_ids, np.bincount(people)[people], strict=True))
        return np.array([kept.get(p, np.nan) for p in points.person_ids])

    checked = subject(EVENTS, "n_ids")
    kept.clear()
    assert found(checked)["stored_rows"] == {"n_ids"}


@pytest.mark.parametrize("kind", ["snapshots", "every_event"])
def test_stored_rows_of_other_events_are_caught(kind):
    checked = clean(kind)
    rows = checked.features
    stale = rows.assign(f_n_activities_ever=rows["f_n_activities_ever"] + 1).drop(columns="f_n_visits")
    [alarm, other] = [f for f in _stored(replace(checked, features=stale)) if f.verdict == ALARM]
    assert {alarm.name, other.name} == {"n_activities_ever", "n_visits"}
    assert "stored rows are not what was known by" in alarm.detail
    gone = replace(checked, features=rows.iloc[1:])
    assert {f.name for f in _stored(gone) if f.verdict == ALARM} <= {"person_id"}
    assert {f.verdict for f in _stored(checked)} == {OK}


def _stored(checked: leak_subject.Subject, night: int = 2) -> list[Finding]:
    """Return what is found of the stored rows at a night, by default the third."""
    last = pd.Timestamp(np.sort(checked.features["cutoff_time"].unique())[night])
    return list(leak_worlds.find_stale(leak_subject.sample(checked, 400), last, np.random.default_rng(0)))


def test_a_feature_that_depends_on_other_persons_is_caught(registry):
    @custom.feature("place among all by activities", unit="share")
    def place(points: Points) -> np.ndarray:
        return pd.Series(points.end - points.first).rank(pct=True).to_numpy()

    assert found(subject(EVENTS, "place", "share_weekend"))["other_persons"] == {"place"}


# --- a status filled in later ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("days", "noise", "seed"), [(-21, 0, 0), (-21, 0.1, 0), (0, 0.1, 0), (-21, 0.1, 1)])
def test_a_status_known_at_the_end_and_filled_into_earlier_rows_is_caught(days, noise, seed):
    """Three words on what was done from so many days after the test cut-off on, some of them wrong."""
    events = brand(seed)
    cutoff = clean().clock.test_cutoffs[0]
    status = _filled_status(events, cutoff + pd.Timedelta(days=days), noise)
    names = _too_good(subject(events.assign(attr_status=status)))
    assert "last_status" in names
    assert all("status" in name for name in names)


@pytest.mark.slow
def test_a_gain_within_two_standard_errors_raises_no_alarm(monkeypatch):
    status = _filled_status(EVENTS, clean().clock.test_cutoffs[0] - pd.Timedelta(days=21), noise=0.2)
    checked = subject(EVENTS.assign(attr_status=status))
    assert _too_good(checked) == {"last_status"}
    monkeypatch.setattr(lone_skill, "lead", lambda *_: (0.05, 0.03))
    assert _too_good(checked) == set()


def test_an_attribute_that_says_nothing_of_the_future_is_left_alone():
    rng = np.random.default_rng(0)
    of_event = pd.Series(rng.choice(["a", "b", "c"], len(EVENTS)), index=EVENTS.index, dtype="str")
    who = pd.factorize(_person(EVENTS))[0]
    of_person = pd.Series(rng.choice(["x", "y"], who.max() + 1)[who], index=EVENTS.index, dtype="str")
    events = EVENTS.assign(attr_of_event=of_event, attr_of_person=of_person, num_of_person=who % 7 / 7)
    assert _too_good(subject(events, "share_weekend")) == set()


def _too_good(checked: leak_subject.Subject) -> set[str]:
    drawn = leak_subject.sample(checked, SETTINGS.n_persons)
    said = leak_skill.find_too_good(drawn, SETTINGS, np.random.default_rng(1), seed=1)
    return {f.name for f in said if f.verdict == ALARM}


def _person(events: pd.DataFrame) -> np.ndarray:
    """Return a code of each event's person."""
    person = leak_subject.persons_of_ids(events, link_identities(events))
    return person.loc[leak_subject.ids_of(events)].to_numpy()


def _filled_status(events: pd.DataFrame, since: pd.Timestamp, noise: float = 0) -> pd.Series:
    """Return, for every event of a person, what the person did from a time on, in three words.

    `noise` is the share of persons whose word is drawn.
    """
    who = pd.factorize(_person(events))[0]
    n = np.bincount(who, (events["event_time"] >= since).to_numpy())
    rng = np.random.default_rng(7)
    word = np.where(rng.random(len(n)) < noise, rng.integers(0, 3, len(n)), np.minimum(n, 2))
    words = np.array(["lost", "dormant", "active"])
    return pd.Series(words[word.astype(int)[who]], index=events.index, dtype="str")


# --- tables that features read --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_feature_that_reads_labels_from_a_file_is_caught(registry, tmp_path, monkeypatch):
    """The labels stay true while futures are dealt out at random, so that nothing else notices."""
    monkeypatch.chdir(tmp_path)
    tables.write(clean().targets, tables.TARGETS, schema.TARGETS)

    @custom.feature("share of those who go silent among the like", unit="share")
    def share_silent(points: Points) -> np.ndarray:
        labels = pd.read_parquet("data/targets.parquet")
        return np.full(len(points), float(labels["is_silent"].astype(float).mean()))

    @custom.feature("the same", unit="share")
    def share_silent_again(points: Points) -> np.ndarray:
        return np.full(len(points), float(tables.read(tables.TARGETS)["is_silent"].astype(float).mean()))

    checked = subject(EVENTS, "share_silent", "share_silent_again", "share_weekend")
    assert found(checked) == {"reads_files": {"share_silent", "share_silent_again"}}


@pytest.mark.parametrize(
    ("name", "is_alarm"),
    [
        ("data/targets.parquet", True),
        ("reports/notes.txt", True),
        ("models/churn/model.skops", True),
        ("lookup.csv.gz", True),
        ("conf/features/snapshots.yaml", False),
        (f"{sys.prefix}/lib/places.json", False),
        ("/elsewhere/labels.json", True),
    ],
)
def test_tables_and_results_of_the_project_are_no_sources_of_features(name, is_alarm):
    [said] = leak_files.find_readers({"visits": {str(Path(name).absolute())}})
    assert (said.verdict, said.name) == ((ALARM, "visits") if is_alarm else (OK, "all features"))
    assert not is_alarm or said.detail.startswith(f"opens {name}")


READERS: dict[str, Callable[[Path], object]] = {
    "open": lambda path: path.open("rb").close(),
    "numpy": lambda path: np.fromfile(path, np.uint8),
    "pandas": lambda path: pd.read_parquet(path),
    "arrow": lambda path: pq.read_table(path),
    "a file of arrow": lambda path: pq.ParquetFile(str(path)).close(),
    "tables": lambda path: tables.read(path),
}


@pytest.mark.parametrize("way", READERS)
def test_every_usual_way_to_open_a_file_is_heard_inside_the_block_alone(way, tmp_path):
    path = tmp_path / "targets.parquet"
    tables.write(clean().targets, path, schema.TARGETS)
    with opened_files() as heard:
        READERS[way](path)
    assert str(path) in heard
    heard.clear()
    READERS[way](path)
    assert not heard


def test_a_table_read_when_the_module_is_imported_is_heard(tmp_path):
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / "custom_features.py").write_text("from pathlib import Path\nPath('labels.json').read_text()\n")
    code = "from waymark import leak_files; print(*leak_files.find_readers({}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SRC)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "name='src/custom_features.py', verdict='ALARM', detail='opens labels.json" in done.stdout


# --- a crowded id ---------------------------------------------------------------------------------------------------


def _with_kiosk(events: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return events of which each person's first one after logging in, for a share of them, was done at one kiosk."""
    first = events["customer_id"].notna() & ~events["customer_id"].duplicated()
    drawn = pd.util.hash_array(events["customer_id"].fillna("").to_numpy(object)) % 100 < 100 * share
    nobody = events["customer_id"].isna() & (np.arange(len(events)) % 29 == 0)
    return events.assign(anonymous_id=events["anonymous_id"].mask((first & drawn) | nobody, "kiosk"))


def test_an_id_that_too_many_share_makes_no_person_of_them():
    events = _with_kiosk(EVENTS, 0.5)
    links = link_identities(events)
    apart = leak_subject.persons_of_ids(events, links, IdentityConfig(max_persons_per_id=20))
    joined = leak_subject.persons_of_ids(events, links, IdentityConfig(max_persons_per_id=1000))
    assert apart.value_counts().max() <= 3 and apart.value_counts()[apart["anonymous:kiosk"]] == 1
    assert joined.value_counts().max() > 100


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 1])
def test_who_was_at_a_kiosk_is_checked_as_everybody_is(registry, share):
    @custom.feature("events so far", unit="count")
    def n_so_far(points: Points) -> np.ndarray:
        return _sums(points, points.log.event_time <= points.cutoff[0])

    checked = subject(_with_kiosk(EVENTS, share), "n_so_far")
    drawn = leak_subject.sample(checked, 150)
    assert drawn.person.nunique() == 150
    alarms = found(checked)
    assert alarms["at_cutoff"] == {"n_so_far"}
    assert set().union(*alarms.values()) == {"n_so_far"}


@pytest.mark.slow
def test_who_was_at_a_kiosk_raises_no_alarm_of_its_own():
    said = leakcheck.leakcheck(subject(_with_kiosk(EVENTS, 0.5), "share_weekend"), SETTINGS, seed=1)
    assert {f.verdict for f in said} == {OK}


def test_rows_that_hang_on_a_kiosk_alone_are_not_compared_with_stored_ones():
    events = EVENTS[EVENTS["customer_id"].notna()].assign(anonymous_id="kiosk")
    said = {f.check: f.verdict for f in leakcheck.leakcheck(subject(events), SETTINGS, seed=1)}
    assert said.pop("stored_rows") == said.pop("unripe_targets") == NOT_JUDGED
    assert set(said.values()) == {OK}


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_of_a_horizon_that_had_not_passed_are_caught():
    """The clock told that training may see less than the labels were made of."""
    checked = clean()
    early = replace(checked.clock, as_of=checked.clock.as_of - pd.Timedelta(days=5))
    assert "is_silent" in _unripe(replace(checked, clock=early))


def test_labels_that_are_not_those_of_the_horizon_are_caught():
    checked = subject(EVENTS, target=TARGETS.model_copy(update={"horizon_days": 10}))
    assert found(checked) == {"unripe_targets": {"is_silent", "next_stage"}}


def test_labels_from_events_known_only_after_training_are_caught():
    checked = clean()
    after = replace(checked.clock, as_of=checked.clock.as_of + pd.Timedelta(days=40))
    late = EVENTS.assign(known_time=EVENTS["known_time"] + pd.Timedelta(days=5))
    doctored = replace(subject(late, clock=after), clock=checked.clock)
    assert _unripe(doctored) == {"is_silent", "next_stage"}


def test_training_labels_that_reach_past_the_first_test_cut_off_are_caught():
    checked = clean()
    clock = checked.clock
    nights = (*clock.train_cutoffs, clock.test_cutoffs[0] - pd.Timedelta(days=7))
    overlapping = TrainClock(clock.as_of, nights, clock.test_cutoffs, clock.data_version)
    watched = subject(EVENTS, clock=overlapping)
    assert _unripe(watched) == set()  # a night without labels may train a hazard
    labelled = watched.targets.assign(churn_status="mature", next_stage_status="mature")
    assert _unripe(replace(watched, targets=labelled)) == {"is_silent", "next_stage"}


def _unripe(checked: leak_subject.Subject) -> set[str]:
    drawn = leak_subject.sample(checked, SETTINGS.n_persons)
    said = leak_labels.find_unripe(drawn, np.random.default_rng(1))
    return {f.name for f in said if f.verdict == ALARM}


def _sees(later: str) -> Callable[..., pd.DataFrame]:
    """Return a `build_targets` that sees of events, or of links, what became known only after training looked."""

    def build(points, events, links, clock, *settings):
        if later == "events":
            events = events.assign(known_time=events["known_time"].clip(upper=events["event_time"]))
        else:
            links = links.assign(known_time=links["known_time"].clip(upper=planted_leaks.OPENED))
        return real_targets(points, events, links, clock, *settings)

    real_targets = leak_labels.build_targets
    return build


@pytest.mark.parametrize("later", ["events", "links"])
def test_labels_that_follow_what_became_known_later_are_caught(later, monkeypatch):
    """The builder itself is wrong, so that built anew of the same tables they are the same."""
    build = _sees(later)
    monkeypatch.setattr(leak_labels, "build_targets", build)
    checked = clean()
    kind, split = checked.features_config.points, checked.split
    truth = build(*(checked.features, checked.events, checked.links, checked.clock, kind), SHOP, TARGETS, split)
    assert "is_silent" in _unripe(replace(checked, targets=truth))


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


def test_of_several_findings_without_an_alarm_the_nearest_to_one_is_shown():
    near = Finding("future", "all features", OK, "nearly", near=0.9)
    far = Finding("future", "all features", OK, "by far", near=0.2)
    unsure = Finding("future", "all features", NOT_JUDGED, "too few")
    assert findings.once([unsure, far, near], ["future"]) == [near]
    assert findings.once([near, FOUND[3]], ["at_cutoff", "future"]) == [FOUND[3], near]
    assert "near" not in findings.to_json([near])["findings"][0]


# --- its parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [w for ways in leak_worlds.TAMPERINGS.values() for w in ways.values()])
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


def test_the_error_of_a_lead_is_that_of_one_by_chance_and_rows_of_a_person_err_together():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(100), 4)
    half = person % 2 == 0
    leads, errors = [], []
    for _ in range(200):
        y = np.repeat(rng.random(100) < 0.4, 4)
        p, q = (y + np.repeat(rng.normal(0, 1.5, 100), 4) for _ in range(2))
        lead, error = lone_skill.lead(y, p, q, half, person)
        leads.append(lead)
        errors.append(error)
        assert lead == pytest.approx(lone_skill.mean_auc(y, p, half) - lone_skill.mean_auc(y, q, half))
    assert np.mean(leads) == pytest.approx(0, abs=0.02)
    assert np.std(leads) == pytest.approx(np.mean(errors), rel=0.15)


def test_a_feature_is_the_same_as_another_where_both_are_known():
    rng = np.random.default_rng(0)
    word = rng.integers(0, 3, 1000).astype(float)
    before = np.where(rng.random(1000) < 0.6, word, np.nan)
    assert lone_skill.share_told(before, word) == lone_skill.share_told(word, before) == 1
    assert lone_skill.share_told(rng.random(1000), word) < 0.05
    assert lone_skill.share_told(np.where(np.arange(1000) < 20, word, np.nan), word) == 0


def test_a_long_name_does_not_widen_the_table():
    long = {"check": "future", "name": "n_" + "x" * 400, "verdict": findings.ALARM, "detail": "y" * 400}
    short = {"check": "at_cutoff", "name": "all features", "verdict": findings.OK, "detail": ""}
    lines = findings.as_text({"findings": [long, short]}).splitlines()
    assert max(map(len, lines)) < 300 and lines[1].startswith("future     n_xxx") and "…" in lines[1]

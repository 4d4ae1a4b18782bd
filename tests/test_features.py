"""What a person's row says, and what must not change it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import settings as run
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
import random_logs
import reference
from by_hand import ACTIVITIES, SHOP, time
from random_logs import CUTOFF, future, past
from waymark import catalogue, feature_groups, tables
from waymark.clock import known_before
from waymark.config import FeaturesConfig, JourneyConfig
from waymark.errors import InputError
from waymark.eventlog import micro, read_log
from waymark.features import build_features, build_training_features, describe
from waymark.journeys import StageMap
from waymark.ledger import link_identities
from waymark.points import every_event, latest_event, snapshot
from waymark.vocabulary import Vocabulary, learn_vocabulary

EVERYTHING = by_hand.settings()
ONE_WINDOW = by_hand.settings(windows_days=[7])
CROWDED = by_hand.settings(max_categories=2, max_counted=2, max_mixed=1, last_k=1, active_event_types=["order"])
EVERY_EVENT = by_hand.settings(points="every_event")
KEYS = ["person_id", "cutoff_time", "prefix_length"]


def build(
    events: pd.DataFrame,
    settings: FeaturesConfig = EVERYTHING,
    vocabulary: Vocabulary | None = None,
    cutoff: pd.Timestamp = CUTOFF,
    journey: JourneyConfig = SHOP,
) -> pd.DataFrame:
    table, _ = build_features(events, link_identities(events), cutoff, journey, settings, vocabulary)
    return table


def learn(events: pd.DataFrame, settings: FeaturesConfig = EVERYTHING, journey: JourneyConfig = SHOP) -> Vocabulary:
    _, _, vocabulary = build_training_features(events, link_identities(events), [CUTOFF], CUTOFF, journey, settings)
    return vocabulary


def bytes_of(features: pd.DataFrame) -> dict[str, bytes | list]:
    """Return every column, sorted by key: the bytes of the features' floats, NaNs and all."""
    rows = features.sort_values(KEYS)
    return {c: rows[c].to_numpy(np.float32).tobytes() if c.startswith("f_") else rows[c].tolist() for c in rows}


# --- what must not change the answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [EVERYTHING, EVERY_EVENT], ids=["snapshots", "every_event"])
@given(log=random_logs.rows(), other=random_logs.rows())
def test_no_event_of_the_future_changes_a_feature_or_the_vocabulary(settings, log, other):
    """Events at or after the cut-off, or known at or after it, may come, go and change in any way."""
    seen = past(log)
    assert_frame_equal(
        build(random_logs.table(seen + future(log)), settings), build(random_logs.table(seen + future(other)), settings)
    )


@given(log=random_logs.rows(), data=st.data())
def test_the_order_of_rows_does_not_matter(log, data):
    events = random_logs.table(log)
    shuffled = events.iloc[data.draw(st.permutations(range(len(events))))]
    assert bytes_of(build(shuffled)) == bytes_of(build(events))


@given(log=random_logs.rows(), data=st.data())
def test_other_persons_change_nothing_of_a_persons_row(log, data):
    everybody = random_logs.table(log)
    vocabulary = learn(everybody)
    together = build(everybody, vocabulary=vocabulary)
    for person in data.draw(st.permutations(list(together["person_id"])))[:2]:
        history = reference.persons(reference.rows(everybody, CUTOFF))[person]
        devices = {row["anonymous_id"] for row in history} - {None}
        alone = everybody[
            everybody["event_id"].isin([row["event_id"] for row in history])
            # Whoever logs in on the person's device says whose it is.
            | (everybody["anonymous_id"].isin(devices) & everybody["customer_id"].notna())
        ]
        mine = [table[table["person_id"] == person] for table in (build(alone, vocabulary=vocabulary), together)]
        assert bytes_of(mine[0]) == bytes_of(mine[1])


@given(log=random_logs.rows(), weeks=st.integers(-500, 500))
def test_whole_weeks_shift_times_and_nothing_else(log, weeks):
    shift = timedelta(weeks=weeks)
    events = random_logs.table(log)
    later = events.assign(event_time=events["event_time"] + shift, known_time=events["known_time"] + shift)
    shifted = build(later, cutoff=CUTOFF + shift)
    for column in ("cutoff_time", "stage_since"):
        shifted[column] -= shift
    assert bytes_of(shifted) == bytes_of(build(events))


@given(log=random_logs.rows())
def test_new_names_for_people_and_devices_change_nothing_else(log):
    renamed = [
        e | {k: None if e[k] is None else f"new {e[k]}" for k in ("customer_id", "anonymous_id", "session_id")}
        for e in log
    ]
    shown = build(random_logs.table(renamed))
    shown["person_id"] = shown["person_id"].str.replace("new ", "")
    assert_frame_equal(shown, build(random_logs.table(log)))


@given(log=random_logs.rows(), later=random_logs.rows())
def test_a_past_night_rebuilt_today_is_what_that_night_wrote(log, later):
    today = random_logs.table(past(log) + future(later))
    as_of = CUTOFF + timedelta(days=90)
    rebuilt, known, vocabulary = build_training_features(
        today, link_identities(today), [CUTOFF, CUTOFF + timedelta(days=7)], as_of, SHOP, EVERYTHING
    )
    that_night = known_before(random_logs.table(log), CUTOFF)
    written, as_written = build_features(that_night, link_identities(that_night), CUTOFF, SHOP, EVERYTHING, vocabulary)
    assert bytes_of(rebuilt[rebuilt["cutoff_time"] == CUTOFF]) == bytes_of(written)
    assert as_written == known


@given(log=random_logs.rows(), later=random_logs.rows())
def test_what_comes_after_the_first_test_changes_no_category_of_training(log, later):
    """Which categories there are is learnt up to there: a new event type of the test's own days stays unknown."""
    tables = [random_logs.table(past(log) + future(news)) for news in (log, later)]
    nights, as_of = [CUTOFF - timedelta(days=9), CUTOFF], CUTOFF + timedelta(days=90)
    one, two = (
        build_training_features(t, link_identities(t), nights, as_of, SHOP, EVERYTHING, learn_until=CUTOFF)
        for t in tables
    )
    assert one[1:] == two[1:]
    assert bytes_of(one[0]) == bytes_of(two[0])


def arrays(events: pd.DataFrame, **changed: Any) -> StageMap:
    """Return the log as arrays, with its stages."""
    return StageMap(replace(read_log(events, link_identities(events)), **changed), SHOP)


def described(stage_map: StageMap, settings: FeaturesConfig, size: int = 1 << 16) -> pd.DataFrame:
    vocabulary = learn_vocabulary(stage_map.log, stage_map, settings, micro(CUTOFF))
    choose = snapshot if settings.points == "snapshots" else every_event
    return describe(choose(stage_map.log, stage_map, micro(CUTOFF)), settings, vocabulary, size)[0].to_pandas()


@pytest.mark.parametrize("settings", [ONE_WINDOW, EVERY_EVENT], ids=["snapshots", "every_event"])
@given(log=random_logs.rows(), size=st.integers(1, 40))
def test_how_many_events_are_walked_over_at_a_time_changes_no_byte(settings, log, size):
    stage_map = arrays(random_logs.table(log))
    assert bytes_of(described(stage_map, settings, size)) == bytes_of(described(stage_map, settings))


@pytest.mark.parametrize("settings", [ONE_WINDOW, EVERY_EVENT], ids=["snapshots", "every_event"])
@given(log=random_logs.rows(), more=st.lists(st.text("abmvxz", min_size=1, max_size=3)))
def test_names_that_no_event_has_change_no_byte(settings, log, more):
    """A bucket's lists of names may be those of all buckets."""
    stage_map = arrays(random_logs.table(log))
    given = stage_map.log

    def with_more(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        longer = np.array(sorted({*names, *more}), object)
        place = np.append(np.searchsorted(longer.astype(str), names.astype(str)), -1)
        return place[codes].astype(codes.dtype), longer

    event_type, event_types = with_more(given.event_type, given.event_types)
    channel, channels = with_more(given.channel, given.channels)
    longer = {
        "event_type": event_type,
        "event_types": event_types,
        "channel": channel,
        "channels": channels,
        "attributes": {name: with_more(*coded) for name, coded in given.attributes.items()},
    }
    for journey in (SHOP, ACTIVITIES):
        one, other = StageMap(given, journey), StageMap(replace(given, **longer), journey)
        assert bytes_of(described(one, settings)) == bytes_of(described(other, settings))


@given(log=random_logs.rows(), journey=st.sampled_from([SHOP, ACTIVITIES]))
def test_a_persons_latest_point_of_many_is_the_snapshot_right_after_it(log, journey):
    """Where events are known at once and persons have one id: rolling windows and bins then say the same."""
    cases = [
        e | {"anonymous_id": None, "customer_id": e["customer_id"] or "x", "known_time": e["event_time"]} for e in log
    ]
    stage_map = StageMap(arrays(random_logs.table(cases)).log, journey)
    for settings in (ONE_WINDOW, EVERYTHING):
        vocabulary = learn_vocabulary(stage_map.log, stage_map, settings, micro(CUTOFF))
        rolling = describe(every_event(stage_map.log, stage_map, micro(CUTOFF)), settings, vocabulary)[0].to_pandas()
        latest = describe(latest_event(stage_map.log, stage_map, micro(CUTOFF)), settings, vocabulary)[0].to_pandas()
        ends = rolling.groupby("person_id").tail(1)
        assert bytes_of(ends) == bytes_of(latest)
        for cutoff in ends["cutoff_time"].unique()[:3]:
            then = describe(snapshot(stage_map.log, stage_map, micro(cutoff)), settings, vocabulary)[0].to_pandas()
            mine = then[then["person_id"].isin(ends.loc[ends["cutoff_time"] == cutoff, "person_id"])]
            assert bytes_of(mine) == bytes_of(ends[ends["cutoff_time"] == cutoff])


def test_two_buckets_in_two_threads_give_the_bytes_of_one_after_the_other():
    buckets = [arrays(random_logs.table(random_logs._log(seed, n=3000))) for seed in (1, 2)]
    for settings in (EVERYTHING, EVERY_EVENT):
        alone = [bytes_of(described(b, settings, 100)) for b in buckets]
        with ThreadPoolExecutor(2) as pool:
            together = [bytes_of(t) for t in pool.map(lambda b: described(b, settings, 100), buckets * 2)]  # noqa: B023
        assert together == alone * 2


# --- the plain reference --------------------------------------------------------------------------------------------


def assert_same(built: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare with the reference: the same rows, the same columns, values equal up to float32."""
    assert sorted(built.index) == sorted(expected.index)
    if expected.empty:
        return
    assert sorted(built.columns) == sorted(expected.columns)
    expected = expected.loc[built.index, built.columns]
    plain = ["prefix_length", "stage", "stage_since"]
    assert built[plain].astype(object).equals(expected[plain].astype(object))
    numbers = [c for c in built if c.startswith("f_")]
    wrong = [
        f"{index} {c}: {have} is not {want}"
        for c in numbers
        for index, have, want in zip(built.index, built[c], expected[c].astype(float), strict=True)
        if not np.isclose(have, want, rtol=1e-5, atol=1e-6, equal_nan=True)
    ]
    assert not wrong, "\n".join(wrong)


@run(max_examples=18)
@given(
    log=random_logs.rows(),
    settings=st.sampled_from([EVERYTHING, CROWDED]),
    journey=st.sampled_from([SHOP, ACTIVITIES]),
)
def test_every_feature_equals_the_plain_reference(log, settings, journey):
    events = random_logs.table(log)
    vocabulary = learn(events, settings, journey)
    built = build(events, settings, journey=journey).set_index("person_id").drop(columns="cutoff_time")
    assert_same(built, reference.snapshot_features(events, CUTOFF, journey, settings, vocabulary))


@given(log=random_logs.rows(), journey=st.sampled_from([SHOP, ACTIVITIES]))
def test_the_vocabulary_equals_the_plain_reference(log, journey):
    events = random_logs.table(log)
    for settings in (EVERYTHING, CROWDED):
        assert learn(events, settings, journey).to_json() == reference.vocabulary(events, CUTOFF, journey, settings)


@given(log=random_logs.rows())
def test_every_event_equals_the_plain_reference(log):
    events = random_logs.table(log)
    table, _, vocabulary = build_training_features(events, link_identities(events), (), CUTOFF, ACTIVITIES, EVERY_EVENT)
    built = table.set_index(["person_id", "prefix_length"], drop=False).drop(columns=["cutoff_time", "person_id"])
    assert_same(built, reference.every_event_features(events, CUTOFF, ACTIVITIES, EVERY_EVENT, vocabulary))


@run(max_examples=6)
@given(log=random_logs.rows(), data=st.data())
def test_the_row_of_a_prefix_is_that_of_the_log_cut_after_it(log, data):
    cases = random_logs.table([e | {"anonymous_id": None, "customer_id": e["customer_id"] or "case"} for e in log])
    rows, _, vocabulary = build_training_features(cases, link_identities(cases), (), CUTOFF, ACTIVITIES, EVERY_EVENT)
    known = cases[["event_time", "known_time"]].max(axis=1)
    for row in data.draw(st.permutations(range(len(rows))))[:5]:
        point = rows.iloc[[row]]
        person, cutoff, length = point[KEYS].iloc[0]
        case = cases[cases["customer_id"] == person.removeprefix("customer:")].assign(known=known)
        cut = case.sort_values(["known", "event_time", "sequence", "event_id"]).head(length).drop(columns="known")
        assert bytes_of(build(cut, EVERY_EVENT, vocabulary, cutoff, ACTIVITIES)) == bytes_of(point)


# --- by hand --------------------------------------------------------------------------------------------------------


def ann(*lines: str, **how: Any) -> pd.Series:
    """Return Ann's row as of 1 February 2025."""
    return by_hand.features(*lines, **how).loc["customer:ann"]


def test_the_month_of_a_customer_in_numbers():
    row = ann(
        "ann 2025-01-06T10:00 web view",
        "ann 2025-01-13T22:00 web view",
        "ann 2025-01-25T09:00 web view",
        "ann 2025-01-25T09:20 store order 1200",
        "ann 2025-01-30 email newsletter actor=brand",
    )
    expected = {
        "n_activities_7d": 2,
        "n_activities_ever": 4,
        "n_newsletter_7d": 1,
        "n_view_30d": 3,
        "value_cents_30d": 1200,
        "mean_value_cents": 1200,
        "days_since_last_activity": 6 + 1 / 24 * (24 - 9 - 1 / 3),
        "tenure_days": 25 + 14 / 24,
        "last_gap_days": 1 / 72,
        "event_gap_1_days": 4 + (24 - 9 - 1 / 3) / 24,
        "n_visits": 2,
        "n_events_in_stage": 2,
        "n_sessions_ever": 3,
        "share_channel_web": 0.6,
        "n_channel_switches": 1,
        "share_8_12_h": 0.75,
        "share_saturday": 0.5,
        "cutoff_weekday": 5,
    }
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected)
    assert row["stage"] == "bought"
    assert row["stage_since"] == time("2025-01-25T09:20")


def test_active_days_are_days_with_what_ends_a_silence():
    lines = (
        "ann 2025-01-03 web view",
        "ann 2025-01-06T09:00 store order 500",
        "ann 2025-01-06T18:00 store order 500",
        "ann 2025-01-20T12:00 store order 500",
        "ann 2025-01-20T13:00 web order 500",
        "ann 2025-01-25 web view",
        "ann 2025-01-26 web order actor=brand",
    )
    assert ann(*lines)["n_active_days_ever"] == 4
    row = ann(*lines, active_event_types=["order", "repair"])
    expected = {
        "n_active_days_ever": 2,
        "days_since_first_active_day": 25 + 15 / 24,
        "days_since_last_active_day": 11.5,
    }
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected)
    assert ann(lines[0], active_event_types=["order"])["n_active_days_ever"] == 0
    assert np.isnan(ann(lines[0], active_event_types=["order"])["days_since_last_active_day"])


def test_value_is_told_by_type_where_more_than_one_carries_it():
    row = ann(
        "ann 2025-01-06 store order 1200",
        "ann 2025-01-07 web view 0",
        "ann 2025-01-20 store repair 300",
        "ann 2025-01-28 store order 500",
        "ann 2025-01-29 store repair -100",
        "ann 2025-01-30 web view",
    )
    expected = {
        "value_cents_7d": 400,
        "value_cents_order_7d": 500,
        "value_cents_order_ever": 1700,
        "value_cents_repair_7d": -100,
        "value_cents_repair_30d": 200,
        "value_cents_repair_ever": 200,
        "last_value_cents": -100,
    }
    assert row[list(expected)].astype(float).to_dict() == expected
    assert not [c for c in row.index if "value" in c and "view" in c]


def test_value_of_the_one_type_that_carries_it_is_told_once():
    """Twin columns would share the credit of one cause."""
    row = ann("ann 2025-01-06 store order 1200", "ann 2025-01-07 web view", "bob 2025-01-08 web view")
    assert [c for c in row.index if "value" in c] == [
        *("value_cents_ever", "value_cents_7d", "value_cents_30d", "mean_value_cents", "last_value_cents")
    ]


def test_the_last_value_of_whom_nobody_saw_pay_is_not_known():
    row = by_hand.features("ann 2025-01-06 store order 1200", "bob 2025-01-08 web view").loc["customer:bob"]
    assert np.isnan(row["last_value_cents"])
    assert row["value_cents_ever"] == 0


@pytest.mark.parametrize(
    ("moment", "n"), [("2025-01-24T23:59:59.999999", 0), ("2025-01-25", 1), ("2025-01-31T23:59:59.999999", 1)]
)
def test_windows_are_half_open(moment, n):
    assert ann("ann 2025-01-02 web view", f"ann {moment} web order")["n_order_7d"] == n


@pytest.mark.parametrize("late", ["ann 2025-02-01 web order 500", "ann 2025-01-31 web order 500 known=2025-02-01"])
def test_what_happens_or_becomes_known_at_the_cut_off_belongs_to_the_future(late):
    known = "ann 2025-01-20 web view"
    assert_frame_equal(by_hand.features(known, late), by_hand.features(known))


@pytest.mark.parametrize(
    ("second", "n"),
    [
        ("09:30", 1),
        ("09:30:00.000001", 2),
        ("13:00", 2),
        ("09:10 actor=brand", 1),
        ("13:00 session=a", 1),
        ("09:10 session=b", 2),
    ],
)
def test_a_session_ends_with_its_id_or_after_a_long_enough_gap(second, n):
    moment, *rest = second.split()
    first = "ann 2025-01-20T09:00 web view" + (" session=a" if "session" in second else "")
    assert ann(first, " ".join([f"ann 2025-01-20T{moment} web view", *rest]))["n_sessions_ever"] == n


def test_nobody_to_be_seen_gives_no_row_but_every_column():
    for lines in ((), ("ann 2025-03-01 web view",)):
        table = by_hand.features(*lines)
        assert table.empty
        assert {"n_activities_7d", "last_type_3", "share_monday"} <= set(table.columns)


def test_whom_only_the_brand_wrote_to_has_no_row():
    table = by_hand.features("ann 2025-01-20 email newsletter actor=brand", "bob 2025-01-20 web view")
    assert list(table.index) == ["customer:bob"]


@pytest.mark.parametrize(
    ("population", "expected"),
    [
        ({}, ["anonymous:phone", "customer:ann", "customer:bob"]),
        ({"identified_only": True}, ["customer:ann", "customer:bob"]),
        ({"active_within_days": 12}, ["anonymous:phone", "customer:bob"]),
        ({"active_within_days": 13}, ["anonymous:phone", "customer:ann", "customer:bob"]),
        ({"event_types": ["order"]}, ["customer:ann"]),
        ({"event_types": ["order", "call"]}, ["customer:ann"]),
    ],
)
def test_the_population_is_whom_the_settings_say(population, expected):
    table = by_hand.features(
        "ann 2025-01-19 store order",
        "bob 2025-01-25 web view",
        "bob 2025-01-25 web call actor=brand",
        "ann 2025-01-30 email call actor=brand",
        "~phone 2025-01-25 web view",
        "cid 2025-02-03 store order",
        population=population,
    )
    assert sorted(table.index) == expected


def test_groups_switched_off_leave_what_the_baselines_stand_on():
    lines = ("ann 2025-01-20 web view", "ann 2025-01-21 web order 100")
    few = by_hand.features(*lines, groups=["calendar"])
    every = by_hand.features(*lines)
    assert {"days_since_last_activity", "tenure_days", "n_activities_ever", "value_cents_ever"} <= set(few.columns)
    assert {"f_stage", "previous_stage", "last_type_1", "last_type_3"} <= set(few.columns)
    assert not {"n_visits", "n_view_7d", "mean_gap_days"} & set(few.columns)
    assert_frame_equal(few, every[few.columns])


def test_groups_switched_off_cost_nothing_unless_the_baselines_stand_on_them(monkeypatch):
    computed = []
    for group, function in feature_groups.GROUPS.items():

        def noted(*args, group=group, function=function):
            computed.append(group)
            return function(*args)

        monkeypatch.setitem(feature_groups.GROUPS, group, noted)
    by_hand.features("ann 2025-01-20 web view", groups=["calendar"])
    assert computed == ["counts", "values", "recency", "last_k", "stage", "calendar"]


def test_an_unknown_group_is_named_with_the_choices():
    with pytest.raises(InputError, match=r"features.groups has no moods; there are counts, values, .*attributes"):
        by_hand.features("ann 2025-01-20 web view", groups=["counts", "moods"])


def test_no_training_night_is_refused():
    log = by_hand.events("ann 2025-01-20 web view")
    with pytest.raises(InputError, match="no training cut-off"):
        build_training_features(log, link_identities(log), [], CUTOFF, SHOP, EVERYTHING)


@pytest.mark.parametrize(
    "line",
    [
        "ann 2025-01-20 web activity",
        "ann 2025-01-20 web activities",
        "ann 2025-01-20 web sessions",
        "ann 2025-01-20 web view attr_channel=web",
        "ann 2025-01-20 web view attr_type_1=new attr_transition=x num_gap_days=5",
        "ann 2025-01-20 web view 100 num_value_cents=5",
        "ann 2025-01-20 web view attr_x=a attr_x_before=b",
    ],
)
def test_whatever_things_are_called_each_feature_has_a_column_of_its_own(line):
    log = by_hand.events(line, "ann 2025-01-22 web view", "ann 2025-01-23 store view")
    table, known = build_features(log, link_identities(log), time("2025-02-01"), SHOP, EVERYTHING)
    names = [f.column for f in known]
    assert len(names) == len(set(names))
    assert names == [c for c in table if c.startswith("f_")]
    plain = by_hand.features("ann 2025-01-20 web view", "ann 2025-01-22 web view", "ann 2025-01-23 store view")
    ours = ["days_since_last_activity", "n_activities_7d", "last_gap_days", "n_channel_switches"]
    assert table.set_index("person_id")[[f"f_{n}" for n in ours]].loc["customer:ann"].tolist() == pytest.approx(
        plain.loc["customer:ann", ours].tolist()
    )


def test_a_category_and_a_number_of_one_name_are_both_described():
    row = ann("ann 2025-01-20 web view attr_size=big num_size=5", "ann 2025-01-21 web view num_size=7")
    assert (row["last_size"], row["share_size_big"]) == (0, 1)
    assert (row["last_size_1"], row["mean_size_1"]) == (7, 6)


@example(names=["a_2", "a", "a-"])
@given(names=st.lists(st.text("ab-_1 2", max_size=4), max_size=8, unique=True))
def test_names_become_distinct_words(names):
    words = catalogue.slugs(names)
    assert len(set(words)) == len(names)
    assert all(re.fullmatch(r"\w+", w) for w in words)


def test_words_of_other_alphabets_keep_what_letters_they_have():
    assert catalogue.slugs(["Öffnen", "Überweisung", "größer", "Œuvre", "открыть"]) == [
        *("Offnen", "Uberweisung", "grosser", "Oeuvre", "4"),
    ]


def test_scoring_with_the_vocabulary_of_training_gives_the_columns_of_training():
    """Tonight's delivery may lack a column, know new names, or have no money in it."""
    past = by_hand.events("ann 2025-01-20 web view 500 attr_plan=gold num_pages=3", "bob 2025-01-21 app order")
    trained, known, vocabulary = build_training_features(
        past, link_identities(past), [time("2025-01-25")], time("2025-01-25"), SHOP, EVERYTHING
    )
    tonight = by_hand.events("ann 2025-01-20 kiosk chat", "bob 2025-01-21 app order")
    scored, as_scored = build_features(
        tonight, link_identities(tonight), time("2025-01-25"), SHOP, EVERYTHING, vocabulary
    )
    assert list(scored.columns) == list(trained.columns)
    assert as_scored == known
    row = scored.set_index("person_id").loc["customer:ann"]
    assert row[["f_last_type_1", "f_last_channel", "f_last_plan", "f_last_pages", "f_mean_pages"]].isna().all()


def test_a_vocabulary_survives_its_file(tmp_path):
    log = random_logs.table(random_logs._log(seed=1, n=40))
    vocabulary = learn(log)
    tables.write_json(vocabulary.to_json(), tmp_path / "vocabulary.json")
    read = Vocabulary.from_json(tables.read_json(tmp_path / "vocabulary.json"))
    assert read == vocabulary
    assert bytes_of(build(log, vocabulary=read)) == bytes_of(build(log, vocabulary=vocabulary))


def test_a_catalogue_survives_its_file_and_says_what_each_feature_is(tmp_path):
    log = random_logs.table(random_logs._log(seed=1, n=40))
    table, known = build_features(log, link_identities(log), CUTOFF, SHOP, EVERYTHING)
    tables.write_json(catalogue.to_json(known), tmp_path / "catalogue.json")
    assert catalogue.from_json(tables.read_json(tmp_path / "catalogue.json")) == known
    assert [f.column for f in known] == [c for c in table if c.startswith("f_")]
    assert {f.group for f in catalogue.in_groups(known, ["gaps", "decays"])} == {"gaps", "decays"}
    assert all(f.words and f.unit and f.group in EVERYTHING.groups for f in known)
    assert {re.match(r"\w+", f.words)[0] for f in known if f.unit == "count"} == {
        *("activities", "events", "sessions", "visits", "steps", "returns", "days", "changes", "channels")
    }
    for f in known:
        if f.categories is not None:
            codes = table[f.column].dropna()
            assert codes.between(0, len(f.categories) - 1).all()


def test_a_window_of_one_day_is_called_a_day():
    log = by_hand.events("ann 2025-01-20 web order 5")
    one_day = by_hand.settings(windows_days=[1], half_lives_days=[1])
    _, known = build_features(log, link_identities(log), CUTOFF, SHOP, one_day)
    words = {f.name: f.words for f in known}
    assert words["n_activities_1d"] == "activities in the last day"
    assert words["value_cents_1d"] == "value in the last day"
    assert words["decayed_n_order_1d"] == "events of type order, halved every day"


def test_a_row_of_every_event_says_how_long_the_wait_for_it_was():
    log = by_hand.events("ann 2025-01-20T10:00 web view", "ann 2025-01-21T10:00 web order", "bob 2025-01-21 web view")
    rows, _, _ = build_training_features(log, link_identities(log), (), time("2025-02-01"), ACTIVITIES, EVERY_EVENT)
    mine = rows[rows["person_id"] == "customer:ann"]
    assert mine["prefix_length"].tolist() == [1, 2]
    assert mine["cutoff_time"].tolist() == [time("2025-01-20T10:00:00.000001"), time("2025-01-21T10:00:00.000001")]
    assert mine["stage"].tolist() == ["view", "order"]
    assert mine["f_event_gap_1_days"].tolist() == pytest.approx([np.nan, 1.0], nan_ok=True)
    assert mine["f_days_since_last_activity"].tolist() == pytest.approx([0, 0], abs=1e-9)


def test_scoring_every_event_keeps_open_cases_only():
    lines = ("ann 2025-01-01 web view", "bob 2025-01-30 web view")
    recent = by_hand.features(*lines, points="every_event", population={"active_within_days": 10})
    assert list(recent.index) == ["customer:bob"]
    assert recent["cutoff_time"].tolist() == [time("2025-02-01")]


def test_a_prefix_trains_if_scoring_would_have_looked_at_it():
    """Only the brand has spoken for two months: that case is not open any more."""
    lines = ("one 2025-01-01 - open", "one 2025-01-08 - reminder actor=brand", "one 2025-03-08 - reminder actor=brand")
    how = by_hand.settings(points="every_event", population={"active_within_days": 30})
    log = by_hand.events(*lines)
    trained, _, _ = build_training_features(log, link_identities(log), (), time("2025-04-01"), ACTIVITIES, how)
    assert trained["prefix_length"].tolist() == [1, 2]
    for n, night in ((1, "2025-01-02"), (2, "2025-01-09"), (3, "2025-03-09")):
        cut = by_hand.events(*lines[:n])
        scored, _ = build_features(cut, link_identities(cut), time(night), ACTIVITIES, how)
        assert scored["prefix_length"].tolist() == trained["prefix_length"].tolist()[n - 1 : n]

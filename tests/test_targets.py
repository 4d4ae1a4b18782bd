"""What happened after a cut-off, and when that can be said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
import random_logs
import reference
from by_hand import ACTIVITIES, SHOP, time
from random_logs import CUTOFF, MICROSECOND
from waymark import schema
from waymark.clock import TrainClock
from waymark.config import JourneyConfig, SplitConfig
from waymark.errors import InputError
from waymark.features import build_training_features
from waymark.ledger import link_identities
from waymark.targets import build_event_targets, build_snapshot_targets, build_targets

POINT = [*schema.POINT, "stage"]
NIGHT = "2025-02-01"


def snapshots(
    *lines: str,
    nights: tuple[str, ...] = (NIGHT,),
    as_of: str = "2025-04-01",
    test: tuple[str, ...] = (),
    journey: JourneyConfig = SHOP,
    split: SplitConfig | None = None,
    **changed: Any,
) -> pd.DataFrame:
    """Return the targets of everybody seen before each night, a row a person and night."""
    log = by_hand.events(*lines)
    links = link_identities(log)
    cutoffs = [time(n) for n in nights]
    features, _, _ = build_training_features(log, links, cutoffs, time(as_of), journey, by_hand.settings())
    tests = tuple(time(t) for t in test)
    settings = by_hand.targets(**changed)
    return build_snapshot_targets(features[POINT], log, links, time(as_of), journey, settings, tests, split=split)


def ann(*lines: str, **how: Any) -> dict[str, Any]:
    """Return Ann's target after 1 February 2025."""
    table = snapshots("ann 2025-01-20 web view", *lines, **how)
    return table[table["person_id"] == "customer:ann"].iloc[0].to_dict()


SILENT = {"is_silent": True, "next_stage_status": "not_applicable", "churn_status": "mature"}
ACTIVE = {"is_silent": False, "next_stage_status": "mature", "churn_status": "mature"}


def says(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {k: row[k] for k in expected} == expected


def followed(row: dict[str, Any]) -> tuple[float | None, float]:
    """Return `return_days` (None for none) and `observed_days`."""
    return None if pd.isna(row["return_days"]) else row["return_days"], row["observed_days"]


# --- snapshots ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2025-01-31T23:59:59.999999", SILENT),
        ("2025-02-01", ACTIVE),
        ("2025-03-02T23:59:59.999999", ACTIVE),
        ("2025-03-03", SILENT),
    ],
)
def test_the_horizon_begins_at_the_cut_off_and_ends_before_its_end(moment, expected):
    assert says(ann(f"ann {moment} web login"), expected)


def test_a_silent_customer_has_a_row_and_is_silent():
    row = ann("bob 2025-02-05 web view")
    assert says(row, SILENT)
    assert pd.isna(row["next_stage"])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["ann 2025-02-05 web login"], "stay"),
        (["ann 2025-02-05 web view"], "stay"),
        (["ann 2025-02-05 web view", "ann 2025-02-09 web order"], "bought"),
        (["ann 2025-02-05 web order", "ann 2025-02-06 store complaint"], "bought"),
        (["ann 2025-02-05 web order", "ann 2025-02-06 web view"], "bought"),
        (["ann 2025-02-05 web login", "ann 2025-03-03 web order"], "stay"),
    ],
)
def test_the_next_stage_is_the_first_other_one_reached(lines, expected):
    assert ann(*lines)["next_stage"] == expected


@pytest.mark.parametrize(("as_of", "is_mature"), [("2025-03-03", True), ("2025-03-02T23:59:59", False)])
def test_a_row_is_mature_when_its_whole_horizon_has_passed(as_of, is_mature):
    row = ann("ann 2025-02-05 web order", as_of=as_of)
    status = "mature" if is_mature else "immature"
    assert (row["next_stage_status"], row["churn_status"]) == (status, status)
    assert pd.isna(row["next_stage"]) is not is_mature
    assert pd.isna(row["is_silent"]) is not is_mature


@pytest.mark.parametrize(
    ("what", "expected"), [("view", SILENT), ("order", ACTIVE), ("renewal", ACTIVE), ("order actor=brand", SILENT)]
)
def test_churn_may_be_the_absence_of_some_types_of_event(what, expected):
    assert says(ann(f"ann 2025-02-05 web {what}", churn_event_types=["order", "renewal"]), expected)


@pytest.mark.parametrize("actor", ["brand", "system"])
def test_what_others_do_ends_no_silence(actor):
    assert says(ann(f"ann 2025-02-05 email view actor={actor}"), SILENT)


def test_what_became_known_after_training_looked_counts_for_nothing():
    late = "ann 2025-02-05 web order known=2025-04-01"
    assert says(ann(late, as_of="2025-04-01"), SILENT)
    assert says(ann(late, as_of="2025-04-02"), ACTIVE)


@pytest.mark.parametrize(
    ("login", "expected"), [("2025-03-02", ACTIVE), ("2025-03-03", SILENT), ("2025-01-25", ACTIVE)]
)
def test_what_a_device_did_is_what_the_identities_of_the_horizons_end_say(login, expected):
    """A visitor of January who logs in as Ann within the horizon did what Ann did in it."""
    row = ann(f"ann~phone {login} web login", "~phone 2025-02-10 web view")
    assert says(row, expected | {"person_id": "customer:ann"})


@pytest.mark.parametrize(
    ("moment", "back"),
    [
        ("2025-02-01", 0.0),
        ("2025-02-03T12:00", 2.5),
        ("2025-03-05", 32.0),
        ("2025-03-22T23:59:59", 50 - 1 / 86400),
        ("2025-03-23", None),
    ],
)
def test_a_silence_is_watched_to_the_end_of_the_longest_horizon(moment, back):
    row = ann(f"ann {moment} web login", "bob 2025-02-02 web login", horizons_days=[7, 50])
    assert followed(row) == (back and pytest.approx(back, abs=1e-9), 50.0)
    assert row["is_silent"] is (back is None or back >= 30)


@pytest.mark.parametrize(("as_of", "expected"), [("2025-03-06", (32.0, 33.0)), ("2025-03-05", (None, 32.0))])
def test_a_silence_is_watched_no_longer_than_training_looked(as_of, expected):
    assert followed(ann("ann 2025-03-05 web login", horizons_days=[90], as_of=as_of)) == expected


def test_what_ends_a_silence_ends_it_beyond_the_horizon_too():
    lines = ["ann 2025-03-05 web view", "ann 2025-03-06 web order actor=brand", "ann 2025-03-08 web order"]
    assert followed(ann(*lines, horizons_days=[50], churn_event_types=["order"])) == (35.0, 50.0)


def test_persons_of_training_and_test_may_be_kept_apart():
    names = [f"p{i}" for i in range(40)]
    lines = [f"{name} 2025-01-20 web view" for name in names]
    nights = ("2025-02-01", "2025-03-10")
    table = snapshots(*lines, nights=nights, test=nights[1:], split=by_hand.split(persons="disjoint", test_persons=0.5))
    folds = table.groupby("person_id")["fold"].agg(tuple)
    assert set(folds) == {("train", "embargo"), ("embargo", "test")}
    assert set(snapshots(*lines, nights=nights, test=nights[1:])["fold"]) == {"train", "test"}


def test_persons_kept_apart_are_kept_apart_from_whom_they_were_before_a_log_in():
    """Of each the device has rows that train; by the night that tests, it is of a customer with an id of its own."""
    lines = [
        line
        for i in range(40)
        for line in (
            f"~d{i} 2025-01-20 web view",
            f"c{i} 2025-01-10 store order",
            f"c{i}~d{i} 2025-02-{1 + i % 28:02} web login",
        )
    ]
    nights = ("2025-02-01", "2025-03-10")
    table = snapshots(*lines, nights=nights, test=nights[1:], split=by_hand.split(persons="disjoint", test_persons=0.5))
    number = table["person_id"].str.extract(r"(\d+)$")[0]
    assert len(table) > 100 and number.nunique() == 40
    folds = table.groupby(number)["fold"].agg(lambda fold: frozenset(fold) - {"embargo"})
    assert set(folds) == {frozenset({"train"}), frozenset({"test"})}


def test_beyond_the_horizon_a_person_is_who_was_known_at_the_end_of_the_longest():
    lines = ["~phone 2025-03-05 web view", "ann~phone 2025-03-20 web login"]
    assert followed(ann(*lines, horizons_days=[50]))[0] == 32.0
    assert followed(ann(*lines, horizons_days=[40]))[0] is None


def test_rows_that_train_are_watched_until_the_tests_begin():
    nights = ("2025-02-01", "2025-03-10")
    lines = ("ann 2025-01-20 web view", "ann 2025-03-12 web view")
    table = snapshots(*lines, nights=nights, test=nights[1:], horizons_days=[90], as_of="2025-05-01")
    assert [followed(row) for row in table.to_dict("records")] == [(None, 37.0), (2.0, 52.0)]


def test_what_a_training_row_did_after_the_tests_began_is_no_label_even_where_it_is_known():
    nights = ("2025-02-25", "2025-03-10")
    lines = ("ann 2025-01-20 web view", "ann 2025-02-27 web view", "ann 2025-03-12 store order")
    train, test = snapshots(*lines, nights=nights, test=nights[1:], as_of="2025-05-01").to_dict("records")
    assert followed(train) == (2.0, 13.0)
    assert train["churn_status"] == train["next_stage_status"] == "immature"
    assert pd.isna(train["is_silent"]) and pd.isna(train["next_stage"])
    assert test["churn_status"] == "mature"


def test_a_device_that_becomes_a_customers_is_not_silent_when_the_customer_is_not():
    table = snapshots("~phone 2025-01-20 web view", "ann~phone 2025-02-03 web login", "ann 2025-02-20 store order")
    assert table["person_id"].tolist() == ["anonymous:phone"]
    assert says(table.iloc[0].to_dict(), ACTIVE | {"next_stage": "bought"})


def test_a_stage_reached_before_the_night_and_told_after_it_is_not_reached_in_the_horizon():
    table = snapshots(
        "ann 2025-01-05 web view",
        "ann 2025-01-20 store order known=2025-02-10",
        "ann 2025-02-20 web login",
    )
    assert table["next_stage"].tolist() == ["stay"]


def test_two_rows_that_turn_out_to_be_one_person_each_have_a_next_stage_of_their_own():
    """Ann had bought; her telephone was only looking. Both are asked where they went next."""
    table = snapshots(
        "ann 2025-01-10 web order",
        "~phone 2025-01-20 web view",
        "ann~phone 2025-02-03 web login",
        "ann 2025-02-10 web order",
        "ann 2025-02-11 web view",
    )
    found = table.set_index("person_id")["next_stage"].to_dict()
    # Known to be one person, they look on when they log in.
    assert found == {"customer:ann": "looking", "anonymous:phone": "bought"}


def test_a_device_that_turns_out_to_be_shared_is_its_own_again():
    lines = ("ann~phone 2025-01-05 web login", "~phone 2025-02-10 web view")
    assert says(ann(*lines), ACTIVE)
    assert says(ann(*lines, "bob~phone 2025-02-20 web login"), SILENT)


def test_folds_are_by_night():
    lines = ("ann 2025-01-20 web view", "bob 2025-01-27 web view")
    table = snapshots(*lines, nights=("2025-01-25", "2025-02-01"), test=("2025-02-01",))
    assert table.groupby("cutoff_time")["fold"].agg(list).tolist() == [["train"], ["test", "test"]]


def test_nobody_to_ask_about_is_refused():
    with pytest.raises(InputError, match=r"features.population"):
        snapshots("ann 2025-03-20 web view")


@given(
    log=random_logs.rows(),
    journey=st.sampled_from([SHOP, ACTIVITIES]),
    back=st.sampled_from([None, ["order"]]),
    data=st.data(),
)
def test_targets_equal_the_plain_reference(log, journey, back, data):
    events = random_logs.table(log)
    links = link_identities(events)
    as_of = CUTOFF + timedelta(days=11)
    nights = [CUTOFF + timedelta(days=d) for d in (-14, 0, 4)]
    features, _, _ = build_training_features(events, links, nights, as_of, journey, by_hand.settings())
    points = features[POINT].iloc[data.draw(st.permutations(range(len(features))))]
    if points.empty:
        return
    settings = by_hand.targets(horizon_days=7, churn_event_types=back)
    table = build_snapshot_targets(points, events, links, as_of, journey, settings, (CUTOFF,))
    assert schema.to_arrow(table, schema.TARGETS).num_rows == len(points)
    rows = reference.in_order(events)
    stage_of = points.set_index(["person_id", "cutoff_time"])["stage"]
    for row in table.to_dict("records"):
        point = row | {"stage": stage_of[row["person_id"], row["cutoff_time"]]}
        found = tuple(None if pd.isna(row[c]) else row[c] for c in ("next_stage", "next_stage_status", "is_silent"))
        assert found == reference.snapshot_target(point, rows, as_of, journey, 7, back)
        assert found[0] != point["stage"]
        assert row["churn_status"] == ("immature" if found[1] == "immature" else "mature")


@given(log=random_logs.rows(), other=random_logs.rows())
def test_what_is_not_yet_known_changes_no_target(log, other):
    as_of = CUTOFF + timedelta(days=7)
    seen = random_logs.past(log, as_of)
    tables = []
    for later in (random_logs.future(log, as_of), random_logs.future(other, as_of)):
        events = random_logs.table(seen + later)
        links = link_identities(events)
        features, _, _ = build_training_features(events, links, [CUTOFF], as_of, SHOP, by_hand.settings())
        if features.empty:
            return
        settings = by_hand.targets(horizon_days=7)
        tables.append(build_snapshot_targets(features[POINT], events, links, as_of, SHOP, settings, ()))
    assert_frame_equal(*tables)


# --- every event ----------------------------------------------------------------------------------------------------

CASE = ("one 2025-01-01 - open", "one 2025-01-02 - check", "one 2025-01-03 - check", "one 2025-01-05 - close")


def prefixes(
    *lines: str,
    as_of: str = "2025-04-01",
    journey: JourneyConfig = ACTIVITIES,
    split: dict[str, Any] | None = None,
    **changed: Any,
) -> pd.DataFrame:
    """Return the targets after each event."""
    log = by_hand.events(*lines)
    links = link_identities(log)
    chosen = by_hand.settings(points="every_event")
    features, _, _ = build_training_features(log, links, (), time(as_of), journey, chosen)
    settings = by_hand.targets(**{"horizon_days": 10, "end_of_case": "candidate"} | changed)
    return build_event_targets(
        features[POINT], log, links, time(as_of), journey, settings, by_hand.split("cases", **(split or {}))
    )


def test_the_next_stage_of_a_prefix_is_that_of_the_next_event():
    assert prefixes(*CASE)["next_stage"].tolist() == ["check", "stay", "close", "end"]


@pytest.mark.parametrize(
    ("end_of_case", "label", "status"),
    [("candidate", "end", "mature"), ("scored", "end", "mature"), ("excluded", None, "not_applicable")],
)
def test_the_end_of_a_case_counts_or_not(end_of_case, label, status):
    last = prefixes(*CASE, end_of_case=end_of_case).iloc[-1]
    assert (None if pd.isna(last["next_stage"]) else last["next_stage"], last["next_stage_status"]) == (label, status)


@pytest.mark.parametrize(("as_of", "status"), [("2025-01-15T00:00:00.000001", "mature"), ("2025-01-15", "immature")])
def test_a_case_has_ended_when_its_horizon_has_passed_in_silence(as_of, status):
    """The last event, of 5 January, is a point right after it: its ten days end a microsecond into the 15th."""
    last = prefixes(*CASE, as_of=as_of).iloc[-1]
    assert (last["next_stage_status"], last["churn_status"]) == (status, status)


def test_the_next_event_is_the_next_stage_whenever_it_comes():
    row = prefixes("one 2025-01-01 - open", "one 2025-03-01 - close").iloc[0]
    assert (row["next_stage"], bool(row["is_silent"])) == ("close", True)


@pytest.mark.parametrize(("moment", "is_silent"), [("2025-01-11", False), ("2025-01-11T00:00:00.000001", True)])
def test_an_event_at_the_very_end_of_the_horizon_comes_too_late(moment, is_silent):
    first = prefixes("one 2025-01-01 - open", f"one {moment} - close").iloc[0]
    assert first["cutoff_time"] == time("2025-01-01") + MICROSECOND
    assert bool(first["is_silent"]) is is_silent


@pytest.mark.parametrize(("what", "is_silent"), [("close", True), ("appeal", False), ("appeal actor=brand", True)])
def test_silence_after_an_event_may_be_of_some_types_only(what, is_silent):
    first = prefixes("one 2025-01-01 - open", f"one 2025-01-04 - {what}", churn_event_types=["appeal"]).iloc[0]
    assert bool(first["is_silent"]) is is_silent


def test_events_follow_each_other_as_they_became_known():
    late = "one 2025-01-02 - check known=2025-01-04"
    table = prefixes("one 2025-01-01 - open", late, "one 2025-01-03 - close")
    assert table["next_stage"].tolist() == ["close", "check", "end"]


def test_events_of_one_moment_follow_each_other_by_sequence():
    table = prefixes("one 2025-01-01 - b seq=1", "one 2025-01-01 - a seq=2", "one 2025-01-01 - c seq=3")
    assert table["next_stage"].tolist() == ["a", "c", "end"]


def test_one_case_does_not_run_into_the_next():
    table = prefixes("one 2025-01-01 - open", "two 2025-01-02 - check")
    assert table["next_stage"].tolist() == ["end", "end"]


@run(max_examples=25)
@given(seed=st.integers(0, 2**32), n=st.integers(10, 60), data=st.data())
def test_no_training_label_of_a_case_reaches_the_first_test_case(seed, n, data):
    """Whatever trains could be labelled the same when the first test case began."""
    cases = [e | {"anonymous_id": None, "customer_id": e["customer_id"] or "case"} for e in random_logs._log(seed, n)]
    cases = [e | {"customer_id": f"{e['customer_id']}{i % 3}"} for i, e in enumerate(cases)]
    events = random_logs.table(cases)
    links = link_identities(events)
    as_of = CUTOFF + timedelta(days=40)
    split = by_hand.split(
        "cases",
        train_fraction=data.draw(st.sampled_from([0.3, 0.5, 0.8])),
        order=data.draw(st.sampled_from(["first_event", "first_sequence"])),
        min_prefix=data.draw(st.integers(1, 2)),
    )
    settings = by_hand.targets(
        horizon_days=7,
        end_of_case=data.draw(st.sampled_from(["excluded", "candidate"])),
        churn_event_types=data.draw(st.sampled_from([None, ["order"]])),
    )
    chosen = by_hand.settings(points="every_event", groups=["recency"])
    features, _, _ = build_training_features(events, links, (), as_of, ACTIVITIES, chosen)
    points = features[POINT]
    table = build_event_targets(points, events, links, as_of, ACTIVITIES, settings, split)
    assert schema.to_arrow(table, schema.TARGETS).num_rows == len(points)
    test_persons = table.loc[table["fold"] == "test", "person_id"]
    assert not set(test_persons) & set(table.loc[table["fold"] == "train", "person_id"])
    if test_persons.empty:
        return
    known = events[["event_time", "known_time"]].max(axis=1)
    begins = known[("customer:" + events["customer_id"]).isin(test_persons)].min()
    trains = table[table["fold"] == "train"].drop(columns="fold").copy()
    if trains.empty:
        return
    split = split.model_copy(update={"embargo": False})
    then = build_event_targets(trains[POINT[:3]], events, links, begins, ACTIVITIES, settings, split)
    for one in (trains, then):  # the cases are dealt in one order, whoever else is there
        one["split_rank"] = one["split_rank"].rank(method="dense")
    assert_frame_equal(trains.reset_index(drop=True), then.drop(columns="fold"))


def test_the_kind_of_points_chooses_the_kind_of_targets():
    log = by_hand.events(*CASE)
    links = link_identities(log)
    clock = TrainClock(time("2025-04-01"), (time("2025-01-04"),), (), "")
    for kind, n in (("snapshots", 1), ("every_event", 4)):
        features, _, _ = build_training_features(
            log, links, clock.train_cutoffs, clock.as_of, ACTIVITIES, by_hand.settings(points=kind)
        )
        targets = build_targets(
            features[POINT], log, links, clock, kind, ACTIVITIES, by_hand.targets(), by_hand.split("cases")
        )
        assert len(targets) == n

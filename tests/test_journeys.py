"""Stages, and the visits a person makes to them."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
import random_logs
import reference
from by_hand import ACTIVITIES, SHOP, time
from random_logs import CUTOFF, future, past
from waymark import schema
from waymark.config import JourneyConfig
from waymark.errors import InputError
from waymark.eventlog import read_log
from waymark.journeys import build_journeys, list_visits
from waymark.ledger import link_identities


def journeys(*lines: str, at: str = "2025-03-01", journey: JourneyConfig = SHOP) -> pd.DataFrame:
    log = by_hand.events(*lines)
    return build_journeys(log, link_identities(log), journey, time(at))


def stages(*lines: str, journey: JourneyConfig = SHOP) -> list[str]:
    return journeys(*lines, journey=journey)["stage"].tolist()


def rules(*rules: dict, **more: object) -> JourneyConfig:
    return JourneyConfig.model_validate({"initial": "new", "rules": list(rules)} | more)


def days(*events: str) -> list[str]:
    """Return Ann's events, one a day."""
    return [f"ann 2025-01-{i:02} {event}" for i, event in enumerate(events, start=1)]


BY_VALUE = rules({"stage": "cheap", "value_cents_at_most": 990}, {"stage": "dear", "value_cents_at_least": -1000})


# --- rules ----------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_gives_the_stage():
    assert stages(*days("web order 9900", "web order 100", "web order 9900")) == ["big", "bought", "loyal"]


def test_an_event_that_no_rule_matches_keeps_the_stage():
    assert stages(*days("web login", "web order", "web login", "web complaint")) == ["new", "bought"]
    assert journeys(*days("web login", "web order", "web login"))["n_events"].tolist() == [1, 2]


def test_a_rule_wants_all_of_its_predicates():
    assert stages(*days("web complaint")) == ["new"]
    assert stages(*days("store complaint")) == ["trouble"]
    assert stages(*days("- complaint")) == ["new"]


def test_what_the_brand_does_moves_nobody_unless_a_rule_says_so():
    assert stages(*days("web order actor=brand", "web view actor=brand")) == ["new", "looking"]


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ({"count_at_least": 2}, ["new", "there"]),
        ({"count_at_most": 1}, ["there"]),
        ({"count_at_least": 2, "count_at_most": 2}, ["new", "there"]),
        ({"value_cents_at_least": 200}, ["new", "there"]),
        ({"value_cents_at_most": 100}, ["there"]),
        ({"value_cents_at_least": 200, "value_cents_at_most": 200}, ["new", "there"]),
        ({"channel": ["store"]}, ["new", "there"]),
    ],
)
def test_every_predicate_has_its_say(predicate, expected):
    journey = rules({"stage": "there", "event_type": ["order"]} | predicate)
    assert stages(*days("web order 100", "store order 200", "web order 300"), journey=journey) == expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ({"value_cents_at_most": 100}, ["new", "there"]),
        ({"value_cents_at_most": 0}, ["new", "there"]),
        ({"value_cents_at_least": 0}, ["new", "there"]),
        ({"value_cents_at_least": -100}, ["new", "there"]),
        ({}, ["there"]),
    ],
)
def test_a_rule_about_value_matches_only_events_that_have_one(predicate, expected):
    journey = rules({"stage": "there"} | predicate)
    table = journeys(*days("web view", "web coupon 0", "web view"), journey=journey)
    assert table["stage"].tolist() == expected
    assert table["entered_time"].iloc[-1] == time(f"2025-01-0{len(expected)}")


def test_counts_are_a_persons_own_and_of_one_type():
    journey = rules({"stage": "twice", "count_at_least": 2})
    lines = (
        "ann 2025-01-01 web view",
        "bob 2025-01-02 web view",
        "ann 2025-01-03 web order",
        "bob 2025-01-04 web view",
    )
    table = journeys(*lines, journey=journey)
    assert table.groupby("person_id")["stage"].agg(list).to_dict() == {
        "customer:ann": ["new"],
        "customer:bob": ["new", "twice"],
    }


def test_an_event_type_may_be_its_own_stage():
    journey = rules({"stage": "help", "event_type": ["call", "chat"]}, {"stage": "{event_type}"})
    assert stages(*days("- call", "- open", "- open", "- chat", "- close"), journey=journey) == [
        *("help", "open", "help", "close")
    ]


@pytest.mark.parametrize("name", ["stay", "end", "silent"])
def test_an_event_type_that_a_forecast_uses_as_a_word_cannot_be_a_stage(name):
    with pytest.raises(InputError, match=f"event type '{name}' cannot be a stage"):
        stages(*days("- open", f"- {name}"), journey=ACTIVITIES)
    assert stages(*days("- view", f"- {name}")) == ["looking"]
    named = rules({"stage": "done", "event_type": [name]}, {"stage": "{event_type}"})
    assert stages(*days("- view", f"- {name}"), journey=named) == ["view", "done"]


# --- visits ---------------------------------------------------------------------------------------------------------


def test_a_way_with_a_step_back_a_return_and_a_detour():
    table = journeys(
        *("ann 2025-01-01 web view", "ann 2025-01-02 web order", "ann 2025-01-03 web view", "ann 2025-01-04 web login"),
        "ann 2025-01-05 store complaint",
    )
    assert table["stage"].tolist() == ["looking", "bought", "looking", "trouble"]
    assert table["visit"].tolist() == [1, 2, 3, 4]
    assert table["n_events"].tolist() == [1, 1, 2, 1]
    assert table["entered_time"].tolist() == [time(f"2025-01-0{d}") for d in (1, 2, 3, 5)]
    assert table["left_time"].tolist()[:3] == [time(f"2025-01-0{d}") for d in (2, 3, 5)]
    assert table["left_time"].isna().tolist() == [False, False, False, True]
    assert table["is_regression"].tolist() == [False, False, True, False]
    assert table["is_reentry"].tolist() == [False, False, True, False]
    assert table["is_detour"].tolist() == [False, False, False, True]


def test_a_stage_without_allowed_followers_listed_lets_any_follow():
    assert not journeys(*days("store complaint", "web order"))["is_detour"].any()


def test_the_first_visit_is_neither_a_return_nor_a_detour():
    table = journeys(*days("store complaint"), "bob 2025-01-01 store complaint", "bob 2025-01-02 web view")
    assert not table[["is_regression", "is_reentry", "is_detour"]].any(axis=None)


def test_events_of_one_moment_and_unknown_order_are_counted():
    log = by_hand.events(
        "ann 2025-01-01 web view",
        "ann 2025-01-01 web buy",  # nothing says which came first
        "ann 2025-01-02 web view",
        "ann 2025-01-02 web view id=again",  # does not matter
        "ann 2025-01-03 web view seq=1",
        "ann 2025-01-03 web buy seq=2",
        "bob 2025-01-03 web view",
    )
    found = list_visits(read_log(log, link_identities(log)), SHOP, time("2025-03-01"))
    assert (found.n_events, found.n_unordered) == (7, 1)


def test_nobody_has_no_journey():
    for table in (journeys(), journeys("ann 2025-03-01 web view")):
        assert schema.to_arrow(table, schema.JOURNEYS).num_rows == 0


@given(log=random_logs.rows(), other=random_logs.rows(), data=st.data())
def test_neither_the_future_nor_the_order_of_rows_changes_a_journey(log, other, data):
    seen = past(log)
    one, two = (random_logs.table(seen + later) for later in (future(log), future(other)))
    two = two.iloc[data.draw(st.permutations(range(len(two))))]
    tables = [build_journeys(t, link_identities(t), SHOP, CUTOFF) for t in (one, two)]
    assert_frame_equal(*(schema.to_arrow(t, schema.JOURNEYS).to_pandas() for t in tables))


@given(log=random_logs.rows(), journey=st.sampled_from([SHOP, ACTIVITIES, BY_VALUE]))
def test_journeys_equal_the_plain_reference(log, journey):
    events = random_logs.table(log)
    table = build_journeys(events, link_identities(events), journey, CUTOFF)
    expected = {}
    for person, history in reference.persons(reference.rows(events, CUTOFF)).items():
        visits = reference.walk([reference.Event(row, row["event_time"]) for row in history], journey)
        for i, visit in enumerate(visits):
            before = visits[i - 1].stage if i else ""
            expected[person, i + 1] = {
                "stage": visit.stage,
                "entered_time": visit.since,
                "left_time": visits[i + 1].since if i + 1 < len(visits) else None,
                "n_events": len(visit.events),
                "is_regression": reference.is_regression(before, visit.stage, journey),
                "is_reentry": visit.stage in [v.stage for v in visits[:i]],
                "is_detour": reference.is_detour(before, visit.stage, journey),
            }
    found = table.set_index(["person_id", "visit"]).astype(object)
    assert found.where(found.notna(), None).to_dict("index") == expected


@given(log=random_logs.rows())
def test_visits_follow_each_other_without_a_gap(log):
    events = random_logs.table(log)
    table = build_journeys(events, link_identities(events), SHOP, CUTOFF + timedelta(days=90))
    assert table["n_events"].sum() == len(events)
    for _, visits in table.groupby("person_id"):
        assert visits["visit"].tolist() == list(range(1, len(visits) + 1))
        assert (visits["stage"].iloc[1:].to_numpy() != visits["stage"].iloc[:-1].to_numpy()).all()
        assert (visits["left_time"].iloc[:-1].to_numpy() == visits["entered_time"].iloc[1:].to_numpy()).all()
        assert pd.isna(visits["left_time"].iloc[-1])

"""Who is who, as of a time."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given

import random_logs
import reference
from by_hand import events, time
from random_logs import CUTOFF, future, past
from waymark import schema
from waymark.errors import InputError
from waymark.eventlog import micro, read_log
from waymark.identity import index_identities, link_identities


def persons(log: pd.DataFrame, at: str | pd.Timestamp, links: pd.DataFrame | None = None) -> dict[str, str]:
    """Return the person of each event as known before a time."""
    identities = index_identities(log, link_identities(log) if links is None else links)
    codes = identities.persons(micro(time(at) if isinstance(at, str) else at))
    return dict(zip(log["event_id"], identities.person_ids[codes], strict=True))


BEFORE = "ann 2024-12-20 store order"
VISIT, LOGIN, LATER = "~phone 2025-01-01 web view", "ann~phone 2025-01-10 web login", "~phone 2025-01-20 web view"
BY_BOB = "bob~phone 2025-02-01 web login"


def test_a_log_in_joins_what_the_device_did_before_and_after():
    assert set(persons(events(VISIT, LOGIN, LATER), "2025-01-25").values()) == {"anonymous:phone"}


def test_a_person_is_called_by_the_oldest_id_and_the_customer_where_two_are_as_old():
    assert set(persons(events(LOGIN, LATER), "2025-01-25").values()) == {"customer:ann"}
    assert set(persons(events(BEFORE, VISIT, LOGIN, LATER), "2025-01-25").values()) == {"customer:ann"}


@pytest.mark.parametrize(
    ("at", "people"),
    [("2025-01-10", {"anonymous:phone", "customer:ann"}), ("2025-01-10T00:00:00.000001", {"customer:ann"})],
)
def test_a_link_counts_only_after_the_moment_it_was_known(at, people):
    assert set(persons(events(BEFORE, VISIT, LOGIN), at).values()) == people


def test_a_log_in_delivered_late_joins_late():
    late = "ann~phone 2025-01-10 web login known=2025-01-15"
    assert persons(events(BEFORE, VISIT, late), "2025-01-12")[VISIT] == "anonymous:phone"
    assert persons(events(BEFORE, VISIT, late), "2025-01-16")[VISIT] == "customer:ann"


def test_a_log_in_known_before_it_happens_joins_when_it_happens():
    booked = "ann~phone 2025-01-10 store appointment known=2025-01-02"
    assert persons(events(BEFORE, VISIT, booked), "2025-01-05")[VISIT] == "anonymous:phone"
    assert persons(events(BEFORE, VISIT, booked), "2025-01-11")[VISIT] == "customer:ann"


def test_a_shared_device_belongs_to_nobody_from_then_on():
    log = events(VISIT, LOGIN, LATER, BY_BOB)
    assert persons(log, "2025-01-30")[LATER] == persons(log, "2025-01-30")[LOGIN] == "anonymous:phone"
    after = persons(log, "2025-02-02")
    assert after[VISIT] == after[LATER] == "anonymous:phone"
    assert after[LOGIN] == "customer:ann"
    assert after[BY_BOB] == "customer:bob"


def test_two_customers_at_one_moment_make_a_device_nobodys():
    together = [line.replace("2025-02-01", "2025-01-10") for line in (LOGIN, BY_BOB)]
    assert persons(events(VISIT, *together), "2025-01-11")[VISIT] == "anonymous:phone"


def test_one_customer_seen_again_does_not_make_a_device_shared():
    """Feeds may each tell of the same link, at times of their own."""
    log = events(VISIT, LOGIN)
    told_once = link_identities(log)
    told_twice = pd.concat([told_once, told_once.assign(known_time=time("2025-01-12"), source="crm")])
    for at in ("2025-01-11", "2025-01-20"):
        assert persons(log, at, told_twice) == persons(log, at, told_once)


def test_links_to_ids_that_no_event_carries_change_nothing():
    log = events(VISIT, LOGIN)
    links = link_identities(log)
    stranger = links.assign(id_a="anonymous:unseen", id_b="customer:unseen")
    assert persons(log, "2025-01-25", pd.concat([links, stranger])) == persons(log, "2025-01-25")


def test_a_customer_and_a_device_of_one_name_are_two_persons():
    assert set(persons(events("ann 2025-01-01 web view", "~ann 2025-01-01 web view"), "2025-02-01").values()) == {
        "customer:ann",
        "anonymous:ann",
    }


def test_links_keep_their_contract_and_tell_when_they_were_first_known():
    again = "ann~phone 2025-01-05 web login known=2025-01-30"
    links = link_identities(events(VISIT, LOGIN, again, BY_BOB))
    assert schema.to_arrow(links, schema.LINKS).num_rows == 2
    assert list(links["known_time"]) == [time("2025-01-10"), time("2025-02-01")]


def test_no_log_in_gives_no_link():
    assert link_identities(events(VISIT, "ann 2025-01-01 web view")).empty
    assert link_identities(events()).empty


@given(log=random_logs.rows())
def test_persons_equal_the_plain_reference(log):
    table = random_logs.table(log)
    for cutoff in (CUTOFF, CUTOFF - timedelta(days=7), CUTOFF + timedelta(days=60)):
        seen = reference.persons(reference.rows(table, cutoff))
        expected = {row["event_id"]: person for person, rows in seen.items() for row in rows}
        found = persons(table, cutoff)
        assert {event: found[event] for event in expected} == expected


@given(log=random_logs.rows(), other=random_logs.rows())
def test_no_link_of_the_future_says_who_somebody_was(log, other):
    seen = past(log)
    one, two = (persons(random_logs.table(seen + events), CUTOFF) for events in (future(log), future(other)))
    ids = [f"e{i:03}" for i in range(len(seen))]
    assert {e: one[e] for e in ids} == {e: two[e] for e in ids}


def test_an_event_without_an_id_is_refused_by_name():
    nobody = events(VISIT).assign(anonymous_id=None)
    with pytest.raises(InputError, match="1 events have neither customer_id nor anonymous_id"):
        read_log(nobody, link_identities(nobody))

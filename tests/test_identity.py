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
from waymark.config import IdentityConfig
from waymark.errors import InputError
from waymark.eventlog import micro, read_log
from waymark.identity import index_identities
from waymark.ledger import link_identities


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


# --- links told, erased and crowded ---------------------------------------------------------------------------------


def told(*lines: str) -> pd.DataFrame:
    """Return rows of `schema.LINKS`; a line is `day kind id_a id_b`."""
    rows = [line.split() for line in lines]
    return pd.DataFrame(
        {
            "id_a": pd.array([r[2] for r in rows], "str"),
            "id_b": pd.array([r[3] for r in rows], "str"),
            "kind": pd.array([r[1] for r in rows], "str"),
            "known_time": pd.to_datetime([r[0] for r in rows], utc=True).astype("datetime64[us, UTC]"),
            "source": pd.array(["crm"] * len(rows), "str"),
            "probability": [float("nan")] * len(rows),
        }
    )


def people(log: pd.DataFrame, at: str, links: pd.DataFrame, **rules: object) -> dict[str, set[str]]:
    """Return the ids of each person, as known before a time."""
    identities = index_identities(log, links, IdentityConfig(**rules))
    found: dict[str, set[str]] = {}
    for name, person in zip(identities.person_ids, identities.people(micro(time(at))), strict=True):
        found.setdefault(identities.person_ids[person], set()).add(name)
    return found


HOUSEHOLD = events(
    "ann 2025-01-01 store order 500",
    "~phone 2025-01-02 web view",
    "~phone 2025-01-03 web view",
    "~tablet 2025-01-03 web view",
    "~laptop 2025-01-04 web view",
    "ann 2025-01-05 store order 700",
    "~tablet 2025-01-06 app view",
    "~laptop 2025-01-07 web view",
    # The later log-in: one evening Ann signs in, and the phone's app tells that the tablet is hers as well.
    "ann~phone 2025-01-20 app login",
    "~phone 2025-01-21 app view",
    "~tablet 2025-01-22 app view",
    "~laptop 2025-01-23 web view",
)
PAIRED = told("2025-01-20 alias anonymous:phone anonymous:tablet")


def test_a_household_is_four_persons_live_two_after_the_log_in_and_three_when_it_is_erased():
    links = link_identities(HOUSEHOLD, PAIRED)
    erased = link_identities(
        HOUSEHOLD, pd.concat([PAIRED, told("2025-01-25 erase anonymous:phone customer:ann")], ignore_index=True)
    )
    ann, phone, tablet, laptop = "customer:ann", "anonymous:phone", "anonymous:tablet", "anonymous:laptop"
    assert len(HOUSEHOLD) == 12
    for ledger in (links, erased):  # what is known later does not change who was who
        assert people(HOUSEHOLD, "2025-01-15", ledger) == {n: {n} for n in (ann, phone, tablet, laptop)}
        assert people(HOUSEHOLD, "2025-01-24", ledger) == {ann: {ann, phone, tablet}, laptop: {laptop}}
    after = {ann: {ann}, phone: {phone, tablet}, laptop: {laptop}}
    assert people(HOUSEHOLD, "2025-01-26", erased) == after
    assert people(HOUSEHOLD, "2025-01-26", links) != after


def test_a_link_told_again_after_its_erasure_counts_again():
    again = events(BEFORE, VISIT, LOGIN, "ann~phone 2025-02-10 web login")
    links = link_identities(again, told("2025-01-25 erase anonymous:phone customer:ann"))
    assert list(links["kind"]) == ["login", "erase", "login"]
    n_persons = [len(people(again, at, links)) for at in ("2025-01-05", "2025-01-20", "2025-02-01", "2025-02-11")]
    assert n_persons == [2, 1, 2, 1]


def owners(log: pd.DataFrame, at: str, links: pd.DataFrame | None = None, **rules: object) -> list[str]:
    """Return the person of each event of a log, as known before a time."""
    found = index_identities(log, link_identities(log, links), IdentityConfig(**rules))
    return [name.split(":")[1] for name in found.person_ids[found.persons(micro(time(at)))]]


def test_a_household_of_log_ins_alone():
    """Two log-ins of one evening link the devices; one of them is erased."""
    evening = events(*HOUSEHOLD["event_id"][:-3], "ann~tablet 2025-01-20T00:01 app login", *HOUSEHOLD["event_id"][-2:])
    erasure = told("2025-01-25 erase anonymous:phone customer:ann")
    assert len(evening) == 12
    n = [
        len(people(evening, at, link_identities(evening, erasure))) for at in ("2025-01-15", "2025-01-24", "2025-01-26")
    ]
    assert n == [4, 2, 3]


@pytest.mark.parametrize(
    "late", ["~phone 2025-01-20 web login known=2025-01-26", "~phone 2025-01-25 app buy known=2025-02-02"]
)
def test_what_happened_before_an_erasure_and_is_told_later_links_nothing(late):
    log, erasure = events(VISIT, LOGIN, f"ann{late}"), told("2025-01-25 erase anonymous:phone customer:ann")
    links = link_identities(log, erasure)
    assert [len(people(log, at, links)) for at in ("2025-01-24", "2025-01-26", "2025-02-03")] == [1, 2, 2]
    others = (BY_BOB.replace("bob", "cat").replace("02-01", "01-11"), BY_BOB.replace("02-01", "01-12"))
    shared = events(VISIT, LOGIN, *others, f"ann{late}", "~phone 2025-02-01 web view")
    assert owners(shared, "2025-02-03", erasure, shared_devices="last_auth")[-1] == "bob"


CORRECTED = (VISIT, "bob~phone 2025-01-10 web login id=7 superseded=2025-01-15")


@pytest.mark.parametrize(
    ("correction", "persons_after"),
    [
        (
            "ann~phone 2025-01-10 web login id=7 known=2025-01-15",
            [{"customer:ann", "anonymous:phone"}, {"customer:bob"}],
        ),
        ("~phone 2025-01-10 web login id=7 known=2025-01-15", [{"anonymous:phone"}, {"customer:bob"}]),
        ("bob~phone 2025-01-10 web order id=7 known=2025-01-15", [{"customer:bob", "anonymous:phone"}]),
    ],
)
def test_a_log_in_that_a_restatement_takes_back_links_no_more(correction, persons_after):
    log = events(*CORRECTED, correction)
    links = link_identities(log)
    assert schema.to_arrow(links, schema.LINKS).num_rows == len(links)
    assert {"anonymous:phone", "customer:bob"} in people(log, "2025-01-15", links).values()
    after = people(log, "2025-01-16", links).values()
    assert sorted(map(sorted, after)) == sorted(map(sorted, persons_after))


def test_a_log_in_taken_back_leaves_what_another_one_or_a_file_says():
    correction = "~phone 2025-01-10 web login id=7 known=2025-01-15"
    earlier = events(*CORRECTED, correction, "bob~phone 2025-01-12 web order id=8 superseded=2025-01-20")
    n = [len(people(earlier, at, link_identities(earlier))) for at in ("2025-01-11", "2025-01-18", "2025-01-21")]
    assert n == [1, 1, 2]
    log, alias = events(*CORRECTED, correction), told("2025-01-02 alias anonymous:phone customer:bob")
    assert len(people(log, "2025-01-30", link_identities(log, alias))) == 1


def test_on_a_shared_device_a_log_in_taken_back_owns_nothing():
    log = events(
        "ann~phone 2025-01-01 web login",
        "cat~phone 2025-01-02 web login",
        "bob~phone 2025-01-03 web login id=7 superseded=2025-01-15",
        "~phone 2025-01-03 web login id=7 known=2025-01-15",
        "~phone 2025-01-04 web view",
    )
    assert [owners(log, at, shared_devices="last_auth")[-1] for at in ("2025-01-14", "2025-01-16")] == ["bob", "cat"]


@pytest.mark.parametrize("actor", ["brand", "system"])
def test_what_others_say_of_two_ids_links_them_but_is_no_log_in(actor):
    log = events(
        "ann~phone 2025-01-01 web login", "bob~phone 2025-01-02 web login",
        f"ann~phone 2025-01-03 mail parcel_sent actor={actor}", "~phone 2025-01-04 web view",
    )  # fmt: skip
    assert list(link_identities(log)["kind"]) == ["login", "login", "mention"]
    assert owners(log, "2025-02-01", shared_devices="last_auth")[-1] == "bob"
    mentioned = events(VISIT, f"ann~phone 2025-01-03 mail parcel_sent actor={actor}")
    assert len(people(mentioned, "2025-02-01", link_identities(mentioned))) == 1


SHARED = events(
    "~kiosk 2025-01-01 web view",
    "ann~kiosk 2025-01-02 web login",
    "~kiosk 2025-01-03 web search",
    "bob~kiosk 2025-01-04 web login",
    "~kiosk 2025-01-05 web order",
    "ann~kiosk 2025-01-06 web login",
    "~kiosk 2025-01-07 web compare",
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("device_split", ["kiosk", "ann", "kiosk", "bob", "kiosk", "ann", "kiosk"]),
        ("last_auth", ["kiosk", "ann", "ann", "bob", "bob", "ann", "ann"]),
        ("none", ["kiosk"] * 7),
    ],
)
def test_a_shared_device_under_each_rule(rule, expected):
    identities = index_identities(SHARED, link_identities(SHARED), IdentityConfig(shared_devices=rule))
    found = identities.person_ids[identities.persons(micro(time("2025-02-01")))]
    assert [name.split(":")[1] for name in found] == expected


def test_the_last_to_log_in_is_the_last_known_then():
    late = events(*SHARED["event_id"][:5], "bob~kiosk 2025-01-02T12:00 web login known=2025-01-30")
    rules = IdentityConfig(shared_devices="last_auth")
    identities = index_identities(late, link_identities(late), rules)
    search = list(late["event_id"]).index("~kiosk 2025-01-03 web search")
    for at, owner in (("2025-01-10", "customer:ann"), ("2025-02-01", "customer:bob")):
        assert identities.person_ids[identities.persons(micro(time(at)))][search] == owner


def test_customers_who_are_one_person_share_a_device_with_nobody():
    links = link_identities(SHARED, told("2025-01-10 alias customer:ann customer:bob"))
    assert len(people(SHARED, "2025-01-09", links)) == 3
    assert len(people(SHARED, "2025-01-11", links)) == 1


def test_two_customers_on_devices_that_are_one_stay_two_persons():
    log = events("ann~phone 2025-01-01 web login", "bob~tablet 2025-01-01 web login")
    links = link_identities(log, told("2025-01-02 alias anonymous:phone anonymous:tablet"))
    assert sorted(map(len, people(log, "2025-01-03", links).values())) == [1, 1, 2]
    assert len(people(log, "2025-01-03", links, shared_devices="none")) == 1


@pytest.mark.parametrize(("n", "n_persons"), [(3, 1), (4, 5)])
def test_a_device_of_too_many_links_nobody_under_any_rule(n, n_persons):
    log = events(*(f"c{i}~kiosk 2025-01-01 web login" for i in range(n)))
    found = people(log, "2025-02-01", link_identities(log), shared_devices="none", max_persons_per_id=3)
    assert len(found) == n_persons


def test_an_address_of_too_many_devices_links_nobody():
    log = events(*(f"~d{i} 2025-01-01 web view" for i in range(4)))
    links = told(*(f"2025-01-02 alias anonymous:address anonymous:d{i}" for i in range(4)))
    assert len(people(log, "2025-02-01", links, max_persons_per_id=4)) == 1
    assert len(people(log, "2025-02-01", links, max_persons_per_id=3)) == 5


def test_an_address_of_many_devices_of_one_person_links_them():
    log = events(*(f"ann~d{i} 2025-01-01 web login" for i in range(5)), "bob 2025-01-01 web view")
    links = link_identities(log, told(*(f"2025-01-02 alias anonymous:address anonymous:d{i}" for i in range(5))))
    assert len(people(log, "2025-02-01", links, max_persons_per_id=2)) == 2


def test_ids_that_no_event_carries_join_those_that_do():
    log = events("ann 2025-01-01 web view", "~phone 2025-01-01 web view")
    links = told("2025-01-02 alias anonymous:mail customer:ann", "2025-01-03 alias anonymous:mail anonymous:phone")
    assert {len(p) for p in people(log, "2025-02-01", links).values()} == {3}


def test_an_anonymous_person_found_to_have_a_customer_is_identified_from_then_on():
    identities = index_identities(events(VISIT, LOGIN), link_identities(events(VISIT, LOGIN)))
    phone = list(identities.person_ids).index("anonymous:phone")
    assert not identities.are_identified(micro(time("2025-01-05")))[phone]
    assert identities.are_identified(micro(time("2025-01-25")))[phone]

"""Lots by which persons are drawn: one for all that somebody ever was, and nothing of what is known later."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import random_logs
from by_hand import events, time
from random_logs import CUTOFF, future, past
from test_store import brand, deliver
from waymark.config import IdentityConfig
from waymark.eventlog import micro
from waymark.features import draw
from waymark.identity import Identities, index_identities
from waymark.ledger import link_identities
from waymark.lots import lots, widest
from waymark.store import landing
from waymark.store.store import Store

KEY = "a key of 16 char"
RULES = st.builds(
    IdentityConfig,
    shared_devices=st.sampled_from(["device_split", "last_auth", "none"]),
    max_persons_per_id=st.sampled_from([2, 3, 20]),
)


def lot_of(identities: Identities, at: pd.Timestamp) -> dict[str, int]:
    return dict(zip(identities.person_ids, lots(identities, micro(at), KEY).tolist(), strict=True))


def identities(log: pd.DataFrame, rules: IdentityConfig | None = None) -> Identities:
    return index_identities(log, link_identities(log), rules)


def test_a_device_has_the_lot_of_whoever_logs_in_on_it_later():
    log = events("~phone 2025-01-01 web view", "ann 2025-01-02 web view", "ann~phone 2025-02-01 web login")
    of = lot_of(identities(log), time("2025-03-01"))
    assert of["anonymous:phone"] == of["customer:ann"]
    before = lot_of(identities(log), time("2025-02-01"))
    assert before["anonymous:phone"] != before["customer:ann"]
    assert before["anonymous:phone"] == of["customer:ann"]  # of the oldest: nothing changed for it


def test_who_shared_a_device_for_a_while_has_one_lot_although_they_are_two_persons():
    log = events(
        *("ann~phone 2025-01-01 web login", "bob 2025-01-01 web view", "bob~phone 2025-02-01 web login"),
        "cid 2025-01-01 web view",
    )
    of = lot_of(identities(log), time("2025-03-01"))
    assert of["customer:ann"] == of["customer:bob"] != of["customer:cid"]


@given(rows=random_logs.rows(), told=random_logs.told(), rules=RULES, days=st.integers(-30, 20))
def test_persons_of_any_two_nights_that_share_an_identifier_share_a_lot(rows, told, rules, days):
    log = random_logs.table(rows)
    known = index_identities(log, link_identities(log, random_logs.told_table(told)), rules)
    as_of = CUTOFF + timedelta(days=days)
    lot = lots(known, micro(as_of), KEY)
    for earlier in (0, 1, 3, 10, 25):
        night = micro(as_of - timedelta(days=earlier))
        np.testing.assert_array_equal(lot[known.people(night)], lot)
        owner, people = known.owners(night)
        happened = (known.events.event_time < night) & (known.events.known_time < night)
        carried = np.where(known.events.customer >= 0, known.events.customer, known.events.anonymous)
        # An event on a shared device may be another's than its own identifier says.
        np.testing.assert_array_equal(lot[people[owner]][happened], lot[carried][happened])


@given(rows=random_logs.rows(), others=random_logs.rows(), rules=RULES)
def test_what_is_known_later_changes_no_lot(rows, others, rules):
    seen = past(rows)
    one, two = (identities(random_logs.table(seen + future(news)), rules) for news in (rows, others))
    before, after = (lot_of(known, CUTOFF) for known in (one, two))
    known = {name for name, since in zip(one.person_ids, one.known_from, strict=True) if since < micro(CUTOFF)}
    assert {name: before[name] for name in known} == {name: after[name] for name in known}


def test_an_id_joins_those_it_was_linked_to_before_it_was_linked_to_too_many_and_no_more():
    rules = IdentityConfig(max_persons_per_id=2)  # more than 20 are too many for good
    lines = [f"c{i:02d}~kiosk 2025-01-{i + 1:02d} web login" for i in range(25)]
    known = identities(events(*lines), rules)
    names = known.person_ids[widest(known, micro(time("2025-03-01")))]
    of = dict(zip(known.person_ids, names, strict=True))
    assert {of[f"customer:c{i:02d}"] for i in range(20)} == {"customer:c00"} == {of["anonymous:kiosk"]}
    assert all(of[f"customer:c{i:02d}"] == f"customer:c{i:02d}" for i in range(20, 25))
    since = dict(zip(known.person_ids, known.hubs_since, strict=True))
    assert since.pop("anonymous:kiosk") == micro(time("2025-01-21"))
    assert set(since.values()) == {np.iinfo(np.int64).max}


def test_a_store_grown_by_nights_draws_whom_a_rebuilt_one_does(tmp_path):
    """The links known first come last: until then others were those that an id with too many joins."""
    source, rules = brand(True, False), IdentityConfig(max_persons_per_id=2)
    event = "{0},2024-01-{1:02},2024-02-{1:02},c{0:02},{2},o1,view,\n"
    rows = [event.format(i, 1 + i % 28, "hub" if i < 60 else f"d{i % 7}") for i in range(90)][::-1]
    needed = {"o.csv": ["c00,z,alias,2024-03-01\n"], "p.csv": ["y,z,alias,2024-03-01\n"]}
    for night in range(3):
        deliver(tmp_path / "landing", {f"e{night}.csv": rows[night * 30 : (night + 1) * 30]} | needed)
        landing.ingest(tmp_path / "landing", source, rules, tmp_path / "grown", 8)
    landing.ingest(tmp_path / "landing", source, rules, tmp_path / "rebuilt", 8)
    landing.ingest(tmp_path / "landing", source, rules, tmp_path / "one", 1)
    found = []
    for name in ("grown", "rebuilt", "one"):
        of: dict[str, int] = {}
        for log in Store(tmp_path / name, rules).logs():
            is_own = ~log.identities.is_foreign
            lot = lots(log.identities, micro(time("2025-01-01")), KEY)
            of |= dict(zip(log.identities.person_ids[is_own], lot[is_own].tolist(), strict=True))
        found.append(of)
    assert len(found[0]) == 90 + 1 + 7 + 2
    assert found[0] == found[1] == found[2]


def test_who_is_drawn_of_fewer_is_drawn_of_more():
    log = events(*(f"c{i} 2025-01-01 web view" for i in range(4000)))
    known, as_of = identities(log), micro(time("2025-02-01"))
    assert draw(known, 0, as_of) is None
    half, quarter = draw(known, 1, as_of), draw(known, 2, as_of)
    assert not (quarter & ~half).any()
    assert half.mean() == pytest.approx(0.5, abs=0.03)
    assert quarter.mean() == pytest.approx(0.25, abs=0.03)

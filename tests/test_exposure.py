"""What hangs on each rule that makes identifiers persons."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import random_logs
from by_hand import SHOP, events, time
from random_logs import CUTOFF
from waymark.config import IdentityConfig
from waymark.eventlog import micro, read_log
from waymark.exposure import SHARED_DEVICES, measure_exposure
from waymark.journeys import build_journeys
from waymark.ledger import link_identities
from waymark.report.people import who_is_who

COUNTS = ("n_persons", "n_events_moved", "n_persons_concerned", "n_stages_changed")

# The kiosk looks and orders; Ann complained in the store before she signed in there, Bob did nothing else.
SHARED = (
    "ann 2025-01-01 store complaint",
    "~kiosk 2025-01-02 web view",
    "ann~kiosk 2025-01-03 web login",
    "~kiosk 2025-01-04 web order 700",
    "bob~kiosk 2025-01-05 web login",
    "~kiosk 2025-01-06 web view",
    "cat 2025-01-06 web view",
)


def exposure(*lines: str, at: str = "2025-02-01", **rules: object) -> dict:
    log = events(*lines)
    return measure_exposure(read_log(log, link_identities(log), IdentityConfig(**rules)), SHOP, micro(time(at)))


def counts(measured: dict) -> dict[str, tuple[int, ...]]:
    """Return the counts of each rule by name, those without a limit under `unlimited`."""
    return {
        "unlimited" if rule["max_persons_per_id"] is None else rule["shared_devices"]: tuple(rule[c] for c in COUNTS)
        for rule in measured["rules"]
    }


def test_what_hangs_on_a_shared_device():
    measured = exposure(*SHARED)
    assert (measured["n_shared_devices"], measured["n_crowded_ids"]) == (1, 0)
    assert counts(measured) == {
        "device_split": (4, 0, 0, 0),
        # Ann has ordered and Bob looks; the latest event of the kiosk is Bob's, at the same stage.
        "last_auth": (4, 2, 3, 2),
        # All are called by Ann's id: what the kiosk and Bob did moves, and she and Bob now look.
        "none": (2, 4, 3, 2),
        "unlimited": (4, 0, 0, 0),
    }


def test_the_rules_in_force_are_what_others_are_compared_with():
    measured = exposure(*SHARED, shared_devices="none")
    assert measured["in_force"] == {"shared_devices": "none", "max_persons_per_id": 20}
    found = counts(measured)
    assert found["none"] == found["unlimited"] == (2, 0, 0, 0)
    assert found["device_split"][:2] == (4, 4)
    assert measured["n_shared_devices"] == 1


def test_an_id_of_too_many_is_counted_and_its_limit_compared():
    log = ("~kiosk 2025-01-01 web view", *(f"c{i}~kiosk 2025-01-02 web login" for i in range(3)))
    measured = exposure(*log, shared_devices="none", max_persons_per_id=2)
    assert measured["n_crowded_ids"] == 1
    assert measured["n_shared_devices"] == 0
    assert counts(measured)["unlimited"] == (1, 3, 4, 3)
    assert exposure(*log, shared_devices="none", max_persons_per_id=3)["n_crowded_ids"] == 0


def test_only_what_is_known_by_then_counts():
    assert exposure(*SHARED, at="2025-01-05")["n_shared_devices"] == 0
    assert exposure(*SHARED, at="2025-01-05T00:00:00.000001")["n_shared_devices"] == 1


def test_without_anonymous_ids_nothing_hangs_on_any_rule():
    measured = exposure("ann 2025-01-01 store order", "bob 2025-01-02 web view")
    assert set(counts(measured).values()) == {(2, 0, 0, 0)}


@given(log=random_logs.rows(), shared=st.sampled_from(SHARED_DEVICES), most=st.sampled_from([2, 3, 20]))
def test_each_rule_counts_what_a_run_under_it_would_give(log, shared, most):
    table = random_logs.table(log)
    links = link_identities(table)
    rules = IdentityConfig(shared_devices=shared, max_persons_per_id=most)
    measured = measure_exposure(read_log(table, links, rules), SHOP, micro(CUTOFF))

    def stages(**changed: object) -> dict[str, str]:
        journeys = build_journeys(table, links, SHOP, CUTOFF, rules.model_copy(update=changed))
        return journeys.drop_duplicates("person_id", keep="last").set_index("person_id")["stage"].to_dict()

    now = stages()
    for rule in measured["rules"]:
        then = stages(shared_devices=rule["shared_devices"], max_persons_per_id=rule["max_persons_per_id"] or 1000)
        assert rule["n_persons"] == len(then)
        if not rule["n_events_moved"]:
            assert then == now
            assert rule["n_persons_concerned"] == rule["n_stages_changed"] == 0
        assert len(now.items() - then.items()) <= rule["n_persons_concerned"]
        assert rule["n_stages_changed"] <= rule["n_persons_concerned"] <= len(now)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_crowded_ids_are_those_whose_links_do_not_count(most):
    """Each kiosk alone, `none` in force: an id of several customers is either crowded or joins them."""
    lines = [f"c{k}{i}~kiosk{k} 2025-01-02 web login" for k in range(1, 6) for i in range(k)]
    measured = exposure(*lines, shared_devices="none", max_persons_per_id=most)
    assert measured["n_crowded_ids"] == 5 - most
    assert counts(measured)["none"][0] == most + sum(range(most + 1, 6))


# --- in the report --------------------------------------------------------------------------------------------------


def said(measured: dict) -> str:
    """Return the text of the section."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", who_is_who(measured))).replace(" .", ".")


def test_the_report_says_what_each_rule_would_change():
    text = said(exposure(*SHARED))
    assert "1 device serves several customers." in text
    assert "device_split in force 4" in text
    assert "last_auth 4 2 28.6% 3 2" in text
    assert "none 2 4 57.1% 3 2" in text
    assert "device_split without max_persons_per_id 4 0 0.0% 0 0" in text
    assert "link nobody" not in text


def test_the_report_says_how_many_ids_are_left_out():
    lines = ("~kiosk 2025-01-01 web view", *(f"c{i}~kiosk 2025-01-02 web login" for i in range(3)))
    text = said(exposure(*lines, max_persons_per_id=2))
    assert "0 devices serve several customers." in text
    assert "1 more, linked to over 2 others, links nobody." in text


def test_the_report_is_short_where_nothing_is_shared():
    text = said(exposure("ann~phone 2025-01-01 web login"))
    assert "No device serves several customers" in text
    assert "in force" not in text

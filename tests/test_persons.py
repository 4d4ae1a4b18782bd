"""The person behind each identifier, and each night's changes of persons."""

from __future__ import annotations

import random
from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import random_logs
from by_hand import events, time
from random_logs import CUTOFF, future, past
from waymark import persons, schema
from waymark.config import IdentityConfig
from waymark.eventlog import micro
from waymark.identity import Identities, index_identities
from waymark.ledger import link_identities
from waymark.persons import list_identifiers, list_person_changes

DAY = timedelta(days=1)
ANN, BOB, PHONE, TABLET = "customer:ann", "customer:bob", "anonymous:phone", "anonymous:tablet"
NIGHTS = ["night", "old_person_id", "new_person_id", "kind"]
RULES = st.builds(
    IdentityConfig,
    shared_devices=st.sampled_from(["device_split", "last_auth", "none"]),
    max_persons_per_id=st.sampled_from([2, 3, 20]),
)


def told(*lines: str) -> pd.DataFrame:
    """Return rows of `schema.LINKS`; a line is `time kind id_a id_b`."""
    rows = [dict(zip(["known_time", "kind", "id_a", "id_b"], line.split(), strict=True)) for line in lines]
    table = pd.DataFrame([row | {"source": "crm", "probability": None} for row in rows], columns=schema.LINKS.columns)
    return table.assign(known_time=[time(text) for text in table["known_time"]]).astype(
        dict.fromkeys(["id_a", "id_b", "kind", "source"], "str")
        | {"known_time": "datetime64[us, UTC]", "probability": "float64"}
    )


def identities(log: pd.DataFrame, *lines: str, rules: IdentityConfig | None = None) -> Identities:
    return index_identities(log, link_identities(log, told(*lines)), rules)


def changes(log: pd.DataFrame, *lines: str, at: str = "2025-03-01", **rules: object) -> list[tuple[str, ...]]:
    """Return (day of the night, old, new, kind) of each change."""
    table = list_person_changes(identities(log, *lines, rules=IdentityConfig(**rules)), micro(time(at))).to_pandas()
    assert schema.to_arrow(table, schema.PERSON_CHANGES).num_rows == len(table)
    days = table["night"].dt.strftime("%m-%d")
    return list(zip(days, *(table[c] for c in NIGHTS[1:]), strict=True))


# --- identifiers ----------------------------------------------------------------------------------------------------

HOUSEHOLD = (
    "ann 2025-01-01 store order",
    "~phone 2025-01-02 web view",
    "bob 2025-01-03 store order",
    "ann~phone 2025-01-10T12:00 app login",
)


def test_an_identifier_has_its_person_of_tonight_and_of_hindsight():
    found = identities(events(*HOUSEHOLD, "~tablet 2025-01-20 web view"))
    table = list_identifiers(found, micro(time("2025-01-10"))).to_pandas()
    assert schema.to_arrow(table, schema.IDENTIFIERS).num_rows == 3  # nobody knew of the tablet
    by_id = table.set_index("id")
    assert by_id["person_id"].to_dict() == {ANN: ANN, BOB: BOB, PHONE: PHONE}
    assert by_id["hindsight_person_id"].to_dict() == {ANN: ANN, BOB: BOB, PHONE: ANN}
    assert by_id.loc[PHONE, "known_from"] == time("2025-01-02")


def test_without_events_nobody_is_known():
    nobody = identities(events())
    assert list_identifiers(nobody, micro(CUTOFF)).to_pandas().empty
    assert schema.to_arrow(list_person_changes(nobody, micro(CUTOFF)).to_pandas(), schema.PERSON_CHANGES).num_rows == 0


# --- changes --------------------------------------------------------------------------------------------------------


def test_a_log_in_merges_on_the_night_that_ends_its_day():
    assert changes(events(*HOUSEHOLD)) == [("01-11", PHONE, ANN, "merge")]
    assert changes(events(*HOUSEHOLD), at="2025-01-10T23:59") == []


@pytest.mark.parametrize(("moment", "night"), [("01-09T23:59:59.999999", "01-10"), ("01-10T00:00", "01-11")])
def test_what_is_known_at_midnight_is_the_next_nights(moment, night):
    log = events(*HOUSEHOLD[:3], f"ann~phone 2025-{moment} app login")
    assert changes(log) == [(night, PHONE, ANN, "merge")]


def test_a_new_identifier_has_no_person_to_change_from():
    assert changes(events("ann 2025-01-01 store order", "ann~phone 2025-01-10T12:00 app login")) == []


def test_a_device_turned_out_to_be_shared_splits():
    log = events(*HOUSEHOLD, "bob~phone 2025-02-01T08:00 app login")
    merged = ("01-11", PHONE, ANN, "merge")
    assert changes(log) == [merged, ("02-02", ANN, PHONE, "split")]
    assert changes(log, shared_devices="none") == [merged, ("02-02", BOB, ANN, "merge")]


def test_a_customer_leaves_a_person_that_is_called_by_the_older_device():
    log = events("~phone 2025-01-01 web view", "ann~phone 2025-01-05 app login", "bob~phone 2025-02-01 app login")
    assert changes(log) == [("02-02", PHONE, ANN, "split")]


def test_an_erasure_parts_and_a_link_told_again_joins():
    lines = ("2025-01-20T10:00 erase anonymous:phone customer:ann", "2025-01-25 alias anonymous:phone customer:ann")
    assert changes(events(*HOUSEHOLD), *lines) == [
        ("01-11", PHONE, ANN, "merge"),
        ("01-21", ANN, PHONE, "erase"),
        ("01-26", PHONE, ANN, "merge"),
    ]


def test_an_erasure_is_not_the_cause_of_another_households_split():
    other = ("cat 2025-01-01 store order", "cat~laptop 2025-01-02 app login", "dan 2025-01-01 store order")
    log = events(*HOUSEHOLD, *other, "dan~laptop 2025-01-20T11:00 app login")
    assert sorted(changes(log, "2025-01-20T10:00 erase anonymous:phone customer:ann"))[1:] == [
        ("01-21", ANN, PHONE, "erase"),
        ("01-21", "customer:cat", "anonymous:laptop", "split"),
    ]


def test_an_erasure_that_gives_a_shared_device_back_merges():
    log = events(*HOUSEHOLD, "bob~phone 2025-02-01T08:00 app login")
    assert changes(log, "2025-02-10T08:00 erase anonymous:phone customer:bob")[-1] == ("02-11", PHONE, ANN, "merge")


def test_a_link_and_its_erasure_on_one_day_change_nothing():
    log = events(*HOUSEHOLD)
    assert changes(log, "2025-01-10T20:00 erase anonymous:phone customer:ann") == []


# The example of docs/identity.md.
FAMILY = (
    "~tablet 2025-01-01 web view",
    "ann 2025-01-02 store order",
    "bob 2025-01-03 store order",
    "ann~tablet 2025-01-10T20:00 web login",
    "~tablet 2025-01-12 web view",
    "bob~tablet 2025-02-01T20:00 web login",
    "~tablet 2025-02-03 web view",
)
FORGET_BOB = "2025-02-10T09:00 erase anonymous:tablet customer:bob"


def test_a_family_and_its_tablet():
    assert changes(events(*FAMILY), FORGET_BOB) == [
        ("01-11", ANN, TABLET, "merge"),
        ("02-02", TABLET, ANN, "split"),
        ("02-11", ANN, TABLET, "merge"),
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("device_split", [TABLET, ANN, BOB, ANN, TABLET, BOB, TABLET]),
        ("last_auth", [TABLET, ANN, BOB, ANN, ANN, BOB, BOB]),
        ("none", [TABLET] * 7),
    ],
)
def test_a_family_and_its_tablet_under_each_rule(rule, expected):
    found = identities(events(*FAMILY), rules=IdentityConfig(shared_devices=rule))
    assert list(found.person_ids[found.persons(micro(time("2025-02-05")))]) == expected


# --- over random logs -----------------------------------------------------------------------------------------------

_IDS = [*(f"anonymous:{d}" for d in ("kiosk", "laptop", "phone", "tablet")), *(f"customer:c{i}" for i in range(4))]


def _told(seed: int, n: int) -> list[str]:
    draw, lines = random.Random(seed), []
    for _ in range(n):
        one, two = sorted(draw.sample(_IDS, 2))
        moment = CUTOFF + timedelta(days=draw.randint(-40, 14), hours=draw.choice([0, 0, 9, 23.99]))
        lines.append(f"{moment.isoformat()} {draw.choice(['alias', 'alias', 'erase'])} {one} {two}")
    return lines


told_lines = st.builds(_told, st.integers(0, 2**32), st.integers(0, 12))


def _is_past(line: str) -> bool:
    return pd.Timestamp(line.split()[0]) < CUTOFF


@given(log=random_logs.rows(), other=random_logs.rows(), lines=told_lines, others=told_lines, rules=RULES)
def test_what_is_known_later_changes_no_row(log, other, lines, others, rules):
    def rows(late: list, late_lines: list[str]) -> pd.DataFrame:
        known = [*filter(_is_past, lines), *(line for line in late_lines if not _is_past(line))]
        found = identities(random_logs.table(past(log) + future(late)), *known, rules=rules)
        return list_person_changes(found, micro(CUTOFF + 30 * DAY)).to_pandas()

    one, two = (table[table["night"] <= CUTOFF] for table in (rows(log, lines), rows(other, others)))
    assert_frame_equal(one, two)


@given(log=random_logs.rows(), lines=told_lines, rules=RULES, together=st.sampled_from([1, 6, 1000]))
def test_changes_are_the_differences_between_nights(log, lines, rules, together):
    """Each night asked in full, instead of what the news touch, however many of those are looked at together."""
    found = identities(random_logs.table(log), *lines, rules=rules)
    names, expected = found.person_ids, set()
    for days in range(-50, 30):
        night = CUTOFF + days * DAY
        before, now = found.people(micro(night - DAY)), found.people(micro(night))
        known = found.known_from < micro(night - DAY)
        expected |= {(night, names[a], names[b]) for a, b in zip(before[known], now[known], strict=True) if a != b}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persons, "_TOGETHER", together)
        table = list_person_changes(found, micro(CUTOFF + 29 * DAY)).to_pandas()
    assert_frame_equal(table, list_person_changes(found, micro(CUTOFF + 29 * DAY)).to_pandas())
    schema.to_arrow(table, schema.PERSON_CHANGES)
    assert set(table[NIGHTS[:3]].itertuples(index=False, name=None)) == expected
    assert set(table["kind"]) <= set(schema.CHANGE_KINDS)


@given(log=random_logs.rows(), lines=told_lines, rules=RULES)
def test_a_merged_person_is_gone_and_others_live_on(log, lines, rules):
    found = identities(random_logs.table(log), *lines, rules=rules)
    codes = {name: code for code, name in enumerate(found.person_ids)}
    for row in list_person_changes(found, micro(CUTOFF + 30 * DAY)).to_pandas().itertuples():
        now = found.people(micro(row.night))
        assert (found.person_ids[now[codes[row.old_person_id]]] == row.new_person_id) == (row.kind == "merge")


@given(log=random_logs.rows(), lines=told_lines, rules=RULES)
def test_without_an_erasure_nothing_is_one(log, lines, rules):
    links = [line for line in lines if " erase " not in line]
    found = identities(random_logs.table(log), *links, rules=rules)
    assert "erase" not in set(list_person_changes(found, micro(CUTOFF + 30 * DAY)).to_pandas()["kind"])

"""What a table must hold to be written."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

import by_hand
from by_hand import time
from waymark import schema
from waymark.schema import ContractError

LINKS = by_hand.link_identities(by_hand.events("ann~phone 2025-01-01 app login", "bob~phone 2025-01-02 app login"))


def refusal(frame: pd.DataFrame, table: schema.Table = schema.LINKS) -> str:
    with pytest.raises(ContractError) as caught:
        schema.to_arrow(frame, table)
    return str(caught.value)


def test_every_broken_promise_is_listed_at_once():
    broken = LINKS.assign(
        known_time=[None, time("2025-01-01")], colour="red", source=[1, "hand"], id_b=["customer:ann"] * 2
    ).drop(columns="kind")
    message = refusal(broken)
    for promise in (
        "links (two identifiers known to be one person from a moment on)",
        "no column kind",
        "unknown column colour",
        "1 nulls in known_time",
        "source is not string",
    ):
        assert promise in message


def test_repeated_keys_are_counted():
    assert "2 repeated keys ('id_a', 'id_b', 'known_time', 'kind')" in refusal(pd.concat([LINKS, LINKS]))


def test_a_key_whose_values_cannot_be_ordered_is_a_broken_promise_too():
    message = refusal(LINKS.assign(id_a=[1, "phone"], colour="red"))
    assert "id_a is not string" in message
    assert "unknown column colour" in message


@pytest.mark.parametrize("ids", [["b", "a", "ä", "Z"], ["b", "a", "b", "Z"]], ids=["told apart by the first", "not"])
def test_rows_come_in_the_order_of_their_key_whatever_tells_them_apart(ids):
    night = pd.Timestamp("2025-01-01", tz="UTC").as_unit("us")
    rows = pd.DataFrame({"id_a": pd.array(ids, "str"), "id_b": pd.array(list("dcba"), "str"), "kind": "alias"})
    rows = rows.assign(known_time=night, source="crm", probability=[0.1, 0.2, 0.3, 0.4])
    found = schema.to_arrow(rows, schema.LINKS).to_pylist()
    assert found == sorted(found, key=lambda row: [row[c] for c in schema.LINKS.key])
    assert sorted(row["probability"] for row in found) == [0.1, 0.2, 0.3, 0.4]


def test_a_time_without_a_zone_is_refused():
    assert "known_time is not timestamp[us, UTC] (no time zone)" in refusal(
        LINKS.assign(known_time=pd.to_datetime(["2025-01-01", "2025-01-02"]).as_unit("us"))
    )


def test_a_time_of_another_zone_is_the_same_moment():
    london = LINKS.assign(known_time=LINKS["known_time"].dt.tz_convert("Europe/London"))
    assert schema.to_arrow(london, schema.LINKS).equals(schema.to_arrow(LINKS, schema.LINKS))


@pytest.mark.parametrize("values", [[0.5, 1.0], ["1", "2"], [2**70, 1]])
def test_what_does_not_fit_a_type_is_refused_not_rounded(values):
    events = by_hand.events("ann 2025-01-01 web view", "bob 2025-01-01 web view")
    assert "sequence is not int64" in refusal(events.assign(sequence=values), schema.EVENTS)


def test_a_family_of_columns_has_one_type():
    events = by_hand.events("ann 2025-01-01 web view attr_plan=gold num_pages=2")
    arrow = schema.to_arrow(events, schema.EVENTS)
    assert arrow.schema.field("attr_plan").type == pa.string()
    assert arrow.schema.field("num_pages").type == pa.float64()
    assert "num_pages is not float64" in refusal(events.assign(num_pages="two"), schema.EVENTS)
    assert "unknown column plan" in refusal(events.rename(columns={"attr_plan": "plan"}), schema.EVENTS)


def test_declared_columns_come_first_and_rows_are_sorted_by_key():
    shuffled = LINKS.iloc[::-1][[*reversed(LINKS.columns)]]
    arrow = schema.to_arrow(shuffled, schema.LINKS)
    assert arrow.column_names == list(schema.LINKS.columns)
    assert arrow["id_b"].to_pylist() == ["customer:ann", "customer:bob"]


@pytest.mark.parametrize(
    "table", [v for v in vars(schema).values() if isinstance(v, schema.Table)], ids=lambda t: t.name
)
def test_every_table_says_what_one_row_is(table):
    assert table.grain
    assert set(table.key) <= set(table.columns)
    assert table.nullable <= set(table.columns) - set(table.key)
    assert all(schema.ARROW[kind] for kind in (*table.columns.values(), *table.families.values()))
    empty = pd.DataFrame({c: pd.Series(dtype=object) for c in table.columns})
    assert schema.to_arrow(empty, table).num_rows == 0


def test_rows_that_are_arrow_already_keep_the_same_promises():
    whole = schema.to_arrow(LINKS, schema.LINKS)
    backwards = whole.take([1, 0]).select(whole.column_names[::-1])
    assert schema.to_arrow(backwards, schema.LINKS).equals(whole)
    for broken, promise in (
        (whole.drop_columns("kind"), "no column kind"),
        (whole.append_column("colour", whole["kind"]), "unknown column colour"),
        (whole.set_column(0, "id_a", pa.array([None, "b"])), "1 nulls in id_a"),
        (whole.set_column(0, "id_a", pa.array([1, 2])), "id_a is not string (int64)"),
        (pa.concat_tables([whole, whole]), "2 repeated keys"),
    ):
        assert promise in refusal(broken)

"""Files that are whole, checked and the same for the same rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
import random_logs
from waymark import schema, tables
from waymark.errors import InputError
from waymark.schema import ContractError

LOG = by_hand.events("ann 2025-01-01 web view 5", "ann~phone 2025-01-02 - login attr_plan=gold num_pages=0.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "events.parquet"


def test_what_is_written_is_read(path):
    assert tables.write(LOG, path, schema.EVENTS) == 2
    assert_frame_equal(tables.read(path), LOG)
    assert_frame_equal(tables.read(path, columns=["num_pages", "event_id"]), LOG[["num_pages", "event_id"]])


@given(log=random_logs.rows(), data=st.data())
def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path_factory, log, data):
    folder = tmp_path_factory.mktemp("tables")
    table = random_logs.table(log)
    shuffled = table.iloc[data.draw(st.permutations(range(len(table))))]
    tables.write(table, folder / "a.parquet", schema.EVENTS)
    tables.write(shuffled, folder / "b.parquet", schema.EVENTS)
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()
    tables.write(tables.read(folder / "a.parquet"), folder / "b.parquet", schema.EVENTS)
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


def test_a_broken_contract_leaves_the_old_file(path):
    tables.write(LOG, path, schema.EVENTS)
    before = path.read_bytes()
    with pytest.raises(ContractError, match="no column event_type"):
        tables.write(LOG.drop(columns="event_type"), path, schema.EVENTS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("first", [True, False])
def test_a_write_that_fails_midway_leaves_the_old_file_or_none(path, first):
    if not first:
        tables.write_text("old", path)
    with pytest.raises(ZeroDivisionError), tables.atomic(path) as temporary:
        temporary.write_text("half of the n")
        _ = 1 / 0
    assert (path.read_text() if path.exists() else None) == (None if first else "old")
    assert [p.name for p in path.parent.iterdir()] == ([] if first else ["events.parquet"])


def test_what_a_killed_run_left_behind_does_not_matter(path):
    tables.write_text("old", path)
    path.with_name(".tmp-events.parquet").write_text("half")
    assert path.read_text() == "old"
    tables.write(LOG, path, schema.EVENTS)
    assert_frame_equal(tables.read(path), LOG)


def test_no_flipped_bit_is_ever_read_as_a_value(path):
    """Wherever it is: in a page, in the names and types of the columns, or in the marks around them."""
    tables.write(LOG, path, schema.EVENTS)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 17):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert_frame_equal(tables.read(path), LOG)
        except InputError as error:
            assert str(path) in str(error)
            assert "is damaged" in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_truncated_file_is_refused(path, left):
    tables.write(LOG, path, schema.EVENTS)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=r"is damaged .*dvc repro"):
        tables.read(path)


def test_a_missing_file_is_named_with_what_makes_it(path):
    for read in (tables.read, tables.read_json):
        with pytest.raises(InputError, match=r"events.parquet does not exist; `dvc repro"):
            read(path)


def test_a_missing_column_is_named_with_the_choices(path):
    tables.write(LOG, path, schema.EVENTS)
    with pytest.raises(InputError, match=r"has no column colour; it has event_id, .*num_pages"):
        tables.read(path, columns=["event_id", "colour"])


def test_json_is_the_same_for_the_same_values(tmp_path):
    tables.write_json({"b": 1, "a": ["é", None, 0.1]}, tmp_path / "a.json")
    tables.write_json({"a": ["é", None, 0.1], "b": 1}, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert tables.read_json(tmp_path / "a.json") == {"a": ["é", None, 0.1], "b": 1}


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b'{"a": "\xff"}'])
def test_json_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match="is not JSON"):
        tables.read_json(tmp_path / "a.json")


def test_a_checksum_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"waymark")
    assert tables.sha256(tmp_path / "a") == hashlib.sha256(b"waymark").hexdigest()


def test_a_new_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "plots"
    for name in ("a", "b"):
        with tables.new_folder(target) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in target.iterdir()] == ["b"]
    with pytest.raises(ZeroDivisionError), tables.new_folder(target) as folder:
        (folder / "c").write_text("half")
        _ = 1 / 0
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["plots"]


def test_what_a_killed_run_left_of_a_folder_does_not_matter(tmp_path):
    for left in (".tmp-plots", ".tmp-old-plots"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "half").write_text("half")
    with tables.new_folder(tmp_path / "plots") as folder:
        (folder / "a").write_text("a")
    with tables.new_folder(tmp_path / "plots") as folder:
        (folder / "b").write_text("b")
    assert [p.name for p in (tmp_path / "plots").iterdir()] == ["b"]


def test_values_without_holes_and_with_holes_read_back_as_they_were(path):
    for value in (5, None):
        log = LOG.assign(value_cents=pd.array([7, value], "Int64"))
        tables.write(log, path, schema.EVENTS)
        assert tables.read(path)["value_cents"].tolist()[0] == 7
        assert tables.read(path)["value_cents"].isna().tolist() == [False, value is None]


@pytest.mark.parametrize("column", ["name", "time"])
def test_a_range_of_a_sorted_table_is_read_without_the_rest(path, column):
    days = pd.date_range("2025-01-01", periods=100, tz="UTC").as_unit("us")
    names = [f"ä{i:03}" for i in range(100)]
    rows = pa.table({"name": names, "time": pa.array(days.tz_convert(None), pa.timestamp("us", "UTC"))})
    tables.write_sorted([rows], rows.schema, 100, path, group_rows=7)
    values = names if column == "name" else (days.asi8).tolist()
    for begin, end in ((0, 100), (20, 21), (6, 7), (7, 14), (99, 100), (50, 50)):
        found = tables.read_between(path, column, values[begin], values[end] if end < 100 else None)
        assert set(names[begin:end]) <= set(found["name"].to_pylist())
        assert len(found) < end - begin + 14
    assert tables.read_between(path, column, None, None).equals(rows)
    after = "ö" if column == "name" else values[-1] + 1
    assert len(tables.read_between(path, column, after, None)) == 0

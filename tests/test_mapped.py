"""Columns of events that are mapped: what was written, or an error, and never another value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from waymark.errors import InputError
from waymark.store import mapped
from waymark.store.segments import MAPPED, Segment, read_segment, take_rows, write_segment

FEW = 5


def rows(n: int) -> pa.Table:
    """Return coded events with a text that is not mapped; ids of events are of several lengths."""
    place = np.arange(n)
    columns = {name: pa.array(place).cast(kind) for name, kind in MAPPED.items()}
    columns["event_id"] = pa.array(["é" * (i % 3) + str(i) for i in place], pa.string())
    return pa.table({"session_id": pa.array([f"s{i}" for i in place], pa.string()), **columns})


@pytest.mark.parametrize("n", [0, 1, FEW])
def test_a_segment_is_read_back_whole_in_columns_and_in_rows(tmp_path: Path, n):
    table = rows(n)
    segment = write_segment(tmp_path, "bucket/2025-01.parquet", table)
    assert read_segment(tmp_path, segment).select(table.column_names).equals(table)
    for columns in (["event_time"], ["session_id"], ["event_id"], ["actor", "session_id", "event_id", "customer"]):
        assert read_segment(tmp_path, segment, columns).equals(table.select(columns))
        for at in (np.arange(0), np.arange(0, n, 2)):
            assert take_rows(tmp_path, segment, at, columns).select(columns).equals(table.select(columns).take(at))


@pytest.mark.parametrize("texts", [["e1", "e2"], ["", ""], ["", "é"], ["x" * 70_000, "y"], ["x" * 300]])
def test_texts_are_read_back_whatever_their_lengths(tmp_path, texts):
    table = pa.table({"id": pa.chunked_array([["a", "bc"], texts]).slice(2)})
    mapped.write_mapped(tmp_path / "ids.columns", {"id": pa.string()}, table)
    assert mapped.read_mapped(tmp_path / "ids.columns", {"id": pa.string()})["id"].to_pylist() == texts


def test_an_event_without_a_time_is_no_event_to_be_mapped(tmp_path):
    without = rows(FEW).set_column(2, "event_time", pa.nulls(FEW, pa.timestamp("us", tz="UTC")))
    with pytest.raises(pa.ArrowInvalid):
        write_segment(tmp_path, "month.parquet", without)


def test_no_flipped_bit_is_ever_read_as_a_value(tmp_path):
    segment = write_segment(tmp_path, "month.parquet", rows(FEW))
    path = tmp_path / segment.mapped
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"month\.columns is missing or damaged \(its \w+ has another checksum\)"):
            read_segment(tmp_path, segment)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"1")])
def test_a_file_that_is_gone_or_cut_off_is_named(tmp_path, damage):
    segment: Segment = write_segment(tmp_path, "month.parquet", rows(FEW))
    damage(tmp_path / segment.mapped)
    with pytest.raises(InputError, match=r"month\.columns is missing or damaged"):
        take_rows(tmp_path, segment, np.arange(1), ["customer"])

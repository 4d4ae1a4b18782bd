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
    columns = {name: pa.array(place).cast(getattr(kind, "kind", kind)) for name, kind in MAPPED.items()}
    columns["value_cents"] = pa.array(place * 100, pa.int64(), mask=place % 3 > 0)
    columns["event_id"] = pa.array(["é" * (i % 3) + str(i) for i in place], pa.string())
    return pa.table({"session_id": pa.array([f"s{i}" for i in place], pa.string()), **columns})


@pytest.mark.parametrize("n", [0, 1, FEW])
def test_a_segment_is_read_back_whole_in_columns_and_in_rows(tmp_path: Path, n):
    table = rows(n)
    segment = write_segment(tmp_path, "bucket/2025-01.parquet", table)
    assert read_segment(tmp_path, segment).select(table.column_names).equals(table)
    for columns in (
        ["event_time"],
        ["session_id"],
        ["event_id"],
        ["value_cents"],
        ["actor", "session_id", "event_id", "customer"],
    ):
        assert read_segment(tmp_path, segment, columns).equals(table.select(columns))
        for at in (np.arange(0), np.arange(0, n, 2)):
            assert take_rows(tmp_path, segment, at, columns).select(columns).equals(table.select(columns).take(at))


@pytest.mark.parametrize(
    "texts", [["e1", "e2"], ["", ""], ["", "é"], ["é", "", "yz", "e", ""], ["x" * 70_000, "y"], ["x" * 300]]
)
def test_texts_are_read_back_whatever_their_lengths(tmp_path, texts):
    table = pa.table({"id": pa.chunked_array([["a", "bc"], texts], pa.string()).slice(2)})
    mapped.write_mapped(tmp_path / "ids.columns", {"id": pa.string()}, table)
    assert mapped.read_mapped(tmp_path / "ids.columns", {"id": pa.string()})["id"].to_pylist() == texts
    for at in ([], [*range(len(texts))][-1:], [*range(len(texts))]):
        few = mapped.read_mapped(tmp_path / "ids.columns", {"id": pa.string()}, at=np.array(at, np.int64))["id"]
        assert few.to_pylist() == [texts[i] for i in at]


@pytest.mark.parametrize("values", [[], [None], [None, 7, None, -(2**40)], [1, 2, 3]])
def test_what_mostly_holds_nothing_is_read_back_whole_and_in_rows(tmp_path, values):
    path, kinds = tmp_path / "n.columns", {"n": mapped.Sparse(pa.int64())}
    mapped.write_mapped(path, kinds, pa.table({"n": pa.array(values, pa.int64())}))
    assert mapped.read_mapped(path, kinds)["n"].equals(pa.array(values, pa.int64()))
    for at in ([], [*range(len(values))][-1:], [*range(len(values))][::2]):
        few = mapped.read_mapped(path, kinds, at=np.array(at, np.int64))["n"]
        assert few.equals(pa.array([values[i] for i in at], pa.int64()))


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64()])
def test_integers_take_as_few_bytes_as_the_largest_needs_and_are_read_back(tmp_path, kind):
    path, widest = tmp_path / "n.columns", np.iinfo(kind.to_pandas_dtype())
    cases = {
        1: [-128, 127, 0],
        2: [-129, 0, 1],
        4: [32_768, 0, 1],
        8: [2**31, 0, 1],
        kind.bit_width // 8: [widest.min, 0, widest.max],
    }
    for n_bytes, numbers in cases.items():
        if n_bytes * 8 <= kind.bit_width:
            mapped.write_mapped(path, {"n": kind}, pa.table({"n": pa.array(numbers, kind)}))
            found = mapped.read_mapped(path, {"n": kind})["n"]
            assert (found.type, found.to_pylist()) == (kind, numbers)
            assert path.stat().st_size == 32 + -(-3 * n_bytes // 8) * 8  # a head, and parts filled up to 64 bits


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

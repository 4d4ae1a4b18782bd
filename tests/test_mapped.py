"""Columns that are mapped: what was written, or an error, and never another value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from waymark.errors import InputError
from waymark.kernels.checks import checksum
from waymark.store.mapped import Mapped, write_mapped
from waymark.store.segments import Segment, read_segment, take_rows, take_together, write_segment

FEW = 5
TIME = pa.timestamp("us", tz="UTC")
KINDS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float64(), TIME)  # of numbers


def rows(n: int) -> pa.Table:
    """Return rows in which there is a column of each kind, and of each way to write one."""
    place = np.arange(n)
    columns = {f"of_{i}": pa.array(place % 128).cast(kind) for i, kind in enumerate(KINDS)}
    columns["is_first"] = pa.array(place % 2 == 0)
    columns["value_cents"] = pa.array(place * 100, pa.int64(), mask=place % 3 > 0)
    columns["superseded_time"] = pa.array(place * 10**15, pa.int64(), mask=place != 1).cast(TIME)
    columns["num_weight"] = pa.array(place / 7, mask=place % 2 == 1)
    columns["event_id"] = pa.array(["é" * (i % 3) + str(i) for i in place], pa.string())
    columns["note"] = pa.array([None if i % 2 else "x" * i for i in place], pa.string())
    columns["session_id"] = pa.array([None if i == 1 else f"s{i // 2}" for i in place], pa.string())
    columns["session"] = pa.array(place // 2 * 2**40)
    columns["sequence"] = np.zeros(n, np.int64)
    columns["probability"] = np.full(n, np.nan)
    columns["none"], columns["no_text"] = pa.nulls(n, pa.int16()), pa.nulls(n, pa.string())
    return pa.table(columns)


def same(found: pa.Table, wanted: pa.Table) -> bool:
    """Say whether two tables are equal, no number included."""
    assert (found.schema, found.num_rows) == (wanted.schema, wanted.num_rows)
    return all(str(found[c].to_pylist()) == str(wanted[c].to_pylist()) for c in wanted.column_names)


@pytest.mark.parametrize("n", [0, 1, FEW, 100])
def test_a_segment_is_read_back_whole_in_columns_and_in_rows(tmp_path: Path, n):
    table = rows(n)
    segment = write_segment(tmp_path, "bucket/2025-01", table)
    assert same(read_segment(tmp_path, segment), table)
    for columns in ([name] for name in table.column_names):
        assert same(read_segment(tmp_path, segment, columns), table.select(columns))
        for at in (np.arange(0), np.arange(0, n, 2), np.arange(max(n - 1, 0), n), np.arange(n)):
            assert same(take_rows(tmp_path, segment, at, columns), table.select(columns).take(at))


@pytest.mark.parametrize("n", [0, 1, FEW, 100])
def test_a_part_of_a_table_is_written_as_that_part(tmp_path, n):
    table = pa.concat_tables([rows(n), rows(n)]).slice(n // 2, n)
    write_mapped(tmp_path / "a.columns", table)
    assert same(Mapped(tmp_path / "a.columns").table(), table)


@pytest.mark.parametrize("repeated", [(), ("n",)])
def test_a_number_that_all_rows_have_takes_no_room(tmp_path, repeated):
    for name, numbers in (("one", [-1] * 1000), ("two", [-1] * 999 + [7])):
        write_mapped(tmp_path / name, pa.table({"n": pa.array(numbers, pa.int64())}), repeated)
        assert Mapped(tmp_path / name).numbers("n", np.array([0, 999])).tolist() == [-1, numbers[-1]]
    assert Mapped(tmp_path / "one").only("n", 0) == -1
    assert Mapped(tmp_path / "two").only("n", 0) is None
    assert (tmp_path / "one").stat().st_size < 100 < (tmp_path / "two").stat().st_size


@pytest.mark.parametrize(
    "texts", [["e1", "e2"], ["", ""], ["", "é"], ["é", "", "yz", "e", ""], ["x" * 70_000, "y"], ["x" * 300]]
)
@pytest.mark.parametrize("repeated", [(), ("id",)])
def test_texts_are_read_back_whatever_their_lengths(tmp_path, texts, repeated):
    table = pa.table({"id": pa.chunked_array([["a", "bc"], texts], pa.string()).slice(2)})
    write_mapped(tmp_path / "ids.columns", table, repeated)
    file = Mapped(tmp_path / "ids.columns")
    assert file.table()["id"].to_pylist() == texts
    for at in ([], [*range(len(texts))][-1:], [*range(len(texts))]):
        assert file.table(at=np.array(at, np.int64))["id"].to_pylist() == [texts[i] for i in at]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64()])
def test_integers_take_as_few_bytes_as_the_largest_needs(tmp_path, kind):
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
            write_mapped(path, pa.table({"n": pa.array(numbers * 100, kind)}))
            assert Mapped(path).table()["n"].equals(pa.chunked_array([pa.array(numbers * 100, kind)]))
            assert 0 <= path.stat().st_size - 300 * n_bytes < 150  # a head, and parts filled up to 64 bits


def test_what_all_rows_share_takes_no_bytes(tmp_path):
    path = tmp_path / "n.columns"
    for n in (10, 10_000):
        write_mapped(path, rows(n).select(["sequence", "probability", "none", "no_text"]))
        assert path.stat().st_size < 300
    file = Mapped(path)
    assert [file.only(c, -7) for c in ("sequence", "none", "not there")] == [0, -7, -7]
    assert np.isnan(file.only("probability", -7))
    write_mapped(path, rows(10))
    assert Mapped(path).only("value_cents", -7) is None


def test_rows_of_several_files_lie_below_each_other_whatever_each_holds(tmp_path):
    parts = [rows(FEW), rows(1), rows(100), rows(FEW).append_column("attr_a", pa.array([*range(FEW)], pa.int32()))]
    at = [np.array(places, np.int64) for places in ([1, 3], [0], [0, 1, 64, 99], [4])]
    for i, part in enumerate(parts):
        write_mapped(tmp_path / f"{i}.columns", part, ("session", "session_id"))
    files = [Mapped(tmp_path / f"{i}.columns") for i in range(4)]
    for n in (1, 3):
        wanted = pa.concat_tables(part.take(places) for part, places in zip(parts[:n], at, strict=False))
        assert same(take_together([*zip(files[:n], at, strict=False)]), wanted)
    assert take_together([*zip(files, at, strict=True)])["attr_a"].to_pylist() == [-1] * 7 + [4]
    assert take_together([]).num_rows == 0


def test_no_flipped_bit_is_ever_read_as_a_value(tmp_path):
    segment = write_segment(tmp_path, "month", rows(FEW))
    path = tmp_path / segment.file
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"month\.columns is missing or damaged \(its \w+ has another checksum\)"):
            read_segment(tmp_path, segment)


def test_a_checksum_tells_where_words_were_changed_swapped_or_cut_off():
    words = np.random.default_rng(3).integers(0, 2**63, 23).astype(np.uint64)
    seen = {int(checksum(words))}
    for i in range(len(words)):
        for bit in range(64):
            other = words.copy()
            other[i] ^= np.uint64(1 << bit)
            other[(i + 4) % 23] ^= np.uint64(1 << bit)
            seen |= {int(checksum(other)), int(checksum(np.roll(words, i)))}
        seen.add(int(checksum(words[:i])))
    seen |= {int(checksum(np.append(words, np.zeros(n, np.uint64)))) for n in range(1, 9)}
    assert len(seen) == 23 * 64 + 23 + 23 + 8  # the first roll is none


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"1")])
def test_a_file_that_is_gone_or_cut_off_is_named(tmp_path, damage):
    segment: Segment = write_segment(tmp_path, "month", rows(FEW))
    damage(tmp_path / segment.file)
    with pytest.raises(InputError, match=r"month\.columns is missing or damaged"):
        take_rows(tmp_path, segment, np.arange(1), ["of_1"])


def test_a_file_of_another_length_is_none_of_this_segment(tmp_path):
    segment = write_segment(tmp_path, "month", rows(FEW))
    write_segment(tmp_path, "month", rows(FEW + 1))
    with pytest.raises(InputError, match="it holds 6 rows, not 5"):
        read_segment(tmp_path, segment)


def test_a_code_of_a_repeated_text_that_no_text_has_is_damage_where_few_rows_are_asked_for(tmp_path):
    path, n = tmp_path / "x.columns", 100_000
    write_mapped(path, pa.table({"session_id": [f"s{i // 2}" for i in range(n)]}), ("session_id",))
    said = path.read_bytes()
    begin = 16 + int.from_bytes(said[:8], "little")
    damaged = bytearray(said)
    damaged[begin + 10 * 4 + 3] = 0x7F  # the high byte of the 11th code, which is of four
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"x\.columns is missing or damaged"):
        Mapped(path).table(at=np.array([3, 10, 12]), are_checked=False)
    assert Mapped(path).table(at=np.array([3, 12]), are_checked=False)["session_id"].to_pylist() == ["s1", "s6"]

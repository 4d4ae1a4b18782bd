"""Segments give back the rows that were written, whether all are read or a few."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from waymark.config import IdentityConfig, SourceConfig, check
from waymark.store import segments
from waymark.store.compaction import MOST_NEWS
from waymark.store.landing import ingest
from waymark.store.segments import bury, dead_of, dead_positions, live_rows, take_rows, write_segment
from waymark.store.store import Store

N = 1000


@pytest.fixture
def rows(monkeypatch) -> pa.Table:
    monkeypatch.setattr(segments, "ROW_GROUP", 300)
    draw = np.random.default_rng(1)
    number, is_there = draw.integers(0, 9, N), draw.random(N) < 0.5
    return pa.table(
        {
            "key": draw.integers(0, 2**63, N).astype(np.uint64),
            "event_id": pa.array([f"e{'x' * (i % 7)}{i}" if i % 5 else "" for i in range(N)]),
            "event_time": pa.array(draw.integers(0, 2**50, N), pa.timestamp("us", "UTC")),
            "superseded_time": pa.nulls(N, pa.timestamp("us", "UTC")),
            "is_first": np.ones(N, bool),
            "is_odd": number % 2 == 1,
            "sequence": np.zeros(N, np.int64),
            "source": np.full(N, -1, np.int16),
            "event_type": number.astype(np.int16),
            "actor": np.where(np.arange(N) < 300, 1, number % 3).astype(np.int8),  # of one value in one row group alone
            "customer": draw.integers(-1, 50, N).astype(np.int32),
            "session_id": pa.array([f"s{n}" if there else None for n, there in zip(number, is_there, strict=True)]),
            "value_cents": pa.array(number, mask=is_there),
            "num_weight": pa.array(draw.random(N), mask=~is_there),
            "num_none": pa.nulls(N, pa.float64()),
        }
    )


@pytest.mark.parametrize("at", [[], [0], [5, 299, 300, 301, 899, 999], range(300), range(N)])
@pytest.mark.parametrize("is_mapped", [True, False])
def test_a_few_rows_of_a_segment_are_those_of_the_table_written(tmp_path, rows, at, is_mapped):
    segment, positions = write_segment(tmp_path, "b/one", rows, is_mapped=is_mapped), np.array(at, np.int64)
    assert live_rows(tmp_path, segment).equals(rows)
    wanted = rows.take(pa.array(positions))
    assert take_rows(tmp_path, segment, positions).equals(wanted)
    some = ["event_id", "event_time", "is_first", "value_cents"]
    assert take_rows(tmp_path, segment, positions, some).equals(wanted.select(some))


def test_the_dead_of_all_segments_of_a_bucket_lie_in_one_file_a_night(tmp_path, rows):
    written = [write_segment(tmp_path, f"b/{i}", rows.slice(i * 100, 100)) for i in range(4)]
    first = bury(tmp_path, written, {1: np.array([3, 7]), 3: np.array([99])}, "b/dead-1")
    second = bury(tmp_path, first, {0: np.array([5]), 1: np.array([4, 7])}, "b/dead-2")
    assert [s.n_dead for s in second] == [1, 3, 0, 1]
    assert [d.tolist() for d in dead_of(tmp_path, second)] == [[5], [3, 4, 7], [], [99]]
    assert {s.dead for s in second} == {"", "b/dead-2.columns"}
    assert live_rows(tmp_path, second[1]).equals(rows.slice(100, 100).take(pa.array([*range(3), 5, 6, *range(8, 100)])))
    assert dead_positions(tmp_path, first[1]).tolist() == [3, 7]  # what another night wrote is as it was


@pytest.mark.slow
def test_no_night_puts_many_buckets_in_order(tmp_path):
    columns = ("event_id", "event_time", "known_time", "anonymous_id", "customer_id", "event_type")
    feed = {"files": ["*.csv"], "columns": {column: column for column in columns}}
    source = check(SourceConfig, {"name": "brand", "feeds": {"shop": feed}}, "source")
    (tmp_path / "landing").mkdir()
    seen, n_written = set(), []
    for night in range(18):
        numbers = range(2000) if night == 0 else range(2000 + night * 80, 2080 + night * 80)
        lines = [f"{i},2024-01-0{i % 9 + 1},2024-02-01,d{i * 7919 % 500},,view\n" for i in numbers]
        (tmp_path / f"landing/{night:02d}.csv").write_text("".join([",".join(columns) + "\n", *lines]))
        buckets = ingest(tmp_path / "landing", source, IdentityConfig(), tmp_path / "store", 8).buckets
        assert max(len(b.events) for b in buckets) <= 1 + MOST_NEWS
        months = {s.file for b in buckets for s in b.events if s.period}
        n_written.append(len(months - seen))
        seen |= months
    assert n_written == [8, 0, *[1] * 16]  # from the second night with news on, one a night
    assert Store(tmp_path / "store").events()["event_id"].nunique() == 2000 + 17 * 80

"""Segments: immutable files of coded rows, and the positions in them that no longer count.

A segment is written once, under a name that no earlier one had; what a night changes is a new segment, and a new list
of the positions that it took out of older ones. Nothing is in force before the manifest names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymark.store import mapped
from waymark.store.hashes import Ordered

ROW_GROUP = 131_072
_FEW = 8  # a row of so many, or fewer, is taken by itself
_REPEATED = ("session", "session_id")  # what a visit's events share
# They hardly repeat, but in their first bytes: those of all rows are put side by side.
_ALIKE = {"known_time", "line"}


@dataclass(frozen=True)
class Segment:
    """Some rows of a folder of the store: coded ones in a file that is mapped, delivered ones in a Parquet file."""

    file: str  # below the store
    n_rows: int
    period: str = ""  # the month of its events, such as 2025-01; none for what came in since
    dead: str = ""  # the file of the positions that no longer count, of all segments of a bucket; none where all do
    n_dead: int = 0
    dead_from: int = 0  # the place in that file where its own begin

    @property
    def is_mapped(self) -> bool:
        """Whether its rows are coded."""
        return self.file.endswith(mapped.SUFFIX)

    def may_hold(self, begin: int, end: int) -> bool:
        """Say whether events of a half-open range of time (microseconds) may be among its rows."""
        month = np.datetime64(self.period or 0, "M")
        first, last = (int(m.astype("datetime64[us]").astype(np.int64)) for m in (month, month + 1))
        return not self.period or (begin < last and first < end)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Segment:
        """Read back what `to_json` returned."""
        return cls(**values)


def write_segment(root: Path, stem: str, table: pa.Table, period: str = "", *, is_mapped: bool = True) -> Segment:
    """Write `table` as a new segment; readers meet it only once a manifest names it.

    Delivered rows are not mapped: they are read hardly ever, and small as Parquet.
    """
    path = root / f"{stem}{mapped.SUFFIX if is_mapped else '.parquet'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_mapped:
        mapped.write_mapped(path, table, _REPEATED)
    else:
        texts = {f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)}
        pq.write_table(
            table,
            path,
            compression={name: "zstd" if name in texts else "lz4" for name in table.column_names},
            use_dictionary=[*({"session_id"} & texts)],
            use_byte_stream_split=[name for name in table.column_names if name in _ALIKE],
            write_page_checksum=True,
            row_group_size=ROW_GROUP,
        )
    return Segment(path.relative_to(root).as_posix(), table.num_rows, period)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file of the store; whatever is wrong with it, then or on reading, is an `InputError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=True) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise mapped.damaged(path, error) from None


def open_segment(root: Path, segment: Segment) -> mapped.Mapped:
    """Open the file of a segment that is mapped."""
    file = mapped.Mapped(root / segment.file)
    if file.n_rows != segment.n_rows:
        raise mapped.damaged(file.path, f"it holds {file.n_rows:,} rows, not {segment.n_rows:,}")
    return file


def read_segment(
    root: Path, segment: Segment, columns: Sequence[str] | None = None, *, are_checked: bool = True
) -> pa.Table:
    """Return the rows of a segment, dead ones included, or some columns of them; see `mapped.Mapped`."""
    if segment.is_mapped:
        return open_segment(root, segment).table(columns, are_checked=are_checked)
    with opened(root / segment.file) as file:
        table = file.read(columns, use_threads=False)
        if table.num_rows != segment.n_rows:
            raise OSError(f"it holds {table.num_rows:,} rows, not {segment.n_rows:,}")
    return table


def is_sparse(positions: np.ndarray, n_rows: int) -> bool:
    """Say whether `positions` are so few of a segment's that to check its columns would cost more than all else.

    Damage then stops the next walk, which reads all of them.
    """
    return len(positions) * _FEW <= n_rows


def take_rows(root: Path, segment: Segment, positions: np.ndarray, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows at `positions` (ascending), or some columns of them; see `is_sparse`."""
    if segment.is_mapped:
        file = open_segment(root, segment)
        return file.table(columns, positions, are_checked=not is_sparse(positions, segment.n_rows))
    with opened(root / segment.file) as file:
        group = positions // ROW_GROUP  # those that hold none are not read
        parts = [
            file.read_row_group(int(g), columns, use_threads=False).take(
                pa.array(positions[group == g] - g * ROW_GROUP)
            )
            for g in np.unique(group)
        ]
        return pa.concat_tables([*parts, file.schema_arrow.empty_table().select(columns or file.schema_arrow.names)])


def take_together(asked: Sequence[tuple[mapped.Mapped, np.ndarray]]) -> pa.Table:
    """Return the rows at some positions (ascending) of each of several files, below each other."""
    if not asked:
        return pa.table({})
    names = asked[0][0].names
    if all(file.names == names for file, _ in asked):
        return mapped.together(asked, names, are_checked=False)
    return coded_together(file.table(at=at, are_checked=False) for file, at in asked)


def dead_positions(root: Path, segment: Segment) -> np.ndarray:
    """Return the positions of the rows that no longer count, ascending."""
    return dead_of(root, [segment])[0]


def dead_of(root: Path, segments: Iterable[Segment]) -> list[np.ndarray]:
    """Return, for each of some segments, the positions of the rows that no longer count, ascending."""
    found, read = [], {"": np.zeros(0, np.int64)}
    for s in segments:
        if s.dead not in read:
            read[s.dead] = mapped.Mapped(root / s.dead).numbers("position").astype(np.int64)
        found.append(read[s.dead][s.dead_from :][: s.n_dead])
    return found


def live_rows(root: Path, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a segment that count, or some columns of them."""
    table = read_segment(root, segment, columns)
    dead = dead_positions(root, segment)
    return table.take(pa.array(np.delete(np.arange(segment.n_rows), dead))) if len(dead) else table


def bury(root: Path, segments: Sequence[Segment], gone: Mapping[int, np.ndarray], stem: str) -> list[Segment]:
    """Return `segments` with the rows at the positions `gone[i]` of the i-th dead as well.

    A new file lists all that are: one file, because a night takes a few rows out of each month of each bucket.
    """
    dead = [np.union1d(d, gone[i]) if i in gone else d for i, d in enumerate(dead_of(root, segments))]
    ends = np.cumsum([0, *map(len, dead)]).tolist()
    table = pa.table({"position": np.concatenate(dead).astype(np.int32)})
    [file] = mapped.write_beside(root, (), stem, table)
    return [
        replace(s, dead=file, n_dead=len(d), dead_from=begin) if len(d) else s
        for s, d, begin in zip(segments, dead, ends, strict=False)
    ]


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Put tables below each other; a column that one lacks is null there. Without any, there are no columns."""
    found = [t for t in tables if t.num_rows]
    return pa.concat_tables(found, promote_options="default") if found else pa.table({})


def coded_together(tables: Iterable[pa.Table]) -> pa.Table:
    """Put coded rows below each other; where one lacks an attribute there is none, and of no number none."""
    rows = together(tables)
    for i, name in enumerate(rows.column_names):
        if name.startswith("attr_") and rows[name].null_count:
            rows = rows.set_column(i, name, rows[name].fill_null(-1))
    return rows


def files_of(segments: Iterable[Segment]) -> set[str]:
    """Return the names of all files of some segments."""
    return {name for s in segments for name in (s.file, s.dead) if name}


def find_keys(root: Path, segment: Segment, wanted: Ordered, column: str = "key") -> tuple[np.ndarray, np.ndarray]:
    """Return the positions, ascending, of the rows that count and whose key is wanted, and their keys."""
    keys = read_segment(root, segment, [column])[column].to_numpy()
    at = wanted.positions_in(keys)
    if len(at):
        at = np.setdiff1d(at, dead_positions(root, segment), assume_unique=True)
    return at, keys[at]

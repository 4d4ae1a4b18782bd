"""Segments: immutable files of coded rows, and the positions in them that no longer count.

A segment is written once, under a name that no earlier one had; what a night changes is a new segment, and a new list
of the positions that it took out of older ones. Nothing is in force before the manifest names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymark.errors import InputError
from waymark.store import mapped
from waymark.store.hashes import Ordered

ROW_GROUP = 131_072
MAPPED = {
    "key": pa.uint64(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "known_time": pa.timestamp("us", tz="UTC"),
    "customer": pa.int32(),
    "anonymous": pa.int32(),
    "event_type": pa.int16(),
    "channel": pa.int16(),
    "actor": pa.int8(),
    "file": pa.int32(),
    "line": pa.int64(),
    "event_id": pa.string(),
    "value_cents": mapped.Sparse(pa.int64()),
}
# Codes and times are read again and again, texts hardly ever: the former are quick to unpack, the latter small.
_QUICK, _SMALL = "lz4", "zstd"
# They hardly repeat, but in their first bytes: those of all rows are put side by side.
_ALIKE = {"known_time", "line", "one", "two"}
_FEW = 8  # a row of so many, or fewer, is taken by itself
_LITTLE = 512  # bytes: a packed column that holds but one value takes no more, and a byte every sixteen rows


@dataclass(frozen=True)
class Segment:
    """Some rows of a folder of the store: a Parquet file, and of events the columns that are mapped in another."""

    file: str  # below the store
    n_rows: int
    period: str = ""  # the month of its events, such as 2025-01; none for what came in since
    dead: str = ""  # the file of the positions that no longer count, of all segments of a bucket; none where all do
    n_dead: int = 0
    dead_from: int = 0  # the place in that file where its own begin
    mapped: str = ""  # the file of the columns `MAPPED`, if it has those
    known: tuple[int, int] = (0, 0)  # the least and the greatest known_time among its rows, microseconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Segment:
        """Read back what `to_json` returned."""
        return cls(**{**values, "known": tuple(values["known"])})


def write_segment(root: Path, file: str, table: pa.Table, period: str = "") -> Segment:
    """Write `table` as a new segment; readers meet it only once a manifest names it."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    known = table["known_time"].to_numpy() if table.num_rows and "known_time" in table.column_names else np.zeros(1)
    span, beside = (int(known.astype(np.int64).min()), int(known.astype(np.int64).max())), ""
    if set(table.column_names) >= MAPPED.keys():
        beside = Path(file).with_suffix(mapped.SUFFIX).as_posix()
        mapped.write_mapped(root / beside, MAPPED, table)
        table = table.select([name for name in table.column_names if name not in MAPPED])
    texts = {f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)}
    alike = [name for name in table.column_names if name in _ALIKE]
    codes = [f.name for f in table.schema if pa.types.is_integer(f.type) and f.type.bit_width < 64]
    pq.write_table(
        table,
        path,
        compression={name: _SMALL if name in texts else _QUICK for name in table.column_names},
        use_dictionary=[*(name for name in codes if name not in alike), *({"session_id"} & texts)],
        use_byte_stream_split=alike,
        write_page_checksum=True,
        row_group_size=ROW_GROUP,
    )
    return Segment(file, table.num_rows, period, mapped=beside, known=span)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file of the store; whatever is wrong with it, then or on reading, is an `InputError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=True) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def read_file(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what a file of the store holds, or some columns of it."""
    with opened(path) as file:
        return file.read(columns, use_threads=False)


def read_segment(
    root: Path, segment: Segment, columns: Sequence[str] | None = None, *, are_checked: bool = True
) -> pa.Table:
    """Return the rows of a segment, dead ones included, or some columns of them; see `mapped.read_mapped`."""
    found = read_mapped(root, segment, MAPPED if columns is None else columns, are_checked=are_checked)
    if columns is None or len(found) < len(columns):
        with opened(root / segment.file) as file:
            rest = file.read(None if columns is None else [c for c in columns if c not in found], use_threads=False)
            if rest.num_rows != segment.n_rows:
                raise OSError(f"it holds {rest.num_rows:,} rows, not {segment.n_rows:,}")
        found |= dict(zip(rest.column_names, rest.columns, strict=True))
    return pa.table(found).select(columns or list(found))


def read_mapped(
    root: Path,
    segment: Segment,
    columns: Collection[str],
    at: np.ndarray | None = None,
    *,
    are_checked: bool = True,
) -> dict[str, pa.Array]:
    """Return those of some columns of a segment that are mapped; see `mapped.read_mapped`."""
    if not segment.mapped:
        return {}
    found = read_mapped_file(root, segment.mapped, MAPPED, columns, at, are_checked=are_checked)
    n_rows = segment.n_rows if at is None else len(at)
    if any(len(column) != n_rows for column in found.values()):
        raise damaged(root / segment.mapped, f"it does not hold {segment.n_rows:,} rows")
    return found


def read_mapped_file(
    root: Path,
    file: str,
    kinds: mapped.Kinds,
    columns: Collection[str] | None = None,
    at: np.ndarray | None = None,
    *,
    are_checked: bool = True,
) -> dict[str, pa.Array]:
    """Return what `mapped.read_mapped` does of a file of the store; whatever is wrong with it is an `InputError`."""
    try:
        return mapped.read_mapped(root / file, kinds, columns, at, are_checked=are_checked)
    except OSError as error:
        raise damaged(root / file, error) from None


def is_sparse(positions: np.ndarray, segment: Segment) -> bool:
    """Say whether `positions` are so few of a segment's that to check its mapped columns would cost more than all else.

    Damage then stops the next walk, which reads all of them.
    """
    return len(positions) * _FEW <= segment.n_rows


def take_rows(root: Path, segment: Segment, positions: np.ndarray, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows at `positions` (ascending), or some columns of them; reads only the row groups that hold them.

    For a few rows of a segment its mapped columns are not checked: see `is_sparse`.
    """
    wanted, are_few = MAPPED if columns is None else columns, is_sparse(positions, segment)
    taken: dict[str, Any] = dict(read_mapped(root, segment, wanted, positions, are_checked=not are_few))
    if columns is None or len(taken) < len(columns):
        with opened(root / segment.file) as file:
            group = positions // ROW_GROUP
            asked = pa.schema([f for f in file.schema_arrow if columns is None or f.name in columns])
            parts = [_take(file, int(g), asked, positions[group == g] - g * ROW_GROUP) for g in np.unique(group)]
            rest = pa.concat_tables(parts or [asked.empty_table()])
        taken |= dict(zip(rest.column_names, rest.columns, strict=True))
    return pa.table(taken)


def _take(file: pq.ParquetFile, group: int, asked: pa.Schema, at: np.ndarray) -> pa.Table:
    """Return rows of a row group; columns that hold but one value are not unpacked."""
    facts, names = file.metadata.row_group(group), file.schema_arrow.names
    same = {}
    for field in asked:
        known = facts.column(names.index(field.name))
        if known.total_compressed_size <= _LITTLE + facts.num_rows // 16:  # no use in looking at the others
            value = _only_value(known.statistics, facts.num_rows, field.type)
            if value is not None:
                same[field.name] = value
    columns = {name: pa.repeat(value, len(at)) for name, value in same.items()}
    others = [name for name in asked.names if name not in same]
    if others:
        found = file.read_row_group(group, others, use_threads=False).take(pa.array(at))
        columns |= dict(zip(others, found.columns, strict=True))
    return pa.table({name: columns[name] for name in asked.names}, asked)


def _only_value(known: pq.Statistics | None, n_rows: int, kind: pa.DataType) -> pa.Scalar | None:
    """Return the value that all rows of a column have, if statistics say so."""
    if known is None or not known.has_null_count:
        return None
    if known.null_count == n_rows:
        return pa.scalar(None, kind)
    is_exact = known.has_min_max and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))
    return pa.scalar(known.min, kind) if is_exact and not known.null_count and known.min == known.max else None


def dead_positions(root: Path, segment: Segment) -> np.ndarray:
    """Return the positions of the rows that no longer count, ascending."""
    return dead_of(root, [segment])[0]


def dead_of(root: Path, segments: Iterable[Segment]) -> list[np.ndarray]:
    """Return, for each of some segments, the positions of the rows that no longer count, ascending."""
    found, read = [], {"": np.zeros(0, np.int64)}
    for s in segments:
        if s.dead not in read:
            read[s.dead] = read_file(root / s.dead)["position"].to_numpy().astype(np.int64)
        found.append(read[s.dead][s.dead_from :][: s.n_dead])
    return found


def live_rows(root: Path, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a segment that count, or some columns of them."""
    table = read_segment(root, segment, columns)
    dead = dead_positions(root, segment)
    return table.take(pa.array(np.delete(np.arange(segment.n_rows), dead))) if len(dead) else table


def bury(root: Path, segments: Sequence[Segment], gone: Mapping[int, np.ndarray], file: str) -> list[Segment]:
    """Return `segments` with the rows at the positions `gone[i]` of the i-th dead as well.

    `file` is new and lists all that are: one file, because a night takes a few rows out of each month of each bucket.
    """
    dead = [np.union1d(d, gone[i]) if i in gone else d for i, d in enumerate(dead_of(root, segments))]
    ends = np.cumsum([0, *map(len, dead)]).tolist()
    table = pa.table({"position": np.concatenate(dead).astype(np.int32)})
    pq.write_table(table, root / file, use_dictionary=False, write_page_checksum=True)
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


def damaged(path: Path, what: object) -> InputError:
    """Return the error of a file that is not as it was written."""
    text = str(what)[:120]
    return InputError(f"{path} is missing or damaged ({text}); delete the folder of the store and run `dvc repro -P`")


def files_of(segments: Iterable[Segment]) -> set[str]:
    """Return the names of all files of some segments."""
    return {name for s in segments for name in (s.file, s.mapped, s.dead) if name}


def find_keys(root: Path, segment: Segment, wanted: Ordered, column: str = "key") -> tuple[np.ndarray, np.ndarray]:
    """Return the positions, ascending, of the rows that count and whose key is wanted, and their keys."""
    keys = read_segment(root, segment, [column])[column].to_numpy()
    at = wanted.positions_in(keys)
    if len(at):
        at = np.setdiff1d(at, dead_positions(root, segment), assume_unique=True)
    return at, keys[at]

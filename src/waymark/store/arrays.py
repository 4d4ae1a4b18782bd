"""The events of a bucket as arrays: what its segments hold below each other, each person's events in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymark.kernels import buckets
from waymark.store.buckets import Bucket
from waymark.store.events import NEVER
from waymark.store.kinds import EVENTS, rows_of
from waymark.store.order import order_events
from waymark.store.segments import Segment, dead_of, is_sparse, opened, read_mapped, read_segment, take_rows

_NOT_READ = {"key", "event_id", "session_id", "file", "line", "source"}  # nothing that is computed hangs on them
_ALWAYS = {
    **dict.fromkeys(("event_time", "known_time", "superseded_time", "sequence", "session", "value_cents"), np.int64),
    **dict.fromkeys(("customer", "anonymous"), np.int32),
    **dict.fromkeys(("event_type", "channel"), np.int16),
    "actor": np.int8,
    "is_first": np.bool_,
}


def read_columns(
    root: Path, bucket: Bucket, component: np.ndarray, is_member: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the columns that are computed with, of the events that count.

    Those of each component are in the order of time; `component` is its code, by identifier. A missing time or amount
    is `NEVER`, a missing number NaN, and a missing code -1. `is_member`, by identifier, asks for the events of some
    alone.
    """
    asked = [
        _rows_of(root, segment, is_member, dead)
        for segment, dead in zip(bucket.events, dead_of(root, bucket.events), strict=True)
    ]
    starts = np.cumsum([0, *(s.n_rows if at is None else len(at) for s, at in zip(bucket.events, asked, strict=True))])
    columns = {name: np.empty(starts[-1], kind) for name, kind in _ALWAYS.items()}
    for segment, at, begin, end in zip(bucket.events, asked, starts, starts[1:], strict=False):
        _fill(root, segment, columns, slice(begin, end), at)
    ends = columns["customer"], columns["anonymous"]
    is_unsorted = buckets.find_unsorted(*ends, component, columns["event_time"], columns["sequence"], starts)
    if is_unsorted.any():
        owner = component[np.where(ends[0] >= 0, *ends)]
        _sort(columns, owner, is_unsorted, lambda rows: _event_ids(root, bucket, asked, starts, rows))
    return columns


def _rows_of(root: Path, segment: Segment, is_member: np.ndarray | None, dead: np.ndarray) -> np.ndarray | None:
    """Return the positions in a segment of the rows that count, of some identifiers: int64, ascending; None: all."""
    if is_member is None:
        return np.delete(np.arange(segment.n_rows), dead) if len(dead) else None
    at = rows_of(read_segment(root, segment, list(EVENTS.ends)), EVENTS, is_member)
    place = np.searchsorted(at, dead)
    return np.delete(at, place[np.append(at, -1)[place] == dead])


def _fill(root: Path, segment: Segment, columns: dict[str, np.ndarray], rows: slice, at: np.ndarray | None) -> None:
    """Write the columns of a segment, or those of its rows `at`, to some rows.

    A column that no segment before had is added.
    """
    are_few = at is not None and is_sparse(at, segment)
    for name, values in read_mapped(root, segment, _ALWAYS, are_checked=not are_few).items():
        mine, room = _plain(values), columns[name][rows]
        if at is None:
            room[:] = mine
        else:
            mine.take(at, out=room, mode="clip")  # which looks at no place twice; they are there
    with opened(root / segment.file) as file:
        asked = [field for field in file.schema_arrow if field.name not in _NOT_READ]
        same = _same(file.metadata, file.schema_arrow.names, asked)
        table = file.read([field.name for field in asked if field.name not in same], use_threads=False)
        if table.num_rows != segment.n_rows:
            raise OSError(f"it holds {table.num_rows:,} rows, not {segment.n_rows:,}")
    for field in asked:
        if field.name not in columns:
            n, is_number = len(columns["sequence"]), pa.types.is_floating(field.type)
            columns[field.name] = np.full(n, np.nan) if is_number else np.full(n, -1, np.int32)
    for name, value in same.items():
        columns[name][rows] = value
    if at is not None:
        table = table.take(pa.array(at))
    for name in table.column_names:
        begin = rows.start
        for chunk in table[name].chunks:
            columns[name][begin : begin + len(chunk)] = _plain(chunk)
            begin += len(chunk)


def _same(facts: pq.FileMetaData, names: Sequence[str], fields: Sequence[pa.Field]) -> dict[str, Any]:
    """Return the values of those columns that are known to hold but one: no page of theirs has to be unpacked."""
    groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
    found = {}
    for field in fields:
        columns = [group.column(names.index(field.name)) for group in groups]
        known = [column.statistics for column in columns]
        if not known or not all(s is not None and s.has_null_count for s in known):
            continue
        n_nulls = sum(s.null_count for s in known)
        if n_nulls == sum(column.num_values for column in columns):
            found[field.name] = np.nan if pa.types.is_floating(field.type) else NEVER
        elif not n_nulls and (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)):
            ends = {end for s in known for end in ((s.min, s.max) if s.has_min_max else (None, NEVER))}
            if len(ends) == 1:
                found[field.name] = ends.pop()
    return found


def _plain(values: pa.Array) -> np.ndarray:
    if pa.types.is_timestamp(values.type):
        values = values.view(pa.int64())
    if values.null_count and not pa.types.is_floating(values.type):
        values = values.fill_null(NEVER)
    return values.to_numpy(zero_copy_only=False)


def _sort(
    columns: dict[str, np.ndarray],
    component: np.ndarray,
    is_unsorted: np.ndarray,
    event_ids: Callable[[np.ndarray], pa.Array],
) -> None:
    """Sort the events of some components, in place: those that came in several nights, most of them.

    They take each other's rows. Only where two events of one moment came apart do their ids have to be read to tell
    which is the first.
    """
    rows = np.flatnonzero(is_unsorted[component])
    by = (columns[c][rows] for c in ("event_time", "sequence", "known_time"))
    order = order_events(component[rows], *by, lambda at: event_ids(rows[at]))
    places = rows[np.argsort(component[rows], kind="stable")]
    for values in columns.values():
        values[places] = values[rows[order]]


def _event_ids(
    root: Path, bucket: Bucket, asked: Sequence[np.ndarray | None], starts: np.ndarray, rows: np.ndarray
) -> pa.Array:
    """Return the event ids of some rows, of which those of each segment, its positions `asked`, begin at `starts`."""
    texts = np.empty(len(rows), object)
    for segment, at, begin, end in zip(bucket.events, asked, starts, starts[1:], strict=False):
        mine = np.flatnonzero((rows >= begin) & (rows < end))
        mine = mine[np.argsort(rows[mine])]
        if len(mine):
            places = rows[mine] - begin if at is None else at[rows[mine] - begin]
            texts[mine] = take_rows(root, segment, places, ["event_id"])["event_id"].to_pylist()
    return pa.array(texts, pa.string())

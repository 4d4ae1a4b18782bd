"""The events of a bucket as arrays: what its segments hold below each other, each person's events in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark.kernels import buckets
from waymark.kernels.jit import read_only
from waymark.store.buckets import Bucket
from waymark.store.events import NEVER
from waymark.store.kinds import EVENTS
from waymark.store.mapped import Mapped
from waymark.store.order import order_events
from waymark.store.segments import dead_of, is_sparse, open_segment

_NOT_READ = {"key", "event_id", "session_id", "file", "line", "source"}  # nothing that is computed hangs on them
_ALWAYS = {
    **dict.fromkeys(("event_time", "known_time", "superseded_time", "sequence", "session", "value_cents"), np.int64),
    **dict.fromkeys(("customer", "anonymous"), np.int32),
    **dict.fromkeys(("event_type", "channel"), np.int16),
    "actor": np.int8,
    "is_first": np.bool_,
}
_LONG = 64  # rows: stretches that are longer on the whole are copied one by one

Rows = np.ndarray | list[slice]  # of a segment: their positions, ascending, or the stretches that they are


def read_columns(
    root: Path, bucket: Bucket, component: np.ndarray, is_member: np.ndarray | None = None, begin: int | None = None
) -> dict[str, np.ndarray]:
    """Return the columns that are computed with, of the events that count.

    Those of each component are in the order of time; `component` is its code, by identifier. A missing time or amount
    is `NEVER`, a missing number NaN, and a missing code -1. `is_member`, by identifier, asks for the events of some
    alone, and `begin` (microseconds) for those of theirs that happened from then on.
    """
    is_any = is_member is None or is_member.any()
    segments = [s for s in bucket.events if is_any and (begin is None or s.may_hold(begin, NEVER))]
    files = [open_segment(root, segment) for segment in segments]
    dead = dead_of(root, segments)
    asked = [_rows_of(file, is_member, begin, gone) for file, gone in zip(files, dead, strict=True)]
    starts = np.cumsum([0, *map(_n_rows, asked)])
    names = {name: None for file in files for name in file.names if name not in _NOT_READ}
    columns = {name: _column(name, files, asked, starts) for name in _ALWAYS | names}
    ends = columns["customer"], columns["anonymous"]
    is_unsorted = buckets.find_unsorted(*ends, component, columns["event_time"], columns["sequence"], starts)
    if is_unsorted.any():
        rows = buckets.owned(*ends, is_unsorted[component])
        owner = np.where(ends[0][rows] >= 0, ends[0][rows], ends[1][rows])
        _sort(columns, rows, component[owner], lambda at: _event_ids(files, asked, starts, at))
    return columns


def _rows_of(file: Mapped, is_member: np.ndarray | None, begin: int | None, dead: np.ndarray) -> Rows:
    """Return the rows of a segment that count, of some identifiers from a time on; None: of all."""
    if is_member is not None:
        at = buckets.owned(*(read_only(file.numbers(end)) for end in EVENTS.ends), is_member)
        if begin is not None:
            at = at[file.numbers("event_time")[at] >= begin]
        place = np.searchsorted(at, dead)
        return np.delete(at, place[np.append(at, -1)[place] == dead])
    if len(dead) * _LONG > file.n_rows:
        return np.delete(np.arange(file.n_rows), dead)
    return [slice(a, b) for a, b in zip([0, *(dead + 1).tolist()], [*dead.tolist(), file.n_rows], strict=True)]


def _n_rows(rows: Rows) -> int:
    return len(rows) if isinstance(rows, np.ndarray) else sum(s.stop - s.start for s in rows)


def _column(name: str, files: Sequence[Mapped], asked: Sequence[Rows], starts: np.ndarray) -> np.ndarray:
    """Return a column of some rows of some segments; where one has no such column, no row has a value."""
    kind, none = _ALWAYS.get(name, np.int32), NEVER
    if name not in _ALWAYS:
        kind, none = (np.float64, np.nan) if name.startswith("num_") else (np.int32, -1)
    ones = {file.only(name, none) for file in files} or {0}
    if len(ones) == 1 and None not in ones:
        value = ones.pop()
        return np.full(starts[-1], value, kind) if value else np.zeros(starts[-1], kind)
    out = np.empty(starts[-1], kind)
    for file, rows, begin, end in zip(files, asked, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        _fill(out[begin:end], file, name, rows, none)
    return out


def _fill(room: np.ndarray, file: Mapped, name: str, rows: Rows, none: float) -> None:
    """Write some rows of a column of a segment into an array."""
    if (only := file.only(name, none)) is not None:
        room[:] = only
        return
    if isinstance(rows, np.ndarray):
        room[:] = file.values(name, rows, none=none, are_checked=not is_sparse(rows, file.n_rows)).data
        return
    data, begin = file.values(name, none=none).data, 0
    for stretch in rows:
        end = begin + stretch.stop - stretch.start
        room[begin:end] = data[stretch]
        begin = end


def _sort(
    columns: dict[str, np.ndarray],
    rows: np.ndarray,
    component: np.ndarray,
    event_ids: Callable[[np.ndarray], pa.Array],
) -> None:
    """Sort the events of some components, at `rows`, in place: those that came in several nights, most of them.

    They take each other's rows. Only where two events of one moment came apart do their ids have to be read to tell
    which is the first.
    """
    by = (columns[c][rows] for c in ("event_time", "sequence", "known_time"))
    order = order_events(component, *by, lambda at: event_ids(rows[at]))
    places = rows[np.argsort(component, kind="stable")]
    for values in columns.values():
        values[places] = values[rows[order]]


def _event_ids(files: Sequence[Mapped], asked: Sequence[Rows], starts: np.ndarray, rows: np.ndarray) -> pa.Array:
    """Return the event ids of some rows, of which those of each segment, its rows `asked`, begin at `starts`."""
    texts = np.empty(len(rows), object)
    for file, of, begin, end in zip(files, asked, starts, starts[1:], strict=False):
        mine = np.flatnonzero((rows >= begin) & (rows < end))
        mine = mine[np.argsort(rows[mine])]
        if len(mine):
            at = of if isinstance(of, np.ndarray) else np.concatenate([np.arange(s.start, s.stop) for s in of])
            texts[mine] = file.table(["event_id"], at[rows[mine] - begin], are_checked=False)["event_id"].to_pylist()
    return pa.array(texts, pa.string())

"""What came in night by night, put in its place: by month, in order, without what no longer counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark.store.buckets import Bucket, Ids
from waymark.store.kinds import EVENTS, owner_of
from waymark.store.order import order_events
from waymark.store.segments import Segment, live_rows, together, write_segment

MOST_NEWS = 8  # segments of news that a bucket may have
_WORTH = 0.02  # of a month's rows: with less news it is not written anew
_MOST_DEAD = 0.2
NewFile = Callable[[str], str]


def is_due(bucket: Bucket, at_rest: bool) -> bool:
    """Say whether a bucket holds too much that is not in its place; `at_rest`, no more is to come tonight."""
    news = [s for s in bucket.events if not s.period]
    total = sum(s.n_rows for s in bucket.events)
    if len(news) >= MOST_NEWS or len(bucket.told) >= MOST_NEWS:
        return True
    return at_rest and (
        sum(s.n_rows for s in news) > 0.25 * total or any(s.n_dead > _MOST_DEAD * s.n_rows for s in bucket.events)
    )


def compact(root: Path, bucket: Bucket, ids: Ids, new_file: NewFile) -> tuple[Segment, ...]:
    """Return new segments of the events of a bucket: those of months with enough news are written anew."""
    months = {s.period: s for s in bucket.events if s.period}
    news = together(live_rows(root, s) for s in bucket.events if not s.period)
    month_of = _months(news) if news.num_rows else np.zeros(0, object)
    out, rest = [], np.ones(len(month_of), bool)
    for month in sorted({*months, *month_of}):
        mine, old = month_of == month, months.get(month)
        n_old = old.n_rows if old else 0
        if old and mine.sum() <= _WORTH * n_old and old.n_dead <= _MOST_DEAD * n_old:
            out.append(old)
            continue
        rows = together(
            [*([live_rows(root, old)] if old else []), *([news.filter(pa.array(mine))] if mine.any() else [])]
        )
        rest &= ~mine
        if rows.num_rows:
            out.append(write_segment(root, new_file(f"{bucket.folder}/{month}"), in_order(rows, ids), month))
    if rest.any():
        rows = in_order(news.filter(pa.array(rest)), ids)
        out.append(write_segment(root, new_file(f"{bucket.folder}/news"), rows))
    return tuple(out)


def merge_smallest(root: Path, segments: list[Segment], file: str) -> list[Segment]:
    """Return as many segments less: the smallest are one."""
    small = sorted(segments, key=lambda s: s.n_rows)[:MOST_NEWS]
    rows = together(live_rows(root, s) for s in segments if s in small)
    others = [s for s in segments if s not in small]
    return [*others, write_segment(root, file, rows)] if rows.num_rows else others


def in_order(coded: pa.Table, ids: Ids) -> pa.Table:
    """Return coded events in the order of a segment: whole components, each in the order of time."""
    owner = owner_of(coded, EVENTS)
    time, known = (coded[c].cast(pa.int64()).to_numpy() for c in ("event_time", "known_time"))
    order = order_events(
        ids.component[owner], time, coded["sequence"].to_numpy(), known, lambda at: coded["event_id"].take(pa.array(at))
    )
    return coded.take(pa.array(order))


def _months(coded: pa.Table) -> np.ndarray:
    """Return the month of each event, such as 2025-01."""
    months = coded["event_time"].cast(pa.int64()).to_numpy().astype("datetime64[us]").astype("datetime64[M]")
    distinct, place = np.unique(months, return_inverse=True)
    return distinct.astype(str).astype(object)[place]

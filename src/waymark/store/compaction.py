"""What came in night by night, put in its place: by month, in order, without what no longer counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark.store.buckets import Bucket, Ids
from waymark.store.events import DAY
from waymark.store.kinds import EVENTS, TOLD, owner_of
from waymark.store.order import order_events
from waymark.store.segments import Segment, coded_together, live_rows, together, write_segment

MOST_NEWS = 8  # segments of news that a bucket may have
_WORTH = 0.02  # of a month's rows: with less news it is not written anew
_MOST_DEAD = 0.2
_MOST_NEWS_ROWS = 0.25  # of a bucket's rows
NewFile = Callable[[str], str]


def put_in_place(
    root: Path, bucket: Bucket, news: pa.Table, ids: Ids, new_file: NewFile, generation: int
) -> tuple[Segment, ...]:
    """Return the segments of the events of a bucket with the coded events `news`, which are of the bucket from now on.

    They are a segment of their own, or months with enough news are written anew: of each bucket in a night of its own.
    """
    old = [s for s in bucket.events if not s.period]
    n_news, total = (sum(s.n_rows for s in some) + news.num_rows for some in (old, bucket.events))
    n_segments = len(old) + bool(news.num_rows)
    is_its_turn = (generation + bucket.number) % MOST_NEWS == 0 and n_segments > 1
    is_due = (
        is_its_turn or n_segments > MOST_NEWS or n_news > _MOST_NEWS_ROWS * total or any(map(_is_dying, bucket.events))
    )
    if is_due:
        return _compact(root, bucket, coded_together([news, *(live_rows(root, s) for s in old)]), ids, new_file)
    if not news.num_rows:
        return bucket.events
    rows = news.take(pa.array(_in_order(news, ids)))
    return (*bucket.events, write_segment(root, new_file(f"{bucket.folder}/{EVENTS.name}"), rows))


def _is_dying(segment: Segment) -> bool:
    return segment.n_dead > _MOST_DEAD * segment.n_rows


def _compact(root: Path, bucket: Bucket, news: pa.Table, ids: Ids, new_file: NewFile) -> tuple[Segment, ...]:
    """Return new segments: those of months with enough of `news`, or too many dead rows, are written anew."""
    months = {s.period: s for s in bucket.events if s.period}
    names, month_of, order = [], np.zeros(0, np.int16), np.zeros(0, np.int64)
    if news.num_rows:
        order = _in_order(news, ids)
        names, month_of = _months(news)
        order = order[np.argsort(month_of[order], kind="stable")]
        news, month_of = news.take(pa.array(order)), month_of[order]
    ends = np.searchsorted(month_of, np.arange(len(names) + 1))
    out, rest = [], []
    for month in sorted({*months, *names}):
        begin, end = ends[names.index(month) :][:2].tolist() if month in names else (0, 0)
        mine, old = news.slice(begin, end - begin), months.get(month)
        if old and len(mine) <= _WORTH * old.n_rows and not _is_dying(old):
            out.append(old)
            rest.append(mine)
            continue
        rows = mine
        if old:
            rows = coded_together([live_rows(root, old), mine])
            rows = rows.take(pa.array(_in_order(rows, ids))) if rows.num_rows else rows
        if rows.num_rows:
            out.append(write_segment(root, new_file(f"{bucket.folder}/{month}"), rows, month))
    left = together(rest)
    if left.num_rows:
        rows = left.take(pa.array(_in_order(left, ids)))
        out.append(write_segment(root, new_file(f"{bucket.folder}/news"), rows))
    return tuple(out)


def put_beside(root: Path, bucket: Bucket, told: pa.Table, new_file: NewFile) -> tuple[Segment, ...]:
    """Return the segments of links that were told of, with those that were told tonight; the smallest are merged."""
    segments = list(bucket.told)
    if told.num_rows:
        segments.append(write_segment(root, new_file(f"{bucket.folder}/{TOLD.name}"), told))
    if len(segments) >= MOST_NEWS:
        segments = merge_smallest(root, segments, new_file(f"{bucket.folder}/{TOLD.name}"))
    return tuple(segments)


def merge_smallest(root: Path, segments: list[Segment], stem: str) -> list[Segment]:
    """Return as many segments less: the smallest are one."""
    small = sorted(segments, key=lambda s: s.n_rows)[:MOST_NEWS]
    rows = together(live_rows(root, s) for s in segments if s in small)
    others = [s for s in segments if s not in small]
    is_mapped = segments[0].is_mapped
    return [*others, write_segment(root, stem, rows, is_mapped=is_mapped)] if rows.num_rows else others


def _in_order(coded: pa.Table, ids: Ids) -> np.ndarray:
    """Return the positions of coded events in the order of a segment: whole components, each in the order of time."""
    owner = owner_of(coded, EVENTS)
    time, known = (coded[c].cast(pa.int64()).to_numpy() for c in ("event_time", "known_time"))
    return order_events(
        ids.component[owner], time, coded["sequence"].to_numpy(), known, lambda at: coded["event_id"].take(pa.array(at))
    )


def _months(coded: pa.Table) -> tuple[list[str], np.ndarray]:
    """Return the months of some events, such as 2025-01, ascending, and the place of each event's among them, int16."""
    day = coded["event_time"].cast(pa.int64()).to_numpy() // DAY
    first = int(day.min())
    days = np.arange(first, int(day.max()) + 1).astype("datetime64[D]").astype("datetime64[M]")
    met = np.bincount(day - first, minlength=len(days)) > 0
    months, place = np.unique(days[met], return_inverse=True)
    of_day = np.zeros(len(days), np.int16)
    of_day[met] = place
    return months.astype(str).tolist(), of_day[day - first]

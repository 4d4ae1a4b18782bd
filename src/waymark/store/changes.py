"""What a night changed in the store: the persons whom its news concern, with all their events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.config import IdentityConfig
from waymark.eventlog import EventLog
from waymark.identity import NEVER
from waymark.kernels import buckets
from waymark.kernels.jit import read_only
from waymark.store.buckets import Bucket, Ids, read_ids
from waymark.store.events import DAY
from waymark.store.kinds import EVENTS
from waymark.store.manifest import Manifest
from waymark.store.reading import read_members
from waymark.store.segments import open_segment

PENDING = schema.Table("pending", "an identifier of which something may change without news", ("id",), {"id": "string"})
_EVER = np.iinfo(np.int64).min


def read_concerned(
    root: Path,
    manifest: Manifest,
    number: int,
    rules: IdentityConfig | None,
    since: int | None,
    pending: np.ndarray | None,
    moved: Sequence[tuple[int, int]] = (),
    *,
    when_known: bool = False,
) -> tuple[EventLog, pa.Array]:
    """Return the persons of a bucket of whom something was learnt after a generation of the store.

    Parameters
    ----------
    since
        The generation; None asks for everybody.
    pending
        Identifiers (an object array of texts) of persons who are to be among them in any case.
    moved
        Half-open ranges of time, in microseconds: whoever has an event that happened in one of them is, too, though
        nothing was learnt of them.
    when_known
        What counts there is when events had happened and were known.

    Returns
    -------
    log : EventLog
        Everything of these persons. A person here is the widest there is: whoever anybody of them ever was is among
        them.
    gone : pyarrow.Array
        Identifiers: what was made before of persons called by them no longer holds. Of persons in the log whom only
        `moved` asks for there is none.
    """
    ids = read_ids(root, manifest.buckets[number])
    if since is None:
        return read_members(root, manifest, number, ids, None, rules), pa.array([], pa.string())
    is_news = ids.changed > since
    if len(pending):
        is_news |= pc.is_in(ids.texts, pa.array(pending, pa.string())).to_numpy()
    gone = ids.texts.filter(pa.array(_members(ids, is_news) | (ids.left > since))).combine_chunks()
    _mark_between(is_news, root, manifest.buckets[number], moved, when_known)
    return read_members(root, manifest, number, ids, _members(ids, is_news), rules), gone


def _members(ids: Ids, is_asked: np.ndarray) -> np.ndarray:
    """Say which identifiers of a bucket (bool, by place) are of the persons of some."""
    is_member = np.zeros(len(is_asked), bool)
    is_member[ids.component[is_asked]] = True  # a component is called after one of its identifiers
    return is_member[ids.component] & ~ids.is_foreign


def _mark_between(
    is_news: np.ndarray, root: Path, bucket: Bucket, ranges: Sequence[tuple[int, int]], when_known: bool
) -> None:
    """Mark the identifiers that have an event in a range of time, if it counts no more, too."""
    for segment in bucket.events:
        # What happened in a month may have become known at any time after it began.
        asked = [r for r in ranges if r[0] < r[1] and segment.may_hold(_EVER if when_known else r[0], r[1])]
        if asked:
            file = open_segment(root, segment)
            time = file.numbers("event_time")
            time = np.maximum(time, file.numbers("known_time")) if when_known else time
            rows = (read_only(values) for values in (*map(file.numbers, EVENTS.ends), time))
            buckets.mark_between(is_news, *rows, np.array(asked, np.int64))


def are_pending(log: EventLog, cutoff: int) -> np.ndarray:
    """Say of which identifiers (bool, by code) something is to happen or to be known, or to end, after a cut-off.

    What is made of them may change without news, only because time goes on. What falls on the day of the cut-off itself
    counts as well: some of it is told of at midnight.
    """
    ids, begin = log.identities, cutoff // DAY * DAY
    out = np.zeros(len(ids.names) + 1, bool)

    for times in (log.event_time, log.known_time, log.superseded_time, ids.owns_until):
        buckets.mark_later(out, ids.events.customer, ids.events.anonymous, times, begin)
    for times in (ids.linked_from, ids.linked_until):
        buckets.mark_later(out, ids.low, ids.high, times, begin)
    return out[:-1] | ((ids.known_from >= begin) & (ids.known_from != NEVER))

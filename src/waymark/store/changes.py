"""What a night changed in the store: the persons whom its news concern."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.eventlog import EventLog
from waymark.identity import NEVER
from waymark.kernels import buckets
from waymark.kernels.jit import read_only
from waymark.store.buckets import Bucket, Ids, read_ids
from waymark.store.events import DAY
from waymark.store.kinds import EVENTS
from waymark.store.manifest import Manifest
from waymark.store.segments import open_segment

PENDING = schema.Table("pending", "an identifier of which something may change without news", ("id",), {"id": "string"})
_EVER = np.iinfo(np.int64).min


class Concerned(NamedTuple):
    """Whom of a bucket a night concerns: persons, the widest there are, so that whoever they ever were is among them.

    Arrays are bool, by the place of an identifier.
    """

    ids: Ids
    is_anew: np.ndarray | None  # it is of somebody of whom all has to be made anew; None: all are
    is_moved: np.ndarray  # of somebody else who has an event in a range of time
    gone: pa.Array  # identifiers: what was made before of persons called by them no longer holds


def find_concerned(
    root: Path,
    manifest: Manifest,
    number: int,
    since: int | None,
    pending: np.ndarray | None,
    moved: Sequence[tuple[int, int]] = (),
    person: np.ndarray | None = None,
    *,
    when_known: bool = False,
) -> Concerned:
    """Find the persons of a bucket of whom something was learnt after a generation of the store.

    Parameters
    ----------
    since
        The generation; None asks for everybody.
    pending
        Identifiers (an object array of texts) of persons who are to be among them in any case.
    moved
        Half-open ranges of time, in microseconds: whoever has an event that happened in one of them has moved.
    person
        What is remembered of whose each identifier is (`whose.py`), by place. Of those who have moved and of whom it
        is -1, and without it of all who have, everything has to be made anew.
    when_known
        What counts there is when events had happened and were known.
    """
    bucket = manifest.buckets[number]
    ids = read_ids(root, bucket)
    is_moved = np.zeros(len(ids.hashes), bool)
    if since is None:
        return Concerned(ids, None, is_moved, pa.array([], pa.string()))
    is_news = ids.changed > since
    if len(pending):
        is_news |= pc.is_in(ids.texts, pa.array(pending, pa.string())).to_numpy()
    _mark_between(is_moved, root, bucket, moved, when_known)
    is_moved = _members(ids, is_moved)
    if person is None:
        is_news |= is_moved
    else:
        is_news[: len(person)] |= is_moved[: len(person)] & (person < 0)  # of all others there is news
    is_anew = _members(ids, is_news)
    gone = ids.texts.filter(pa.array(is_anew | (ids.left > since))).combine_chunks()
    return Concerned(ids, is_anew, is_moved & ~is_anew, gone)


def _members(ids: Ids, is_asked: np.ndarray) -> np.ndarray:
    """Say which identifiers of a bucket (bool, by place) are of the persons of some."""
    is_member = np.zeros(len(is_asked), bool)
    is_member[ids.component[is_asked]] = True  # a component is called after one of its identifiers
    return is_member[ids.component] & ~ids.is_foreign


def _mark_between(
    is_marked: np.ndarray, root: Path, bucket: Bucket, ranges: Sequence[tuple[int, int]], when_known: bool
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
            buckets.mark_between(is_marked, *rows, np.array(asked, np.int64))


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

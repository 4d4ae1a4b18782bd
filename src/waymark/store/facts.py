"""What the clocks have to know of the store; nearly all of it is in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark.clock import version
from waymark.eventlog import micro
from waymark.store.buckets import read_ids
from waymark.store.events import DAY
from waymark.store.kinds import EVENTS, TOLD, Kind, are_own
from waymark.store.manifest import Manifest
from waymark.store.segments import Segment, dead_positions, open_segment, take_rows


class StoreFacts:
    """`clock.Facts` of a store."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        """Look at the store at `root` as `manifest` has it."""
        self._root, self._manifest = root, manifest
        # One row for the events known on one day that happened on another.
        self._days, n = self._by_day(EVENTS, "n")
        self.known_days, place = np.unique(self._days[:, 0], return_inverse=True)
        self.n_known = np.bincount(place, n, len(self.known_days)).astype(np.int64)

    def newest_before(self, time: pd.Timestamp) -> pd.Timestamp | None:
        """See `clock.Facts`."""
        limit = micro(time)
        days = self._days[(self._days * DAY < limit).all(axis=1)]
        for day in np.unique(days[:, 1])[::-1].tolist():  # the first has one, but where the time is within a day
            newest = max((self._newest_of(segment, day, limit) for segment in self._of_day(day)), default=-1)
            if newest >= 0:
                return pd.Timestamp(np.datetime64(newest, "us")).tz_localize("UTC").as_unit("us")
        return None

    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Return when the first and the last event happened."""
        days = np.unique(self._days[:, 1])
        ends = []
        for day, end in ((days[0], np.min), (days[-1], np.max)):
            found = [self._times(segment, ["event_time"])[0] for segment in self._of_day(day)]
            ends.append(end(np.concatenate([happened[_are_of(happened, day)] for happened in found])))
        return tuple(pd.Timestamp(np.datetime64(int(e), "us")).tz_localize("UTC").as_unit("us") for e in ends)

    def version_as_of(self, time: pd.Timestamp) -> str:
        """See `clock.Facts`."""
        limit = micro(time)
        midnight = limit // DAY
        parts = Counter()
        for kind, what, days, sums in self._sums:
            parts[kind, what] += int(sums[(days < midnight).all(axis=1)].sum())
        if limit % DAY:  # of the day that the time falls into, a part
            for kind in (EVENTS, TOLD):
                for key, value in self._of_part(kind, midnight * DAY, limit).items():
                    parts[kind, key.split("|")[0]] += value
        return version(*(parts[kind, what] for kind in (EVENTS, TOLD) for what in ("n", "hash")))

    @cached_property
    def _sums(self) -> list[tuple[Kind, str, np.ndarray, np.ndarray]]:
        return [(kind, what, *self._by_day(kind, what)) for kind in (EVENTS, TOLD) for what in ("n", "hash")]

    def _by_day(self, kind: Kind, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the days of all clocks, (n, 2) int64 (of links, of one), and what there was of each, uint64."""
        prefix = f"{what}|"
        tally = self._manifest.tallies[kind.name]
        counts = {key.removeprefix(prefix): value for key, value in tally.items() if key.startswith(prefix)}
        days = [*map(int, "|".join(counts).split("|"))] if counts else []
        sums = np.array([value % 2**64 for value in counts.values()], np.uint64)
        return np.array(days, np.int64).reshape(-1, 2 if kind is EVENTS else 1), sums

    def _of_part(self, kind: Kind, midnight: int, limit: int) -> Counter[str]:
        """Count what had happened and was known before `limit`, and not all of it before `midnight`."""
        out: Counter[str] = Counter()
        names = self._manifest.new_names()
        for bucket in self._manifest.buckets:
            ids = read_ids(self._root, bucket)
            for segment in getattr(bucket, kind.name):
                clocks = self._times(segment, ["event_time", "known_time"] if kind is EVENTS else ["known_time"])
                later = np.maximum.reduce(clocks)
                at = np.setdiff1d(
                    np.flatnonzero((later >= midnight) & (later < limit)), dead_positions(self._root, segment)
                )
                if len(at):
                    rows = take_rows(self._root, segment, at)
                    out.update(kind.tally(rows.filter(pa.array(are_own(rows, kind, ids))), names, ids.hashes))
        return out

    def _of_day(self, day: int) -> list[Segment]:
        """Return the segments that may hold events of a day."""
        month = str(np.datetime64(int(day), "D").astype("datetime64[M]"))
        return [s for b in self._manifest.buckets for s in b.events if s.period in ("", month)]

    def _times(self, segment: Segment, columns: Sequence[str]) -> list[np.ndarray]:
        file = open_segment(self._root, segment)
        return [file.numbers(name) for name in columns]

    def _newest_of(self, segment: Segment, day: int, limit: int) -> int:
        """Return the newest event of a day that counts before a time, in microseconds; -1 where there is none."""
        happened, known = self._times(segment, ["event_time", "known_time"])
        counts = _are_of(happened, day) & (happened < limit) & (known < limit)
        counts[dead_positions(self._root, segment)] = False
        return int(happened[counts].max(initial=-1))


def _are_of(times: np.ndarray, day: int) -> np.ndarray:
    """Say which times, in microseconds, are of a day."""
    return (times >= day * DAY) & (times < (day + 1) * DAY)

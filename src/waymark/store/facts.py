"""What the clocks have to know of the store; nearly all of it is in the manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark.clock import version
from waymark.eventlog import micro
from waymark.store.buckets import read_ids
from waymark.store.events import DAY, micros_of
from waymark.store.kinds import EVENTS, TOLD, Kind, are_own
from waymark.store.manifest import Manifest
from waymark.store.segments import Segment, dead_positions, read_segment, take_rows


class StoreFacts:
    """`clock.Facts` of a store."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        """Look at the store at `root` as `manifest` has it."""
        self._root, self._manifest = root, manifest
        counts = manifest.tallies["events"]
        pairs = [(*map(int, key.split("|")[1:]), n) for key, n in counts.items() if key.startswith("n|")]
        # One row for the events known on one day that happened on another.
        self._days = np.array(sorted(pairs), np.int64).reshape(-1, 3)
        self.known_days, place = np.unique(self._days[:, 0], return_inverse=True)
        self.n_known = np.bincount(place, self._days[:, 2], len(self.known_days)).astype(np.int64)

    def newest_before(self, time: pd.Timestamp) -> pd.Timestamp | None:
        """See `clock.Facts`."""
        limit = micro(time)
        days = self._days[(self._days * DAY < limit)[:, :2].all(axis=1)]
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
            found = [micros_of(read_segment(self._root, s, ["event_time"])["event_time"]) for s in self._of_day(day)]
            times = [happened[happened // DAY == day] for happened in found]
            ends.append(end(np.concatenate(times)))
        return tuple(pd.Timestamp(np.datetime64(int(e), "us")).tz_localize("UTC").as_unit("us") for e in ends)

    def version_as_of(self, time: pd.Timestamp) -> str:
        """See `clock.Facts`."""
        limit = micro(time)
        midnight = limit // DAY
        events, told = self._manifest.tallies["events"], self._manifest.tallies["told"]
        parts = Counter()
        for key, value in (*events.items(), *((f"told {k}", v) for k, v in told.items())):
            what, *days = key.split("|")
            if what.removeprefix("told ") in ("n", "hash") and all(int(d) < midnight for d in days):
                parts[what] += value
        if limit % DAY:  # of the day that the time falls into, a part
            for kind, prefix in ((EVENTS, ""), (TOLD, "told ")):
                for key, value in self._of_part(kind, midnight * DAY, limit).items():
                    if key.split("|")[0] in ("n", "hash"):
                        parts[prefix + key.split("|")[0]] += value
        return version(parts["n"], parts["hash"], parts["told n"], parts["told hash"])

    def _of_part(self, kind: Kind, midnight: int, limit: int) -> Counter[str]:
        """Count what had happened and was known before `limit`, and not all of it before `midnight`."""
        out: Counter[str] = Counter()
        names = self._manifest.new_names()
        for bucket in self._manifest.buckets:
            ids = read_ids(self._root, bucket)
            for segment in getattr(bucket, kind.name):
                clocks = self._times(segment, kind)
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

    def _times(self, segment: Segment, kind: Kind = EVENTS) -> list[np.ndarray]:
        columns = ["event_time", "known_time"] if kind is EVENTS else ["known_time"]
        table = read_segment(self._root, segment, columns)
        return [micros_of(table[c]) for c in columns]

    def _newest_of(self, segment: Segment, day: int, limit: int) -> int:
        """Return the newest event of a day that counts before a time, in microseconds; -1 where there is none."""
        happened, known = self._times(segment)
        counts = (happened // DAY == day) & (happened < limit) & (known < limit)
        counts[dead_positions(self._root, segment)] = False
        return int(happened[counts].max(initial=-1))

"""What the clocks have to know of events and links, from tables: a plain twin of what the store keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark.clock import DAY, known_before, version


class TableFacts:
    def __init__(self, events: pd.DataFrame, links: pd.DataFrame | None = None) -> None:
        self._events, self._links = events, links
        days = events["known_time"].to_numpy("datetime64[us]").astype(np.int64) // (DAY // pd.Timedelta("1us"))
        self.known_days, self.n_known = np.unique(days, return_counts=True)

    def newest_before(self, time: pd.Timestamp) -> pd.Timestamp | None:
        seen = known_before(self._events, time)
        return None if seen.empty else seen["event_time"].max()

    def version_as_of(self, time: pd.Timestamp) -> str:
        seen = known_before(self._events, time).drop(columns="superseded_time")
        told = None if self._links is None else self._links[self._links["known_time"] < time]
        return version(*_added_up(seen), *((0, 0) if told is None else _added_up(told)))


def _added_up(rows: pd.DataFrame) -> tuple[int, int]:
    # A column of integers becomes one of floats when any row of its file has no value.
    rows = rows.astype({c: "float64" for c in ("sequence", "value_cents") if c in rows})
    hashes = pd.util.hash_pandas_object(rows, index=False).to_numpy(np.uint64)
    return len(rows), int(hashes.sum(dtype=np.uint64))

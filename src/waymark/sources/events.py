"""Rows of events -> events: repeated rows dropped, lines of one event added up, feeds put together."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark import schema
from waymark.sources.mapping import hash_id

_WORKING = ("guest_id", "merge_key", "line", "file")


def drop_repeated(rows: pa.Table) -> pd.DataFrame:
    """Keep one row of each event id: the one known first, then the first by file name and line."""
    frame = rows.drop_columns(["value_cents"]).to_pandas()
    frame["value_cents"] = rows["value_cents"].to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    repeated = frame.loc[frame["event_id"].duplicated(keep=False), ["event_id", "known_time", "file", "line"]]
    repeated = repeated.astype({"file": "str"}).sort_values(["known_time", "file", "line"], kind="stable")
    dropped = repeated[repeated["event_id"].duplicated()]
    return frame.drop(index=dropped.index)


def merge_lines(rows: pd.DataFrame, feed_name: str) -> pd.DataFrame:
    """Make one event of the rows that share a `merge_key`; rows without one are events already.

    Values and numbers add up; the event is as early as its first line and known when its last line is; of
    everything else, the first given value stays, lines ordered by time and id.
    """
    if not rows["merge_key"].notna().any():
        return rows
    rows = rows.sort_values(["merge_key", "event_time", "known_time", "event_id"], kind="stable", ignore_index=True)
    code, keys = pd.factorize(rows["merge_key"])
    groups = rows.groupby(code, sort=True)
    summed = ["value_cents", *(c for c in rows if str(c).startswith("num_"))]
    merged = pd.DataFrame({c: _first_given(rows[c], code, len(keys)) for c in rows if c not in summed})
    for column in summed:
        merged[column] = groups[column].sum(min_count=1)
    merged["known_time"] = groups["known_time"].max()
    merged["sequence"] = groups["sequence"].min()
    merged["event_id"] = pd.array([hash_id(feed_name, "one event", key) for key in keys], "str")
    return merged


def _first_given(column: pd.Series, code: np.ndarray, n: int) -> pd.Series:
    """Return, for each group of rows, the first value that is not null; `code` is ascending."""
    given = np.flatnonzero(column.notna())
    groups, first = np.unique(code[given], return_index=True)
    return pd.Series(column.iloc[given[first]].array, index=groups).reindex(range(n))


def to_events(feeds: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the events of all feeds together as `schema.EVENTS` has them, sorted by its key."""
    frames = []
    for name, frame in feeds.items():
        is_nobody = frame["anonymous_id"].isna() & frame["customer_id"].isna()
        anonymous = frame["anonymous_id"].where(~is_nobody, frame["guest_id"])
        frames.append(frame.drop(columns=list(_WORKING)).assign(anonymous_id=anonymous, source=name))
    events = pd.concat(frames, ignore_index=True)
    events["superseded_time"] = pd.Series(pd.NaT, index=events.index, dtype="datetime64[us, UTC]")
    for clock in ("event_time", "known_time"):
        events[clock] = pd.to_datetime(events[clock].to_numpy("datetime64[us]"), utc=True)
    kept = sorted(c for c in events if c not in schema.EVENTS.columns)
    events = events[[*schema.EVENTS.columns, *kept]]
    return events.sort_values(list(schema.EVENTS.key), kind="stable", ignore_index=True)

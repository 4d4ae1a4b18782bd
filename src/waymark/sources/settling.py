"""All rows that were ever delivered of some events or links -> what they come to, and what became of each row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.config import Feed
from waymark.sources.events import CONFLICT, NEVER, merge_lines, tell_versions
from waymark.sources.mapping import hash_id
from waymark.sources.parse import distinct

ACCEPTED, DUPLICATE = "accepted", "duplicate"
_LINK = ("id_a", "id_b", "kind", "known_time")
_OF_EVENTS_ONLY = ("source", "superseded_time", "is_first", "key")


class Settled(NamedTuple):
    """What some rows come to."""

    things: pa.Table  # events or links, in texts; times in microseconds since 1970
    status: pa.Array  # one a row: ACCEPTED, DUPLICATE or CONFLICT
    reason: pa.Array  # of a conflict; else null


def event_rows(mapped: pa.Table, feed_name: str, feed: Feed) -> pa.Table:
    """Return mapped rows of events with `thing`: what makes rows of one event one, whenever they are delivered."""
    if feed.one_event_per is None:
        is_nobody = pc.and_(mapped["anonymous_id"].is_null(), mapped["customer_id"].is_null())
        anonymous = pc.if_else(is_nobody, mapped["guest_id"], mapped["anonymous_id"])
        mapped = mapped.drop_columns(["guest_id", "merge_key", "anonymous_id"]).append_column("anonymous_id", anonymous)
        return mapped.append_column("thing", mapped["event_id"])
    keys, place = distinct(mapped["merge_key"].combine_chunks())
    ids = pa.array([merged_id(feed_name, key) for key in keys], pa.string())
    return mapped.append_column("thing", ids.take(pa.array(place)))


def merged_id(feed_name: str, key: str) -> str:
    """Return the id of the event that the lines of one key are."""
    return hash_id(feed_name, "one event", key)


def rows_of_events(events: pa.Table) -> pa.Table:
    """Return the rows that events of one row each came from, as `event_rows` returns them."""
    return events.drop_columns(list(_OF_EVENTS_ONLY)).append_column("thing", events["event_id"])


def settle_events(rows: pa.Table, feed_name: str, feed: Feed) -> Settled:
    """Say which events `rows` (of `event_rows`, all those of some events) come to."""
    if feed.one_event_per is None and pc.count_distinct(rows["event_id"]).as_py() == rows.num_rows:
        n = rows.num_rows
        return Settled(events_of_rows(rows, feed_name), pa.repeat(ACCEPTED, n), pa.nulls(n, pa.string()))
    versions, conflicts = tell_versions(rows.drop_columns(["thing"]), are_in_order=feed.rows_in_order)
    status = np.full(rows.num_rows, DUPLICATE, object)
    status[versions.index] = ACCEPTED
    reason = _reasons(rows, conflicts)
    status[[r is not None for r in reason]] = CONFLICT
    if feed.one_event_per is not None:
        versions = merge_lines(versions, feed_name, are_in_order=feed.rows_in_order)
        is_nobody = versions["anonymous_id"].isna() & versions["customer_id"].isna()
        versions["anonymous_id"] = versions["anonymous_id"].where(~is_nobody, versions["guest_id"])
        versions = versions.drop(columns=["guest_id", "merge_key"])
    is_first = ~versions.sort_values("known_time", kind="stable")["event_id"].duplicated().sort_index()
    events = versions.assign(source=feed_name, is_first=is_first, file=versions["file"].astype("str"))
    return Settled(_to_arrow(events), pa.array(status, pa.string()), pa.array(reason, pa.string()))


def events_of_rows(rows: pa.Table, feed_name: str) -> pa.Table:
    """Return what `settle_events` makes of events of one row each, as nearly all are."""
    n = rows.num_rows
    events = rows.append_column("source", pa.repeat(feed_name, n))
    events = events.append_column("superseded_time", pa.repeat(NEVER, n)).append_column("is_first", pa.repeat(True, n))
    return events.select(_columns(events))


def _columns(events: pa.Table | pd.DataFrame) -> list[str]:
    names = events.column_names if isinstance(events, pa.Table) else list(events)
    kept = sorted(c for c in names if c.startswith(tuple(schema.ATTRIBUTES)))
    return [*schema.EVENTS.columns, *kept, "is_first", "file", "line"]


def _reasons(rows: pa.Table, conflicts: Iterable) -> list[str | None]:
    if not conflicts:
        return [None] * rows.num_rows
    why = {(file, refusal.line): refusal.reason for file, refusal in conflicts}
    places = zip(rows["file"].to_pylist(), rows["line"].to_pylist(), strict=True)
    return [why.get(place) for place in places]


def _to_arrow(events: pd.DataFrame) -> pa.Table:
    columns = _columns(events)
    kinds = {
        **dict.fromkeys(("event_time", "known_time", "superseded_time", "sequence", "value_cents", "line"), pa.int64()),
        "is_first": pa.bool_(),
        **{c: pa.float64() for c in columns if c.startswith("num_")},
    }
    return pa.table({c: pa.Array.from_pandas(events[c], type=kinds.get(c, pa.string())) for c in columns})


def link_rows(mapped: pa.Table) -> pa.Table:
    """Return mapped rows of links with `thing`: all that a link says."""
    texts = (mapped[c].cast(pa.string()) for c in _LINK)
    return mapped.append_column("thing", pc.binary_join_element_wise(*texts, "\n"))


def settle_links(rows: pa.Table, feed_name: str) -> Settled:
    """Say which links `rows` (of `link_rows`, all those of some links) come to: of equal ones the first stays."""
    places = rows.select(["file", "line", "thing"]).to_pandas().astype({"file": "str"})
    first = places.sort_values(["file", "line"], kind="stable").drop_duplicates("thing").index.to_numpy()
    status = np.full(rows.num_rows, DUPLICATE, object)
    status[first] = ACCEPTED
    links = rows.take(pa.array(np.sort(first))).select(list(_LINK))
    links = links.append_column("source", pa.array([feed_name] * links.num_rows, pa.string()))
    links = links.append_column("probability", pa.nulls(links.num_rows, pa.float64()))
    return Settled(links, pa.array(status, pa.string()), pa.nulls(rows.num_rows, pa.string()))


def linked_rows(links: pd.DataFrame | None) -> pa.Table:
    """Return links that no file told of (rows of `schema.LINKS`) as rows with `thing`, `file` and `line`."""
    kinds = {"id_a": pa.string(), "id_b": pa.string(), "kind": pa.string(), "source": pa.string()}
    if links is None:
        links = pd.DataFrame(columns=list(schema.LINKS.columns))
    table = pa.table({name: pa.Array.from_pandas(links[name], type=kind) for name, kind in kinds.items()})
    known = pd.to_datetime(links["known_time"], utc=True).to_numpy("datetime64[us]").astype(np.int64)
    table = table.append_column("known_time", pa.array(known, pa.int64()))
    table = table.append_column("probability", pa.array(links["probability"].to_numpy(np.float64), from_pandas=True))
    said = (table[c].cast(pa.string()) for c in (*_LINK, "source", "probability"))
    things = pc.binary_join_element_wise(*said, "\n", null_handling="replace")
    n = table.num_rows
    return (
        table.append_column("thing", things)
        .append_column("file", pa.repeat("", n))
        .append_column("line", pa.array(np.zeros(n, np.int64)))
    )


def settle_linked(rows: pa.Table) -> Settled:
    """Settle rows of `linked_rows`: each is a link."""
    n = rows.num_rows
    return Settled(rows.select(list(schema.LINKS.columns)), pa.repeat(ACCEPTED, n), pa.nulls(n, pa.string()))

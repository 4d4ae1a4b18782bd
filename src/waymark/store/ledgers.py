"""The ledger of a bucket: the links that its events carry and those that were told of, in codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.ledger import CARRIED, link_coded
from waymark.store.buckets import Bucket, Ids, are_many
from waymark.store.events import NEVER, micros_of
from waymark.store.kinds import EVENTS, TOLD, Kind
from waymark.store.mapped import Mapped, write_beside
from waymark.store.names import Names
from waymark.store.segments import dead_positions, read_segment, take_rows, together

_ROW = ("customer", "anonymous", "actor", "event_time", "known_time", "superseded_time", "source")
_SCHEMA = {
    "one": pa.int32(),
    "two": pa.int32(),
    "kind": pa.int8(),
    "known_time": pa.timestamp("us", "UTC"),
    "source": pa.int16(),
    "probability": pa.float64(),
}
CUSTOMER_ACTS = schema.ACTORS.index("customer")


class News(NamedTuple):
    """What a night did to a bucket, in codes."""

    events: pa.Table  # that came
    told: pa.Table  # links that came
    lost: dict[Kind, list[np.ndarray]]  # of what went: (2, n_rows) places of both identifiers


def write_ledger(root: Path, bucket: Bucket, ids: Ids, names: Names, generation: int, news: News) -> Bucket:
    """Write what a night changes in the ledger of a bucket, whose segments hold `news` already; return the bucket."""
    _, rank = names.in_order("source")
    if not bucket.ledger:
        return _with_links(root, bucket, generation, _found(news.events, news.told, rank, len(ids.texts)))
    old, is_gone = _read(root, bucket)
    is_lost, links = _changed(root, bucket, ids, rank, old, ~is_gone, news)
    is_gone |= is_lost
    if are_many(bucket.ledger, bucket):
        links = pa.concat_tables([old.filter(pa.array(~is_gone)), links])
        return _with_links(root, replace(bucket, ledger=(), unlinked=""), generation, links)
    if is_lost.any():
        places = pa.table({"place": np.flatnonzero(is_gone).astype(np.int32)})
        [file] = write_beside(root, (), f"{bucket.folder}/unlinked-{generation:06d}", places)
        bucket = replace(bucket, unlinked=file)
    return _with_links(root, bucket, generation, links) if links.num_rows else bucket


def _with_links(root: Path, bucket: Bucket, generation: int, links: pa.Table) -> Bucket:
    stem = f"{bucket.folder}/ledger-{generation:06d}"
    return replace(bucket, ledger=write_beside(root, bucket.ledger, stem, links.cast(pa.schema(_SCHEMA))))


def read_ledger(root: Path, bucket: Bucket) -> pa.Table:
    """Return the ledger of a bucket in codes."""
    links, is_gone = _read(root, bucket)
    return links.filter(pa.array(~is_gone)) if is_gone.any() else links


def _read(root: Path, bucket: Bucket) -> tuple[pa.Table, np.ndarray]:
    """Return all links that the files of a ledger hold, and which of them are no more."""
    files = [Mapped(root / file).table() for file in bucket.ledger]
    links = pa.concat_tables([*files, pa.schema(_SCHEMA).empty_table()]).combine_chunks()
    is_gone = np.zeros(links.num_rows, bool)
    if bucket.unlinked:
        is_gone[Mapped(root / bucket.unlinked).numbers("place")] = True
    return links, is_gone


def _changed(
    root: Path, bucket: Bucket, ids: Ids, rank: np.ndarray, old: pa.Table, is_live: np.ndarray, news: News
) -> tuple[np.ndarray, pa.Table]:
    """Return which links of `old` are no more after the news of a night, and which are there instead.

    Links are known pair by pair. An event that is not restated tells of its pair at most earlier than was known; where
    anything else came or went, all links of the identifier are found anew.
    """
    is_odd, is_met = np.zeros(len(ids.texts), bool), np.zeros(len(ids.texts), bool)
    for ends in ([news.told[c].to_numpy() for c in TOLD.ends] if news.told.num_rows else [], *news.lost[TOLD]):
        is_odd[np.concatenate([*ends, np.zeros(0, np.int32)])] = True
    for customer, anonymous in news.lost[EVENTS]:
        is_odd[anonymous[(customer >= 0) & (anonymous >= 0) & ~ids.is_foreign[customer]]] = True
    rows = news.events
    if rows.num_rows:
        rows = rows.select(_ROW)
        rows = rows.filter(pc.and_(pc.greater_equal(rows["anonymous"], 0), pc.greater_equal(rows["customer"], 0)))
        anonymous = rows["anonymous"].to_numpy()
        is_odd[anonymous[rows["superseded_time"].is_valid().to_numpy()]] = True
        is_met[anonymous] = True
    one, two, kind = (old[c].to_numpy() for c in ("one", "two", "kind"))
    is_carried = np.isin(kind, [schema.LINK_KINDS.index(k) for k in CARRIED])
    is_odd[one[is_live & ~is_carried & is_met[one]]] = True
    is_gone = is_odd[one] | is_odd[two] | (is_carried & ids.is_foreign[two])  # events lie where their customer does
    is_again = is_live & is_met[one]
    parts = [old.slice(0, 0)]
    if rows.num_rows:
        is_plain = ~(is_odd[anonymous] | is_odd[rows["customer"].to_numpy()])
        parts.append(_earliest(old.filter(pa.array(is_again & ~is_gone)), rows.filter(pa.array(is_plain)), rank))
    if is_odd.any():
        parts.append(_found(*(_of(root, bucket, kind, is_odd) for kind in (EVENTS, TOLD)), rank, len(ids.texts)))
    return is_again | (is_live & is_gone), pa.concat_tables(part.cast(old.schema) for part in parts)


def _earliest(old: pa.Table, rows: pa.Table, rank: np.ndarray) -> pa.Table:
    """Return the links of `old` and those that events carry which are not restated, each as it was first known."""
    actor = rows["actor"].to_numpy()
    kinds = [schema.LINK_KINDS.index(k) for k in CARRIED]
    known = np.maximum(micros_of(rows["event_time"]), micros_of(rows["known_time"]))
    carried = {
        "one": rows["anonymous"],
        "two": rows["customer"],
        "kind": np.where(actor == CUSTOMER_ACTS, *kinds).astype(np.int8),
        "known_time": pa.array(known, pa.timestamp("us", "UTC")),
        "source": rows["source"],
        "probability": np.full(rows.num_rows, np.nan),
    }
    both = pa.concat_tables([old, pa.table(carried).cast(old.schema)])
    one, two, kind = (both[c].to_numpy() for c in ("one", "two", "kind"))
    order = np.lexsort((rank[both["source"].to_numpy()], micros_of(both["known_time"]), kind, two, one))
    is_first = np.ones(len(order), bool)
    is_first[1:] = np.logical_or.reduce([c[order][1:] != c[order][:-1] for c in (one, two, kind)])
    return both.take(pa.array(order[is_first]))


def _of(root: Path, bucket: Bucket, kind: Kind, is_asked: np.ndarray) -> pa.Table:
    """Return what counts of a bucket's things of which an end is asked for."""
    found = []
    asked = np.append(is_asked, False)  # where -1 points
    for segment in getattr(bucket, kind.name):
        first, second = (c.to_numpy() for c in read_segment(root, segment, list(kind.ends)).columns)
        at = np.setdiff1d(np.flatnonzero(asked[first] | asked[second]), dead_positions(root, segment), True)
        if len(at):
            found.append(take_rows(root, segment, at, _ROW if kind is EVENTS else None))
    return together(found)


def _found(events: pa.Table, told: pa.Table, rank: np.ndarray, n_ids: int) -> pa.Table:
    """Return the links of some events and of some that were told of."""
    links = link_coded(_rows(events, rank), _told(told, rank), n_ids)
    code = np.empty(len(rank), np.int16)  # of each source, by its place in the order of names
    code[rank] = np.arange(len(rank))
    return pa.table(
        {
            "one": links["id_a"].to_numpy(np.int32),
            "two": links["id_b"].to_numpy(np.int32),
            "kind": pd.Categorical(links["kind"], categories=schema.LINK_KINDS).codes,
            "known_time": pa.array(links["known_time"].to_numpy("datetime64[us]"), pa.timestamp("us", "UTC")),
            "source": code[links["source"].to_numpy(np.int64)],
            "probability": links["probability"].to_numpy(np.float64),
        }
    )


def _rows(coded: pa.Table, source_order: np.ndarray) -> pd.DataFrame:
    """Return coded events as `link_coded` takes them."""
    if not coded.num_rows:
        coded = pa.table({c: pa.array([], pa.int64()) for c in _ROW})
    happened, known, until = (micros_of(coded[c]) for c in ("event_time", "known_time", "superseded_time"))
    return pd.DataFrame(
        {
            "id_a": coded["anonymous"].to_numpy(),
            "id_b": coded["customer"].to_numpy(),
            "is_customer": coded["actor"].to_numpy() == CUSTOMER_ACTS,
            "happened": _times(happened),
            "known_time": _times(np.maximum(happened, known)),
            "until": _times(until),
            "source": source_order[coded["source"].to_numpy()],
            "probability": np.nan,
        }
    )


def _told(coded: pa.Table, source_order: np.ndarray) -> pd.DataFrame:
    if not coded.num_rows:
        empty = {"id_a": "int32", "id_b": "int32", "kind": "str", "known_time": "datetime64[us, UTC]"}
        empty |= {"source": "int32", "probability": "float64"}
        return pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in empty.items()})
    return pd.DataFrame(
        {
            "id_a": coded["one"].to_numpy(),
            "id_b": coded["two"].to_numpy(),
            "kind": pd.array(np.array(schema.LINK_KINDS, object)[coded["kind"].to_numpy()], "str"),
            "known_time": _times(micros_of(coded["known_time"])),
            "source": source_order[coded["source"].to_numpy()],
            "probability": coded["probability"].to_numpy(zero_copy_only=False),
        }
    )


def _times(micros: np.ndarray) -> pd.DatetimeIndex:
    times = micros.astype("datetime64[us]")
    times[micros == NEVER] = np.datetime64("NaT")
    return pd.DatetimeIndex(times).tz_localize("UTC")

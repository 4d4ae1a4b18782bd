"""A bucket as the library knows events: as arrays for what is computed a bucket at a time, or as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from waymark import schema
from waymark.config import IdentityConfig
from waymark.eventlog import EventLog, code_type
from waymark.identity import EventIds, Links, build_identities
from waymark.kernels import buckets
from waymark.ledger import ANONYMOUS
from waymark.store.buckets import Bucket, Ids, read_ids
from waymark.store.events import NEVER, micros_of
from waymark.store.hashes import hash_names
from waymark.store.kinds import EVENTS, owner_of
from waymark.store.ledgers import CUSTOMER_ACTS
from waymark.store.manifest import Manifest
from waymark.store.names import Names
from waymark.store.order import order_events
from waymark.store.segments import Segment, damaged, dead_positions, live_rows, read_segment, take_rows, together

Kept = Mapping[int, np.ndarray]  # bucket -> which of its identifiers, by place

_NOT_READ = {"key", "event_id", "session_id", "file", "line", "source"}  # nothing that is computed hangs on them


def read_log(root: Path, manifest: Manifest, number: int, rules: IdentityConfig | None = None) -> EventLog:
    """Return the events of a bucket as arrays: components one after another, each in the order of time."""
    bucket, names = manifest.buckets[number], manifest.new_names()
    ids = read_ids(root, bucket)
    column = _columns(root, bucket, ids)
    is_anonymous = pc.starts_with(ids.texts, ANONYMOUS).to_numpy()
    by_kind = np.argsort(is_anonymous, kind="stable")  # customers first
    code = np.full(len(by_kind) + 1, -1, np.int32)
    code[by_kind] = np.arange(len(by_kind))
    times = [column[c] for c in ("event_time", "known_time", "superseded_time")]
    identities = build_identities(
        ids.texts.take(pa.array(by_kind)).to_numpy().astype(object, copy=False),
        int((~is_anonymous).sum()),
        EventIds(code[column["customer"]], code[column["anonymous"]], *times, column["actor"] == CUSTOMER_ACTS),
        _links(root, bucket, code),
        rules,
        ids.is_foreign[by_kind],
    )
    value = column["value_cents"]
    return EventLog(
        event_time=times[0],
        known_time=times[1],
        superseded_time=times[2],
        sequence=column["sequence"],
        **_named(names, column, "event_type"),
        **_named(names, column, "channel"),
        actor=column["actor"],
        is_first_told=column["is_first"],
        session=column["session"],
        value_cents=np.where(value == NEVER, 0, value),
        has_value=value != NEVER,
        attributes={
            name.removeprefix("attr_"): tuple(_named(names, column, name).values())
            for name in sorted(column)
            if name.startswith("attr_")
        },
        numbers={name.removeprefix("num_"): column[name] for name in sorted(column) if name.startswith("num_")},
        identities=identities,
    )


def _named(names: Names, column: Mapping[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """Return a column as codes into the sorted names of its kind, and those names, by the names of the log's fields."""
    texts, place = names.in_order(kind)
    small = place.astype(code_type(len(texts)))
    return {kind: small[column[kind]], f"{kind}s": texts}


def _columns(root: Path, bucket: Bucket, ids: Ids) -> dict[str, np.ndarray]:
    """Return the columns that are computed with, in the order of an event log."""
    parts = []
    for segment in bucket.events:
        names = pq.read_schema(root / segment.file).names
        parts.append(read_segment(root, segment, [c for c in names if c not in _NOT_READ]))
    parts = parts or [_NO_EVENTS]
    aligned = _aligned(parts)
    column = {name: _plain(values) for name, values in aligned.items()}
    n_rows = [part.num_rows for part in parts]
    segment_of = np.repeat(np.arange(len(parts), dtype=np.int32), n_rows)
    position = np.concatenate([np.arange(n, dtype=np.int32) for n in n_rows])
    is_dead = np.zeros(len(position), bool)
    for segment, begin in zip(bucket.events, np.cumsum([0, *n_rows]), strict=False):
        is_dead[begin + dead_positions(root, segment)] = True
    order, is_unsorted = buckets.arrange(
        *(column["customer"], column["anonymous"], ids.component, is_dead),
        *(column["event_time"], column["sequence"], segment_of, position),
    )
    if is_unsorted.any():
        order = _sorted(root, bucket, column, ids.component, order, is_unsorted, segment_of, position)
    # What is nowhere needs no gathering.
    return {
        name: values[: len(order)] if aligned[name].null_count == len(values) else values[order]
        for name, values in column.items()
    }


def _sorted(
    root: Path,
    bucket: Bucket,
    column: Mapping[str, np.ndarray],
    component: np.ndarray,
    order: np.ndarray,
    is_unsorted: np.ndarray,
    segment_of: np.ndarray,
    position: np.ndarray,
) -> np.ndarray:
    """Return `order` with the events of some components sorted: those that came in several nights, most of them.

    Only where two events of one moment came apart do their ids have to be read to tell which is the first.
    """
    customer = column["customer"][order]
    owner = component[np.where(customer >= 0, customer, column["anonymous"][order])]
    at = np.flatnonzero(is_unsorted[owner])
    rows = order[at]

    def event_ids(asked: np.ndarray) -> pa.Array:
        asked_rows = rows[asked]
        texts = np.empty(len(asked_rows), object)
        for i, segment in enumerate(bucket.events):
            mine = np.flatnonzero(segment_of[asked_rows] == i)
            mine = mine[np.argsort(position[asked_rows[mine]])]
            if len(mine):
                texts[mine] = take_rows(root, segment, position[asked_rows[mine]], ["event_id"])["event_id"].to_pylist()
        return pa.array(texts, pa.string())

    by = (column[c][rows] for c in ("event_time", "sequence", "known_time"))
    out = order.copy()
    out[at] = rows[order_events(owner[at], *by, event_ids)]
    return out


def _aligned(parts: list[pa.Table]) -> dict[str, pa.ChunkedArray]:
    """Put tables below each other; codes that one lacks are -1 there, and numbers null."""
    names = dict.fromkeys(name for part in parts for name in part.column_names)
    out = {}
    for name in names:
        kind = next(part.schema.field(name).type for part in parts if name in part.column_names)
        lacking = pa.scalar(-1, kind) if pa.types.is_signed_integer(kind) else pa.scalar(None, kind)
        chunks = [
            part[name] if name in part.column_names else pa.chunked_array([pa.repeat(lacking, part.num_rows)])
            for part in parts
        ]
        out[name] = pa.chunked_array([c for chunk in chunks for c in chunk.chunks], kind)
    return out


def _plain(values: pa.ChunkedArray) -> np.ndarray:
    """Return a column as an array; a missing time or amount is `NEVER`, a missing number NaN."""
    kind = values.type
    if len(values) and values.null_count == len(values) and not pa.types.is_floating(kind):
        return np.full(len(values), NEVER)
    if pa.types.is_timestamp(kind):
        return micros_of(values)
    if pa.types.is_floating(kind):
        return values.to_numpy()
    if pa.types.is_boolean(kind):
        return values.to_numpy()
    return (values.fill_null(NEVER) if values.null_count else values).to_numpy()


_NO_EVENTS = pa.table(
    {
        **{c: pa.array([], pa.timestamp("us", "UTC")) for c in ("event_time", "known_time", "superseded_time")},
        **{c: pa.array([], pa.int32()) for c in ("customer", "anonymous", "event_type", "channel")},
        "is_first": pa.array([], pa.bool_()),
        "actor": pa.array([], pa.int8()),
        "sequence": pa.array([], pa.int64()),
        "session": pa.array([], pa.int64()),
        "value_cents": pa.array([], pa.int64()),
    }
)


def _links(root: Path, bucket: Bucket, code: np.ndarray) -> Links:
    table = read_ledger(root, bucket)
    return Links(
        code[table["one"].to_numpy()],
        code[table["two"].to_numpy()],
        np.array(schema.LINK_KINDS, object)[table["kind"].to_numpy()],
        micros_of(table["known_time"]),
    )


def read_ledger(root: Path, bucket: Bucket) -> pa.Table:
    """Return the ledger of a bucket in codes."""
    if not bucket.ledger:
        kinds = {"one": pa.int32(), "two": pa.int32(), "kind": pa.int8(), "known_time": pa.timestamp("us", "UTC")}
        kinds |= {"source": pa.int16(), "probability": pa.float64()}
        return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
    try:
        return pq.read_table(root / bucket.ledger, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(root / bucket.ledger, error) from None


def read_events(root: Path, manifest: Manifest, kept: Kept | None = None) -> pd.DataFrame:
    """Return rows of `schema.EVENTS`: all, or those of some identifiers; sorted by their key."""
    names, parts = manifest.new_names(), []
    for bucket in _chosen(manifest, kept):
        ids = read_ids(root, bucket)
        for segment in bucket.events:
            rows = live_rows(root, segment) if kept is None else _rows_of(root, segment, kept[bucket.number])
            parts.append(EVENTS.decode(rows, names, ids.texts))
    table = together(parts)
    times = {c: _zoned(table[c].to_numpy()) for c in ("event_time", "known_time", "superseded_time")}
    columns = sorted(c for c in table.column_names if c.startswith(tuple(schema.ATTRIBUTES)))
    frame = table.select([*(c for c in schema.EVENTS.columns if c not in times), *columns]).to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype()}.get
    )
    frame = frame.assign(**times, sequence=frame["sequence"].astype("int64"))[[*schema.EVENTS.columns, *columns]]
    return frame.sort_values(list(schema.EVENTS.key), kind="stable", ignore_index=True)


def _rows_of(root: Path, segment: Segment, is_kept: np.ndarray) -> pa.Table:
    """Return the rows of a segment that count and belong to some identifiers (bool, by place)."""
    owner = owner_of(read_segment(root, segment, list(EVENTS.ends)), EVENTS)
    return take_rows(root, segment, np.setdiff1d(np.flatnonzero(is_kept[owner]), dead_positions(root, segment)))


def read_links(root: Path, manifest: Manifest, kept: Kept | None = None) -> pd.DataFrame:
    """Return rows of `schema.LINKS`: the whole ledger, or the links among some identifiers; sorted by their key."""
    names, parts = manifest.new_names(), []
    for bucket in _chosen(manifest, kept):
        coded, texts = read_ledger(root, bucket), read_ids(root, bucket).texts
        if kept is not None:
            is_kept = kept[bucket.number]
            coded = coded.filter(pa.array(is_kept[coded["one"].to_numpy()] & is_kept[coded["two"].to_numpy()]))
        if coded.num_rows:
            parts.append(
                pd.DataFrame(
                    {
                        "id_a": texts.take(coded["one"].combine_chunks()).to_pandas(),
                        "id_b": texts.take(coded["two"].combine_chunks()).to_pandas(),
                        "kind": pd.array(np.array(schema.LINK_KINDS, object)[coded["kind"].to_numpy()], "str"),
                        "known_time": _zoned(micros_of(coded["known_time"])),
                        "source": names.decode("source", coded["source"].to_numpy()).to_pandas(),
                        "probability": coded["probability"].to_numpy(zero_copy_only=False),
                    }
                )
            )
    if not parts:
        return _no_links()
    return pd.concat(parts).sort_values(list(schema.LINKS.key), kind="stable", ignore_index=True)


def draw_persons(root: Path, manifest: Manifest, ids: np.ndarray, n: int) -> Kept:
    """Draw `n` of the persons that some identifiers (an object array) are of, by a hash of their first identifiers.

    A person here is the widest there is. Returns all identifiers of each: whoever they were, they were nobody else's.
    """
    asked, drawn = pa.array(ids, pa.string()), []
    for bucket in manifest.buckets:
        known = read_ids(root, bucket)
        is_asked = pc.is_in(known.texts, asked).to_numpy() & ~known.is_foreign
        is_member = np.zeros(len(is_asked), bool)
        is_member[known.component[is_asked]] = True  # a component is called after one of its identifiers
        places = np.flatnonzero(is_member[known.component] & ~known.is_foreign)
        texts = pd.Series(known.texts.take(pa.array(places)).to_pandas())
        first = texts.groupby(known.component[places]).min()
        order = hash_names(first.to_numpy(object))
        drawn.append(pd.DataFrame({"bucket": bucket.number, "component": first.index, "order": order}))
    chosen = pd.concat(drawn).sort_values(["order", "bucket"], kind="stable")[:n]
    kept = {}
    for number, rows in chosen.groupby("bucket"):
        known = read_ids(root, manifest.buckets[number])
        kept[int(number)] = np.isin(known.component, rows["component"]) & ~known.is_foreign
    return kept


def _no_links() -> pd.DataFrame:
    return schema.to_arrow(pd.DataFrame(columns=list(schema.LINKS.columns)), schema.LINKS).to_pandas()


def _chosen(manifest: Manifest, kept: Kept | None) -> list[Bucket]:
    return manifest.buckets if kept is None else [manifest.buckets[n] for n in kept]


def _zoned(micros: np.ndarray) -> pd.DatetimeIndex:
    times = micros.astype("datetime64[us]")
    times[micros == NEVER] = np.datetime64("NaT")
    return pd.DatetimeIndex(times).tz_localize("UTC")

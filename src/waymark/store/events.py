"""Rows of settled events, in texts and in codes: what a segment of a bucket holds.

In texts, an event is as `schema.EVENTS` has it, with times in microseconds (`NEVER` where nothing superseded it), with
`is_first` (no earlier version of the event is known), and with the `file` and `line` it was delivered in. In codes,
names are places in `Names`, and identifiers places in the list of their bucket.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.store.buckets import Ids
from waymark.store.hashes import hash_names, hash_rows, hash_texts, sums_by
from waymark.store.names import Names
from waymark.store.routes import Pairs

NEVER = np.iinfo(np.int64).max
DAY = 86_400_000_000  # microseconds
_MANY_DAYS = 1 << 20
_ALL = np.True_
CUSTOMER, ANONYMOUS = "customer:", "anonymous:"
IDS = (("customer_id", CUSTOMER), ("anonymous_id", ANONYMOUS))
_CODED = {"source": pa.int16(), "file": pa.int32(), "event_type": pa.int16(), "channel": pa.int16()}
_TIME = pa.timestamp("us", tz="UTC")
_TIMES = ("event_time", "known_time", "superseded_time")


def columns_of(rows: pa.Table) -> list[str]:
    """Return the columns of events in texts, in the order of `schema.EVENTS`, attributes last and by name."""
    kept = sorted(c for c in rows.column_names if c.startswith(tuple(schema.ATTRIBUTES)))
    return [*schema.EVENTS.columns, *kept, "is_first", "file", "line"]


def encode(rows: pa.Table, names: Names, customer: np.ndarray, anonymous: np.ndarray) -> pa.Table:
    """Return `rows` in codes; `customer` and `anonymous` hold the place of each row's identifiers, -1 for none."""
    columns = {
        "key": rows["key"],
        "event_id": rows["event_id"],
        **{name: _as_time(rows[name]) for name in _TIMES},
        "is_first": rows["is_first"],
        "sequence": rows["sequence"],
        **{name: pa.array(names.encode(name, rows[name])).cast(kind) for name, kind in _CODED.items()},
        "line": rows["line"],
        "customer": customer.astype(np.int32),
        "anonymous": anonymous.astype(np.int32),
        "actor": pc.index_in(rows["actor"], pa.array(schema.ACTORS)).cast(pa.int8()),
        # Only whether two events share a session is ever asked.
        "session": _sessions(rows["session_id"]),
        "session_id": rows["session_id"],
        "value_cents": rows["value_cents"],
    }
    for name in rows.column_names:
        if name.startswith("attr_"):
            columns[name] = names.encode(name, rows[name])
        elif name.startswith("num_"):
            columns[name] = rows[name].cast(pa.float64())
    return pa.table(columns)


def decode(coded: pa.Table, names: Names, ids: pa.Array) -> pa.Table:
    """Return coded rows in texts; `ids` are the identifiers of their bucket, with their prefixes."""

    def id_texts(column: str, prefix: str) -> pa.Array:
        codes = coded[column].to_numpy()
        found = ids.take(pa.array(codes, mask=codes < 0))
        return pc.utf8_slice_codeunits(found, len(prefix))

    columns = {
        "event_id": coded["event_id"],
        **{name: _as_micros(coded[name]) for name in _TIMES},
        **{name: names.decode(name, coded[name].to_numpy()) for name in _CODED},
        "anonymous_id": id_texts("anonymous", ANONYMOUS),
        "customer_id": id_texts("customer", CUSTOMER),
        "actor": pa.array(schema.ACTORS).take(coded["actor"].combine_chunks()),
    }
    for name in coded.column_names:
        if name.startswith("attr_"):
            columns[name] = names.decode(name, coded[name].to_numpy())
        elif name not in (*columns, "customer", "anonymous", "session"):
            columns[name] = coded[name]
    table = pa.table(columns)
    return table.select([*columns_of(table), "key"])


def _sessions(texts: pa.ChunkedArray) -> np.ndarray:
    hashes = (hash_texts(texts) >> np.uint64(1)).astype(np.int64)
    return np.where(pc.is_valid(texts).to_numpy(), hashes, -1) if texts.null_count else hashes


def _as_time(values: pa.ChunkedArray) -> pa.Array:
    micros = values.to_numpy()
    return pa.array(micros, pa.int64(), mask=micros == NEVER).cast(_TIME)


def _as_micros(values: pa.ChunkedArray) -> np.ndarray:
    return micros_of(values)


def micros_of(values: pa.ChunkedArray) -> np.ndarray:
    """Return times as int64 microseconds, `NEVER` for none."""
    return values.cast(pa.int64()).fill_null(NEVER).to_numpy()


def thing_texts(rows: pa.Table) -> pa.ChunkedArray:
    """Return what makes each row one event: all versions of it share the id."""
    return rows["event_id"]


def pairs(coded: pa.Table, ids: Ids) -> Pairs:
    """Return the pairs of identifiers that events carry together."""
    customer, anonymous = (coded[c].to_numpy() for c in ("customer", "anonymous"))
    at = np.flatnonzero((customer >= 0) & (anonymous >= 0))
    pair = anonymous[at].astype(np.int64) * len(ids.hashes) + customer[at]
    order = np.argsort(pair)
    begins = np.flatnonzero(np.append(True, np.diff(pair[order]) != 0)[: len(at)])
    known = np.maximum(*(micros_of(coded[c])[at] for c in ("event_time", "known_time")))[order]
    first = at[order[begins]]
    least = np.minimum.reduceat(known, begins) if len(begins) else known
    return Pairs(ids.hashes[anonymous[first]], ids.hashes[customer[first]], least, np.full(len(first), 1, np.uint8))


def tally(coded: pa.Table, names: Names, id_hashes: np.ndarray) -> Counter[str]:
    """Count what there is of everything, and add up a hash of the content, by the days of both clocks.

    Counts and sums of hashes (modulo 2**64) of parts add up to those of the whole, and what goes can be taken off.
    """
    out: Counter[str] = Counter()
    first = coded["is_first"].to_numpy()
    for kind, column, texts in (
        ("type", "event_type", names.lists.get("event_type", [])),
        ("actor", "actor", schema.ACTORS),
        ("source", "source", names.lists.get("source", [])),
    ):
        codes = coded[column].to_numpy()
        for name, n in zip(texts, np.bincount(codes, minlength=len(texts)).tolist(), strict=True):
            out[f"{kind}|{name}"] += n
        if kind == "source":
            for name, n in zip(texts, np.bincount(codes[first], minlength=len(texts)).tolist(), strict=True):
                out[f"first|{name}"] += n
    known, happened = (micros_of(coded[c]) // DAY for c in ("known_time", "event_time"))
    days, place = np.unique(known * _MANY_DAYS + happened, return_inverse=True)
    sums = sums_by(_content(coded, names, id_hashes), place, len(days))
    counts = np.bincount(place, minlength=len(days)).tolist()
    for day, n, digest in zip(days.tolist(), counts, sums, strict=True):
        both = f"{day // _MANY_DAYS}|{day % _MANY_DAYS}"
        out[f"n|{both}"] += n
        out[f"hash|{both}"] += digest
    return out


def _content(coded: pa.Table, names: Names, id_hashes: np.ndarray) -> np.ndarray:
    """Return a uint64 hash of what each event says, but for where it was delivered and when it ceased to hold."""
    session = coded["session"].to_numpy()
    columns = {"key": (coded["key"].to_numpy(), _ALL), "session": (session, session >= 0)}
    columns |= {name: (micros_of(coded[name]), _ALL) for name in ("event_time", "known_time")}
    columns["sequence"] = coded["sequence"].to_numpy(), _ALL
    for name in ("customer", "anonymous"):
        columns[name] = _by_code(coded[name], id_hashes)
    columns["actor"] = _by_code(coded["actor"], hash_names(np.array(schema.ACTORS, object)))
    for name in coded.column_names:
        if name.startswith("attr_") or name in ("event_type", "channel", "source"):
            columns[name] = _by_code(coded[name], names.hashes(name))
        elif name.startswith("num_"):
            columns[name] = coded[name].fill_null(0).to_numpy(), coded[name].is_valid().to_numpy()
    cents = coded["value_cents"]
    columns["value_cents"] = cents.fill_null(0).to_numpy(), cents.is_valid().to_numpy()
    return hash_rows(columns)


def _by_code(codes: pa.ChunkedArray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    places = codes.to_numpy()
    return np.append(hashes, np.uint64(0))[places], places >= 0

"""A bucket as the library knows events: as arrays for what is computed a bucket at a time, or as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.config import IdentityConfig
from waymark.eventlog import EventLog, code_type
from waymark.identity import EventIds, Identities, Links, build_identities, remembered_identities
from waymark.kernels import buckets
from waymark.ledger import ANONYMOUS
from waymark.store.arrays import read_columns
from waymark.store.buckets import Bucket, Ids, read_ids
from waymark.store.events import NEVER, micros_of
from waymark.store.hashes import hash_names
from waymark.store.kinds import EVENTS, TOLD, owner_of
from waymark.store.ledgers import CUSTOMER_ACTS, read_ledger
from waymark.store.manifest import Manifest
from waymark.store.names import Names
from waymark.store.segments import Segment, dead_positions, live_rows, open_segment, read_segment, take_rows, together

Kept = Mapping[int, np.ndarray]  # bucket -> which of its identifiers, by place


def read_log(root: Path, manifest: Manifest, number: int, rules: IdentityConfig | None = None) -> EventLog:
    """Return the events of a bucket as arrays."""
    return read_members(root, manifest, number, read_ids(root, manifest.buckets[number]), None, rules)[0]


def read_members(
    root: Path,
    manifest: Manifest,
    number: int,
    ids: Ids,
    is_member: np.ndarray | None,
    rules: IdentityConfig | None = None,
) -> tuple[EventLog, np.ndarray]:
    """Return the events of some whole components of a bucket as arrays, and the place of each identifier of the log.

    `is_member` says by place which identifiers are theirs, none that lives elsewhere; None: all. Identifiers that
    members share an event or a link with are in the log as well, as foreign ones.
    """
    bucket = manifest.buckets[number]
    column, links = read_columns(root, bucket, ids.component, is_member), read_ledger(root, bucket)
    met, is_foreign = np.arange(len(ids.texts)), ids.is_foreign
    if is_member is not None:
        is_foreign = ~is_member  # what an id that too many are linked to leads to is another component
        links = links.filter(pa.array(is_member[links["one"].to_numpy()] | is_member[links["two"].to_numpy()]))
        is_met = np.append(is_member, False)
        for places in (*(column[end] for end in EVENTS.ends), *(links[end].to_numpy() for end in TOLD.ends)):
            buckets.mark(is_met, places)
        met = np.flatnonzero(is_met[:-1])
    texts = ids.texts.take(pa.array(met))
    is_anonymous = pc.starts_with(texts, ANONYMOUS).to_numpy()
    by_kind = np.argsort(is_anonymous, kind="stable")  # customers first
    places, code = met[by_kind], np.full(len(ids.texts) + 1, -1, np.int32)
    code[places] = np.arange(len(places))
    identities = build_identities(
        texts.take(pa.array(by_kind)),
        int((~is_anonymous).sum()),
        _event_ids(column, *(_recoded(column[end], code) for end in EVENTS.ends)),
        _links(links, code),
        rules,
        is_foreign[places],
    )
    return _log(manifest.new_names(), column, identities), places


def read_recent(
    root: Path,
    manifest: Manifest,
    number: int,
    ids: Ids,
    is_member: np.ndarray,
    person: np.ndarray,
    cutoff: int,
    begin: int | None,
) -> EventLog:
    """Return what happened to some whole components of a bucket, to be asked as of one cut-off alone.

    `begin` asks for what happened from then on (microseconds). `person` (int32) says whose each identifier is at that
    cut-off: by place, the place of the one that names its person. Of members it has to say so, and their events are to
    be of those whom they carry.
    """
    column = read_columns(root, manifest.buckets[number], ids.component, is_member, begin)
    events = _event_ids(column, *(column[end] for end in EVENTS.ends))
    mine = remembered_identities(ids.texts.combine_chunks(), events, person, cutoff)
    return _log(manifest.new_names(), column, mine)


def has_session_ids(root: Path, manifest: Manifest, number: int, begin: int) -> bool:
    """Say whether any event of a bucket may have a session id that happened from a time on (microseconds)."""
    segments = (s for s in manifest.buckets[number].events if s.may_hold(begin, NEVER))
    return any(open_segment(root, segment).only("session", -1) != -1 for segment in segments)


def _event_ids(column: Mapping[str, np.ndarray], customer: np.ndarray, anonymous: np.ndarray) -> EventIds:
    times = (column[c] for c in ("event_time", "known_time", "superseded_time"))
    return EventIds(customer, anonymous, *times, column["actor"] == CUSTOMER_ACTS)


def _log(names: Names, column: dict[str, np.ndarray], identities: Identities) -> EventLog:
    """Return a log of events with these columns."""
    value = column["value_cents"]
    has_value = value != NEVER
    return EventLog(
        event_time=column["event_time"],
        known_time=column["known_time"],
        superseded_time=column["superseded_time"],
        sequence=column["sequence"],
        **_named(names, column, "event_type"),
        **_named(names, column, "channel"),
        actor=column["actor"],
        is_first_told=column["is_first"],
        session=column["session"],
        value_cents=np.multiply(value, has_value, out=value),
        has_value=has_value,
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
    return {kind: _recoded(column[kind], small), f"{kind}s": texts}


def _recoded(codes: np.ndarray, new: np.ndarray) -> np.ndarray:
    out = np.empty(len(codes), new.dtype)
    buckets.recode(codes, new, out)
    return out


def _links(table: pa.Table, code: np.ndarray) -> Links:
    return Links(
        code[table["one"].to_numpy()],
        code[table["two"].to_numpy()],
        table["kind"].to_numpy(),
        micros_of(table["known_time"]),
    )


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
    key = list(schema.LINKS.key)
    # A link whose ends live apart was read with both.
    return pd.concat(parts).sort_values(key, kind="stable").drop_duplicates(key, ignore_index=True)


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

"""One bucket of the store: its identifiers, and the segments of its events and of the links that were told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.store.hashes import Ordered, distinct, hash_texts
from waymark.store.mapped import Mapped, write_beside
from waymark.store.routes import Routes
from waymark.store.segments import Segment, files_of

_STATE = {"n_rows": np.int32, "component": np.int32, "changed": np.int32, "left": np.int32, "is_foreign": np.bool_}
MOST_FILES = 8  # of identifiers, and of what is known of them; then they are written into one


@dataclass(frozen=True)
class Bucket:
    """What the manifest says of a bucket; every list is in the order in which its files were written."""

    number: int
    ids: tuple[str, ...] = ()  # files of identifiers: an identifier's place is its row, through all of them
    state: tuple[str, ...] = ()  # files with what is known of identifiers: what a later one says of one holds
    ledger: tuple[str, ...] = ()  # files of the links between them
    unlinked: str = ""  # file of the places, through all of those, of links that are no more
    events: tuple[Segment, ...] = ()
    told: tuple[Segment, ...] = ()

    @property
    def folder(self) -> str:
        """Its folder below the store."""
        return f"bucket-{self.number:04d}"

    @property
    def files(self) -> set[str]:
        """The names of all its files."""
        return files_of((*self.events, *self.told)) | {
            f for f in (*self.ids, *self.state, *self.ledger, self.unlinked) if f
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), **{kind: [s.to_json() for s in getattr(self, kind)] for kind in ("events", "told")}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Bucket:
        """Read back what `to_json` returned."""
        events, told = (tuple(Segment.from_json(s) for s in values[k]) for k in ("events", "told"))
        lists = {k: tuple(values[k]) for k in ("ids", "state", "ledger")}
        return cls(**{**values, **lists, "events": events, "told": told})


@dataclass
class Ids:
    """The identifiers of a bucket, with their prefixes; a place is an index into every array."""

    texts: pa.ChunkedArray = field(default_factory=lambda: pa.chunked_array([], pa.string()))
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    n_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # rows that belong to it
    component: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # equal: in one widest component
    is_foreign: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # it lives in another bucket
    changed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # generation of the latest news of it
    left: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # generation in which it moved elsewhere
    is_touched: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # what is known of it was never written
    n_written: int = 0
    n_routed: int = 0  # those after them are new: nothing moved

    def _find(self, texts: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """Return the place of each of some distinct texts, -1 for none."""
        order = np.argsort(hashes)
        at = Ordered(hashes[order]).find(self.hashes)
        met = np.flatnonzero(at >= 0)
        asked = order[at[met]]
        is_same = pc.equal(self.texts.take(pa.array(met)), texts.take(pa.array(asked))).to_numpy()
        if is_same.all() and len(distinct(hashes)) == len(hashes):
            found = np.full(len(texts), -1)
            found[asked] = met
            return found
        # Two texts share a hash.
        return pc.index_in(texts, self.texts.combine_chunks()).fill_null(-1).to_numpy().astype(np.int64)

    def places(self, texts: pa.Array) -> np.ndarray:
        """Return the place of each of some distinct texts; new ones get the next."""
        hashes = hash_texts(texts)
        found = self._find(texts, hashes)
        is_new = found < 0
        n_new, n = int(is_new.sum()), len(self.texts)
        if n_new:
            found[is_new] = np.arange(n, n + n_new)
            new = texts.filter(pa.array(is_new))
            self.texts = pa.chunked_array([*self.texts.chunks, new], pa.string())
            self.hashes = np.append(self.hashes, hashes[is_new])
            self.n_rows = np.append(self.n_rows, np.zeros(n_new, np.int32))
            self.component = np.append(self.component, np.arange(n, n + n_new, dtype=np.int32))
            self.is_foreign = np.append(self.is_foreign, np.zeros(n_new, bool))
            self.is_touched = np.append(self.is_touched, np.ones(n_new, bool))
            self.changed, self.left = (np.append(c, np.zeros(n_new, np.int32)) for c in (self.changed, self.left))
        return found

    def count(self, places: np.ndarray, sign: int) -> None:
        """Note that a row more, or less, belongs to the identifier at each place."""
        self.n_rows = self.n_rows + np.int32(sign) * np.bincount(places, minlength=len(self.n_rows)).astype(np.int32)
        self.is_touched[places] = True

    def mark(self, places: np.ndarray, generation: int) -> None:
        """Note that there is news of the identifier at each place; -1 is none."""
        places = places[places >= 0]
        self.changed[places] = generation
        self.is_touched[places] = True

    def route(self, routes: Routes, joined: Ordered, number: int, generation: int) -> None:
        """Note which identifiers are of one component, and which live elsewhere.

        `joined` are those of components that became one since this was last noted.
        """
        at = self._to_route(routes, joined)
        is_foreign = routes.buckets_of(self.hashes[at]) != number
        moved = (is_foreign != self.is_foreign[at]) & (at < self.n_routed)
        self.changed[at[moved]] = generation
        self.left[at[moved & is_foreign]] = generation
        self.is_foreign[at] = is_foreign
        _, first, inverse = np.unique(routes.roots_of(self.hashes[at]), return_index=True, return_inverse=True)
        self.component[at] = at[first[inverse]]
        self.is_touched[at] = True
        self.n_routed = len(self.hashes)

    def _to_route(self, routes: Routes, joined: Ordered) -> np.ndarray:
        """Return the places, ascending, of new identifiers and of joined ones, with all others of their components."""
        if not self.n_routed:
            return np.arange(len(self.hashes))
        new = self.hashes[self.n_routed :]
        apart = new[joined.find(new) < 0]
        also = np.union1d(apart, routes.members_of(np.unique(routes.roots_of(apart)))) if len(apart) else apart
        return np.union1d(joined.positions_in(self.hashes), Ordered(also).positions_in(self.hashes))


def read_ids(root: Path, bucket: Bucket) -> Ids:
    """Return the identifiers of a bucket."""
    if not bucket.ids:
        return Ids()
    listed = [Mapped(root / file) for file in bucket.ids]
    hashes = np.concatenate([file.numbers("hash") for file in listed])
    n = len(hashes)
    state = {name: np.zeros(n, kind) for name, kind in _STATE.items()}
    for i, file in enumerate(Mapped(root / name) for name in bucket.state):
        at = file.numbers("place") if i else slice(file.n_rows)  # the first file tells of all that were there
        for name, values in state.items():
            values[at] = file.values(name).data
    # Copied: a file stays open while it is mapped, and a night may hold the identifiers of all buckets.
    texts = pa.concat_arrays([chunk for file in listed for chunk in file.table(["id"])["id"].chunks])
    return Ids(pa.chunked_array([texts]), hashes, **state, is_touched=np.zeros(n, bool), n_written=n, n_routed=n)


def are_many(files: Sequence[str], bucket: Bucket) -> bool:
    """Say whether what some files of a bucket hold is to be written into one: not for all buckets in one night."""
    return len(files) >= MOST_FILES + bucket.number % MOST_FILES


def write_ids(root: Path, bucket: Bucket, ids: Ids, generation: int) -> Bucket:
    """Write the identifiers that are new, and what is now known of those touched; return the bucket with them."""
    if not len(ids.texts):
        return bucket
    (root / bucket.folder).mkdir(parents=True, exist_ok=True)
    files, state = (() if are_many(files, bucket) else files for files in (bucket.ids, bucket.state))
    if len(ids.texts) > ids.n_written:
        begin = ids.n_written if files else 0
        table = pa.table({"id": ids.texts.slice(begin), "hash": ids.hashes[begin:]})
        files = write_beside(root, files, f"{bucket.folder}/ids-{generation:06d}", table)
    else:
        files = bucket.ids
    at = np.flatnonzero(ids.is_touched) if state else np.arange(len(ids.texts))
    if len(at):
        known = {name: getattr(ids, name)[at] for name in _STATE}
        table = pa.table({"place": at.astype(np.int32), **known})
        state = write_beside(root, state, f"{bucket.folder}/state-{generation:06d}", table)
    return replace(bucket, ids=files, state=state)

"""The event store as the steps meet it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from waymark import tables
from waymark.config import IdentityConfig
from waymark.errors import InputError
from waymark.eventlog import EventLog
from waymark.store.buckets import Ids
from waymark.store.facts import StoreFacts
from waymark.store.hashes import hash_names
from waymark.store.manifest import FORMAT, Manifest
from waymark.store.reading import draw_persons, read_events, read_links, read_log, read_members
from waymark.store.rejects import read_rejects
from waymark.store.routes import Routes, read_routes

_MOST_KEPT = 4_000_000  # events: some hundred MB
_read: dict[tuple[Any, ...], tuple[np.ndarray, tuple[EventLog, np.ndarray]]] = {}  # see `Store.members`


class Store:
    """What was delivered, in buckets that hold everything of a person."""

    def __init__(self, root: Path = tables.STORE, rules: IdentityConfig | None = None) -> None:
        """Open the store at `root`; `rules` say who is who."""
        self.root, self.rules = root, rules

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as the folder's path alone: what lies in it is read there."""
        return Store, (self.root.absolute(), self.rules)

    @cached_property
    def manifest(self) -> Manifest:
        """What is in force."""
        found = Manifest.read(self.root)
        if found is None:
            raise InputError(f"{self.root} holds no event store; `dvc repro -P` makes it")
        if found.format != FORMAT:
            raise InputError(f"{self.root} was written by another version of Waymark; `dvc repro -P` makes it anew")
        return found

    @property
    def buckets(self) -> range:
        """The numbers of its buckets."""
        return range(self.manifest.n_buckets)

    @property
    def facts(self) -> StoreFacts:
        """What the clocks have to know."""
        return StoreFacts(self.root, self.manifest)

    def log(self, bucket: int) -> EventLog:
        """Return the events of a bucket as arrays."""
        return read_log(self.root, self.manifest, bucket, self.rules)

    def members(
        self, bucket: int, ids: Ids, is_member: np.ndarray | None, *, keep: bool = False
    ) -> tuple[EventLog, np.ndarray]:
        """Return the events of some persons of a bucket: see `read_members`.

        With `keep` what was read is kept, if not too much, for a later step in this process, which asks for it once.
        """
        manifest = self.manifest
        past = manifest.generation, manifest.past[f"{manifest.generation:06d}"]
        key = self.root.absolute(), past, repr(self.rules), bucket
        asked, found = _read.pop(key, (None, None))
        if asked is not None and np.array_equal(asked, is_member):
            return found
        found = read_members(self.root, manifest, bucket, ids, is_member, self.rules)
        for other in [other for other in list(_read) if other[:-1] != key[:-1]]:
            _read.pop(other, None)  # of another night, or store
        n_kept = sum(len(log) for _, (log, _) in list(_read.values()))
        if keep and is_member is not None and n_kept + len(found[0]) <= _MOST_KEPT:
            _read[key] = is_member, found
        return found

    def buckets_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the bucket of each of some identifiers (an object array of texts), int32."""
        return self._routes.buckets_of(hash_names(ids))

    @cached_property
    def _routes(self) -> Routes:
        return read_routes(self.root, self.manifest.routes, self.manifest.n_buckets)

    def logs(self) -> Iterator[EventLog]:
        """Yield the events of one bucket after another as arrays."""
        return map(self.log, self.buckets)

    def events(self) -> pd.DataFrame:
        """Return all rows of `schema.EVENTS`, by their key."""
        return read_events(self.root, self.manifest)

    def links(self) -> pd.DataFrame:
        """Return all rows of `schema.LINKS`, by their key: who is known to be who."""
        return read_links(self.root, self.manifest)

    def sample(self, ids: np.ndarray, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the events and the links of `n` of the persons that some identifiers are of; see `draw_persons`."""
        kept = draw_persons(self.root, self.manifest, ids, n)
        return read_events(self.root, self.manifest, kept), read_links(self.root, self.manifest, kept)

    def rejects(self) -> pd.DataFrame:
        """Return rows of `schema.REJECTS`: every delivered row that was refused."""
        return read_rejects(self.root, self.manifest)

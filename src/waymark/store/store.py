"""The event store as the steps meet it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import pandas as pd

from waymark import tables
from waymark.config import IdentityConfig
from waymark.errors import InputError
from waymark.eventlog import EventLog
from waymark.store.facts import StoreFacts
from waymark.store.manifest import Manifest
from waymark.store.reading import read_events, read_links, read_log
from waymark.store.rejects import read_rejects


class Store:
    """What was delivered, in buckets that hold everything of a person."""

    def __init__(self, root: Path = tables.STORE) -> None:
        """Open the store at `root`."""
        self.root = root

    @cached_property
    def manifest(self) -> Manifest:
        """What is in force."""
        found = Manifest.read(self.root)
        if found is None:
            raise InputError(f"{self.root} holds no event store; `dvc repro -P` makes it")
        return found

    @property
    def buckets(self) -> range:
        """The numbers of its buckets."""
        return range(self.manifest.n_buckets)

    @property
    def facts(self) -> StoreFacts:
        """What the clocks have to know."""
        return StoreFacts(self.root, self.manifest)

    def log(self, bucket: int, rules: IdentityConfig | None = None) -> EventLog:
        """Return the events of a bucket as arrays; `rules` say who is who."""
        return read_log(self.root, self.manifest, bucket, rules)

    def events(self, buckets: Iterable[int] | None = None) -> pd.DataFrame:
        """Return rows of `schema.EVENTS` of some buckets, or all, by their key."""
        return read_events(self.root, self.manifest, buckets)

    def links(self, buckets: Iterable[int] | None = None) -> pd.DataFrame:
        """Return rows of `schema.LINKS` of some buckets, or all, by their key: who is known to be who."""
        return read_links(self.root, self.manifest, buckets)

    def rejects(self) -> pd.DataFrame:
        """Return rows of `schema.REJECTS`: every delivered row that was refused."""
        return read_rejects(self.root, self.manifest)

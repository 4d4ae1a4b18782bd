"""A delivery taken into an event store in a temporary folder, as the tables that tests look at."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from waymark import schema
from waymark.config import IdentityConfig, SourceConfig
from waymark.store import landing as store
from waymark.store.buckets import read_ids
from waymark.store.kinds import TOLD
from waymark.store.report import clockless, report, summary
from waymark.store.segments import live_rows
from waymark.store.store import Store


@dataclass(frozen=True)
class Ingested:
    """What a delivery became."""

    events: pd.DataFrame
    links: pd.DataFrame  # those that files told of
    rejects: pd.DataFrame
    report: dict[str, Any]

    @property
    def clockless(self) -> list[str]:
        return clockless(self.report)

    @property
    def summary(self) -> str:
        return summary(self.report)


def ingest(landing: Path, source: SourceConfig, n_buckets: int = 1) -> Ingested:
    """Take all that lies in a folder into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        store.ingest(landing, source, IdentityConfig(), root, n_buckets)
        return contents(Store(root), source)


def contents(found: Store, source: SourceConfig) -> Ingested:
    """Return what a store holds."""
    return Ingested(
        found.events(),
        told_links(found),
        found.rejects(),
        report(found.manifest, found.facts, source),
    )


def told_links(found: Store) -> pd.DataFrame:
    """Return the links that files told of, each once, by the first of the feeds that did: rows of `schema.LINKS`."""
    names, parts = found.manifest.new_names(), []
    for bucket in found.manifest.buckets:
        texts = read_ids(found.root, bucket).texts
        parts += [TOLD.decode(live_rows(found.root, s), names, texts).to_pandas() for s in bucket.told]
    links = pd.concat([pd.DataFrame(columns=list(schema.LINKS.columns)), *parts])
    links["known_time"] = pd.to_datetime(links["known_time"].to_numpy("datetime64[us]"), utc=True)
    links = links.sort_values([*schema.LINKS.key, "source"], kind="stable").drop_duplicates(list(schema.LINKS.key))
    return schema.to_arrow(links[list(schema.LINKS.columns)], schema.LINKS).to_pandas()

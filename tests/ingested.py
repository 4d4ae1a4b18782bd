"""A delivery taken into an event store in a temporary folder, as the tables that tests look at."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from waymark.config import IdentityConfig, SourceConfig
from waymark.store import landing as store
from waymark.store.reading import read_told
from waymark.store.report import clockless, report, summary
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
        read_told(found.root, found.manifest),
        found.rejects(),
        report(found.manifest, found.facts, source),
    )

"""Delivered rows that were refused: those that broke a rule, and those that contradict another row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from waymark import schema
from waymark.sources.delivery import Delivery, Reject
from waymark.sources.settling import CONFLICT
from waymark.store.manifest import Manifest
from waymark.store.mapped import damaged
from waymark.store.segments import live_rows

_KINDS = {"source": pa.string(), "file": pa.string(), "line": pa.int64(), "rule": pa.string(), "reason": pa.string()}


def add_rejects(root: Path, manifest: Manifest, deliveries: Mapping[str, Delivery]) -> None:
    """Keep the rows that were refused tonight."""
    rows = [(name, *reject) for name, delivery in deliveries.items() for reject in delivery.rejects]
    if rows:
        columns = zip(_KINDS, zip(*rows, strict=True), strict=True)
        table = pa.table({name: pa.array(values, _KINDS[name]) for name, values in columns})
        file = f"rejects-{manifest.generation:06d}.parquet"
        pq.write_table(table, root / file, compression="zstd", write_page_checksum=True)
        manifest.rejects.append(file)
        manifest.rules.update(Counter(table["rule"].to_pylist()))


def conflicts(root: Path, manifest: Manifest, feed: str) -> list[Reject]:
    """Return the rows of a feed that contradict another one of their id and time."""
    if not any(account[CONFLICT] for account in manifest.taken.get(feed, {}).values()):
        return []
    found = []
    for segment in manifest.rows.get(feed, []):
        rows = live_rows(root, segment, ["file", "line", "status", "reason"])
        found += [(r["file"], r["line"], CONFLICT, r["reason"]) for r in rows.to_pylist() if r["status"] == CONFLICT]
    return found


def read_rejects(root: Path, manifest: Manifest) -> pd.DataFrame:
    """Return every refused row as rows of `schema.REJECTS`, sorted by its key."""
    try:
        parts = [pq.read_table(root / file, page_checksum_verification=True) for file in manifest.rejects]
    except (OSError, pa.ArrowException) as error:
        raise damaged(root, error) from None
    rows = [(feed, *reject) for feed in manifest.taken for reject in conflicts(root, manifest, feed)]
    table = pd.DataFrame(rows, columns=list(_KINDS)).astype({"line": "int64"})
    if parts:
        table = pd.concat([pa.concat_tables(parts).to_pandas(), *([table] if rows else [])], ignore_index=True)
    return table.sort_values(list(schema.REJECTS.key), kind="stable", ignore_index=True)

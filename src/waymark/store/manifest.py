"""What is in force in the store: the one file that a night replaces last."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waymark import tables
from waymark.store import mapped
from waymark.store.buckets import Bucket
from waymark.store.names import Names
from waymark.store.segments import Segment, files_of

MANIFEST = "manifest.json"
FORMAT = 3  # of the files of a store; one that was written in another is taken in anew
ASIDE = "aside"  # the folder of what a night has read and not yet put in its place


@dataclass
class Manifest:
    """The store as of one night."""

    fingerprint: str  # of the settings and the code that it was made with
    n_buckets: int
    generation: int = 0  # of the night; part of the name of each of its files
    format: int = FORMAT
    buckets: list[Bucket] = field(default_factory=list)
    rows: dict[str, list[Segment]] = field(default_factory=dict)  # feed -> delivered rows behind events told of twice
    routes: list[str] = field(default_factory=list)  # files of the linked identifiers; see `write_routes`
    pairs: list[str] = field(default_factory=list)  # files of their links
    names: dict[str, list[str]] = field(default_factory=dict)
    taken: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # feed -> landing file -> its account
    feeds: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # feed -> columns `filled`, `clocks`
    rejects: list[str] = field(default_factory=list)  # files of rows that broke a rule of their own
    rules: Counter[str] = field(default_factory=Counter)  # rule -> such rows
    past: dict[str, str] = field(default_factory=dict)  # generation -> a hash of all that came in up to it
    # Kind of things -> what its `tally` says of all of them.
    tallies: dict[str, Counter[str]] = field(default_factory=lambda: {"events": Counter(), "told": Counter()})

    @property
    def n_events(self) -> int:
        """The number of events, versions of restated ones counted apart."""
        return sum(n for key, n in self.tallies["events"].items() if key.startswith("source|"))

    @property
    def files(self) -> set[str]:
        """The names of all files in force."""
        mine = {*self.routes, *self.pairs, *self.rejects}
        return mine.union(*(b.files for b in self.buckets), *(files_of(s) for s in self.rows.values()))

    def new_names(self) -> Names:
        """Return the names known so far, to be added to."""
        return Names(self.names)

    def write(self, root: Path) -> None:
        """Make this the store that is in force."""
        before = [self.fingerprint, max(self.past.items(), default=None), self.taken]
        told = json.dumps([before, {kind: _settled(counts) for kind, counts in self.tallies.items()}], sort_keys=True)
        self.past[f"{self.generation:06d}"] = hashlib.sha256(told.encode()).hexdigest()[:16]
        value = {
            **{k: v for k, v in vars(self).items() if k not in ("buckets", "rows", "tallies")},
            "buckets": [b.to_json() for b in self.buckets],
            "rows": {feed: [s.to_json() for s in segments] for feed, segments in self.rows.items()},
            "tallies": {kind: _settled(counts) for kind, counts in self.tallies.items()},
        }
        tables.write_json(value, root / MANIFEST, indent=None)

    @classmethod
    def read(cls, root: Path) -> Manifest | None:
        """Return the store that is in force, or None where there is none."""
        if not (root / MANIFEST).exists():
            return None
        value: Mapping[str, Any] = tables.read_json(root / MANIFEST)
        if value.get("format", 1) != FORMAT:  # nothing else of it can be told for sure
            return cls("", value["n_buckets"], value["generation"], value.get("format", 1))
        return cls(
            **{
                **value,
                "buckets": [Bucket.from_json(b) for b in value["buckets"]],
                "rows": {feed: [Segment.from_json(s) for s in segments] for feed, segments in value["rows"].items()},
                "rules": Counter(value["rules"]),
                "tallies": {kind: Counter(counts) for kind, counts in value["tallies"].items()},
            }
        )


def delete_strays(root: Path) -> None:
    """Delete the files of a store that are not in force: those of nights past, and of one that was stopped."""
    shutil.rmtree(root / ASIDE, ignore_errors=True)
    found = Manifest.read(root)
    if found and found.format != FORMAT:
        return
    in_force = found.files if found else set()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".parquet", mapped.SUFFIX) and path.relative_to(root).as_posix() not in in_force:
            path.unlink()


def _settled(counts: Counter[str]) -> dict[str, int]:
    """Return what is left; sums of hashes are of 64 bits."""
    wrapped = {k: v % 2**64 if k.startswith("hash|") else v for k, v in counts.items()}
    return {k: v for k, v in wrapped.items() if v}

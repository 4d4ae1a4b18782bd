"""Tables that features read: what a file holds was written at some time, by somebody, and no other check sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from waymark import custom
from waymark.features import OPENED_ON_IMPORT
from waymark.file_watch import opened_files
from waymark.findings import ALARM, OK, Finding
from waymark.points import Points

_READS = "reads_files"
CHECKS = (_READS,)
_RESULTS = ("data", "models", "reports")
_TABLES = {
    *(".csv", ".tsv", ".json", ".jsonl", ".parquet", ".feather", ".arrow"),
    *(".npy", ".npz", ".pkl", ".pickle", ".xlsx", ".sqlite", ".db"),
}


@contextmanager
def watched_features() -> Iterator[dict[str, set[str]]]:
    """Yield, by custom feature, the paths that its function opens while the block runs."""
    opened: dict[str, set[str]] = {name: set() for name in custom.REGISTERED}
    before = dict(custom.REGISTERED)
    for name, registered in before.items():
        custom.REGISTERED[name] = replace(registered, compute=_watched(registered.compute, opened[name]))
    try:
        yield opened
    finally:
        custom.REGISTERED.update(before)


def _watched(compute: custom.Compute, opened: set[str]) -> Callable[[Points], np.ndarray]:
    def compute_and_tell(points: Points) -> np.ndarray:
        with opened_files() as heard:
            try:
                return compute(points)
            finally:
                opened.update(heard)

    return compute_and_tell


def find_readers(opened: dict[str, set[str]]) -> Iterator[Finding]:
    """Find custom features that read tables, when they are computed or when `src/custom_features.py` is imported."""
    who = {"src/custom_features.py": OPENED_ON_IMPORT, **opened}
    read = {name: tables for name, paths in who.items() if (tables := _tables(paths))}
    for name, tables in read.items():
        yield Finding(_READS, name, ALARM, f"opens {', '.join(tables)}, of which nobody knows what it knew when")
    if not read:
        yield Finding(_READS, "all features", OK, "no table is opened")


def _tables(paths: Iterable[str]) -> list[str]:
    """Return which paths hold results of the project or tables of anybody, as seen from the project; libraries may."""
    root, libraries = Path.cwd(), {Path(p) for p in (sys.prefix, sys.base_prefix)}
    found = []
    for path in map(Path, sorted(paths)):
        is_result = any(path.is_relative_to(root / folder) for folder in _RESULTS)
        is_table = not _TABLES.isdisjoint(path.suffixes) and not any(path.is_relative_to(p) for p in libraries)
        if is_result or is_table:
            found.append((path.relative_to(root) if path.is_relative_to(root) else path).as_posix())
    return found

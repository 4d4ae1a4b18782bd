"""Which files the code of a `with` block opens, as Python and Arrow tell of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq

_listening: list[set[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        for heard in _listening:
            heard.add(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100 - a Path may call the hook again


sys.addaudithook(_hear)  # for good: Python has no way to take a hook away


@contextmanager
def opened_files() -> Iterator[set[str]]:
    """Yield the set of absolute paths that fills while the block runs."""
    heard: set[str] = set()
    _listening.append(heard)
    try:
        with _arrow_tells(pq.ParquetFile), _arrow_tells(pq.ParquetDataset):
            yield heard
    finally:
        _listening.pop()


@contextmanager
def _arrow_tells(reader: type) -> Iterator[None]:
    """Let a reader of Arrow, which opens files behind Python's back, tell of them."""
    original = reader.__init__

    def telling(self: Any, source: Any, *arguments: Any, **options: Any) -> None:
        sys.audit("open", source, "rb", 0)
        original(self, source, *arguments, **options)

    reader.__init__ = telling
    try:
        yield
    finally:
        reader.__init__ = original

"""What a night makes anew of kept tables: the rows of persons whom news concern."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark import schema, tables
from waymark.code import code_version
from waymark.config import Section
from waymark.engine import Engine
from waymark.eventlog import EventLog
from waymark.kept import (
    MANIFEST,
    Manifest,
    Piece,
    cut,
    delete_strays,
    gone_file,
    news_file,
    pending_file,
    put_in_order,
    read_manifest,
    write_manifest,
)
from waymark.parts import Out, Part, make_tables
from waymark.store.changes import are_pending, read_concerned
from waymark.store.store import Store

_GONE = schema.Table("gone", "an identifier whose older rows no longer hold", ("id",), {"id": "string"})
_PENDING = schema.Table(
    "pending", "an identifier of which something may change without news", ("id",), {"id": "string"}
)


class KeptOut(NamedTuple):
    """A kept table to be made."""

    folder: Path
    table: schema.Table
    person: str  # the column that says whose a row is


def make_kept(
    engine: Engine,
    make: Callable[[EventLog], Part],
    store: Store,
    outs: Sequence[KeptOut],
    cutoff: int,
    settings: Sequence[Section],
) -> tuple[list[int], list[Any]]:
    """Write the rows that `make` returns for the persons of the store into kept tables.

    Parameters
    ----------
    engine
        What calls `make`.
    make
        A function of a module, or a `functools.partial` of one, of the events of some whole persons. What it returns
        for one of them hangs on that person alone, on the settings, and on what had happened and was known at `cutoff`,
        or on all that is known.
    outs
        The tables, in the order of `Part.frames`.
    cutoff
        Microseconds.
    settings
        All that `make` hangs on besides. With others than last night's, or other code, everything is made anew.

    Returns
    -------
    n_rows : list of int
        How many rows of each table were made.
    told : list
        The `told` of each part.
    """
    found = [read_manifest(o.folder) if (o.folder / MANIFEST).exists() else None for o in outs]
    for out, old in zip(outs, found, strict=True):
        delete_strays(out.folder, old)
    night = 1 + max((old.night for old in found if old), default=-1)
    note = _note(settings)
    before = _last_night(store, outs, found, cutoff, note)
    pending = tables.read(outs[0].folder / pending_file(before.night))["id"].to_numpy(object) if before else None
    work = partial(_make, make, store, before.generation if before else None, pending, cutoff)
    parts: dict[Path, list[Piece]] = {}

    def put(out: Out, chunks: Iterator[pa.Table], columns: pa.Schema, n_rows: int) -> None:
        if before:
            tables.write_sorted(chunks, columns, n_rows, out.path)
        else:
            parts[out.path] = list(cut(out.path.parent, chunks, out.table.key[0], None, night))

    files = [Out(o.folder / news_file(night), o.table) for o in outs]
    n_rows, told = make_tables(engine, work, store.buckets, files, put)
    # Of an identifier that moved, both buckets tell.
    gone, later = (pd.DataFrame({"id": pd.array(np.unique(ids), "str")}) for ids in _both(told))
    generation = store.manifest.generation
    now = Manifest(note, generation, store.manifest.past[f"{generation:06d}"], cutoff, night=night)
    for out, old, file in zip(outs, found, files, strict=True):
        mine = replace(now, key=out.table.key, person=out.person, parts=tuple(parts.get(file.path, ())))
        tables.write(later, out.folder / pending_file(night), _PENDING)
        if before:
            tables.write(gone, out.folder / gone_file(night), _GONE)
            mine = put_in_order(out.folder, replace(mine, parts=old.parts, news=(*old.news, night)))
        write_manifest(out.folder, mine)
        delete_strays(out.folder, mine)
    return n_rows, [t.told for t in told]


def _note(settings: Sequence[Section]) -> str:
    """Return a hash of the settings and the code."""
    said = [[s.model_dump(mode="json") for s in settings], code_version()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class _Told(NamedTuple):
    """What else there is to say of a piece of a bucket."""

    told: Any
    gone: np.ndarray
    pending: np.ndarray


def _make(
    make: Callable[[EventLog], Part],
    store: Store,
    since: int | None,
    pending: np.ndarray | None,
    cutoff: int,
    bucket: int,
) -> Part:
    """Make the rows of the persons of a bucket whom news concern."""
    events, gone = read_concerned(store.root, store.manifest, bucket, store.rules, since, pending)
    made = make(events)
    ids = events.identities
    return Part(made.frames, _Told(made.told, gone, ids.person_ids[are_pending(events, cutoff) & ~ids.is_foreign]))


def _both(told: Sequence[_Told]) -> tuple[np.ndarray, np.ndarray]:
    """Return all identifiers that are gone, and all that are pending."""
    return tuple(np.concatenate([np.zeros(0, object), *(t[k] for t in told)]) for k in (1, 2))


def _last_night(
    store: Store, outs: Sequence[KeptOut], found: Sequence[Manifest | None], cutoff: int, note: str
) -> Manifest | None:
    """Return what all outs were made of, if it was the same, and of what the store held once; else None."""
    if not all(found):
        return None
    first = found[0]
    made_of = [(m.note, m.generation, m.past, m.cutoff, m.night) for m in found]
    is_known = store.manifest.past.get(f"{first.generation:06d}") == first.past
    if any(other != made_of[0] for other in made_of) or first.note != note or not is_known or first.cutoff > cutoff:
        return None
    there = all((out.folder / f).exists() for out, m in zip(outs, found, strict=True) for f in m.files)
    return first if there else None

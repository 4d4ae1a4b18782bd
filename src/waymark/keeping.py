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
import pyarrow as pa
import pyarrow.compute as pc

from waymark import heads, schema, tables
from waymark.code import code_version
from waymark.config import Section
from waymark.engine import Engine
from waymark.eventlog import EventLog
from waymark.kept import (
    MANIFEST,
    NEWS_ROWS,
    Manifest,
    Piece,
    cut,
    delete_strays,
    first_of_all,
    gone_file,
    heads_file,
    news_file,
    pending_file,
    put_in_order,
    read_manifest,
    write_manifest,
)
from waymark.parts import Out, Part, make_tables
from waymark.store.changes import PENDING, are_pending, read_concerned
from waymark.store.store import Store

_GONE = schema.Table(
    "gone",
    "an identifier whose older rows no longer hold: those from a number on, where rows of a person are numbered",
    ("id",),
    {"id": "string", "first": "int32"},
)


class KeptOut(NamedTuple):
    """A kept table to be made."""

    folder: Path
    table: schema.Table
    person: str  # the column that says whose a row is
    number: str = ""  # the column that numbers the rows of a person from 1 on, if there is one


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
        or on all that is known. Rows that are numbered are a table of Arrow, those
        of a person below each other in the order of their number.
    outs
        The tables, in the order of `Part.frames`.
    cutoff
        Microseconds.
    settings
        All that `make` hangs on besides. With others than last night's, or other code, everything is made anew.

    Returns
    -------
    n_rows : list of int
        How many rows of each table are new.
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
    there = [out._replace(folder=out.folder.absolute()) for out in outs]
    work = partial(_make, make, store, before, pending, cutoff, there)
    parts: dict[Path, list[Piece]] = {}
    gone: dict[Path | None, pa.Table] = {}

    def put(out: Out, chunks: Iterator[pa.Table], columns: pa.Schema, n_rows: int, told: Sequence[_Told]) -> None:
        if before:
            tables.write_sorted(chunks, columns, n_rows, out.path, group_rows=NEWS_ROWS)
        else:
            parts[out.path] = list(cut(out.path.parent, chunks, out.table.key[0], None, night))

    files = [Out(o.folder / news_file(night), o.table) for o in outs]
    n_rows, told = make_tables(engine, work, store.buckets, files, put)
    later = pa.concat_tables([t.pending for t in told]).group_by("id", use_threads=False).aggregate([])
    generation = store.manifest.generation
    now = Manifest(note, generation, store.manifest.past[f"{generation:06d}"], cutoff, night=night)
    for k, (out, old, file) in enumerate(zip(outs, found, files, strict=True)):
        tables.write(later, out.folder / pending_file(night), PENDING)
        known = [t.heads[k] for t in told if out.number]
        for bucket, rows in enumerate(known):
            heads.write(rows, out.folder / heads_file(bucket, night))
        what = {"key": out.table.key, "person": out.person, "number": out.number, "n_heads": len(known)}
        mine = replace(now, **what, parts=tuple(parts.get(file.path, ())))
        if before:
            mine_alone = out.folder if out.number else None  # what is gone as a whole is gone of all others, too
            if mine_alone not in gone:
                # Of an identifier that moved, both buckets tell.
                gone[mine_alone] = schema.to_arrow(first_of_all([t.gone[k] for t in told]), _GONE)
            rows, path = gone[mine_alone], out.folder / gone_file(night)
            tables.write_sorted([rows], rows.schema, rows.num_rows, path, group_rows=NEWS_ROWS)
            mine = put_in_order(out.folder, replace(mine, parts=old.parts, news=(*old.news, night)))
        write_manifest(out.folder, mine)
        delete_strays(out.folder, mine)
    return n_rows, [t.told for t in told]


def _note(settings: Sequence[Section]) -> str:
    """Return a hash of the settings and the code."""
    said = [[s.model_dump(mode="json") for s in settings], code_version()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class _Told(NamedTuple):
    """What else there is to say of a bucket."""

    told: Any
    gone: list[pa.Table]  # of each table, rows of `_GONE`
    heads: list[pa.Table]  # of each table
    pending: pa.Table  # rows of `PENDING`


def _make(
    make: Callable[[EventLog], Part],
    store: Store,
    before: Manifest | None,
    pending: np.ndarray | None,
    cutoff: int,
    outs: Sequence[KeptOut],
    bucket: int,
) -> Part:
    """Make the rows of the persons of a bucket whom news concern; return those that are new."""
    since = before.generation if before else None
    events, ids = read_concerned(store.root, store.manifest, bucket, store.rules, since, pending)
    made = make(events)
    frames, gone, remembered = [], [], []
    ids = ids if before else ids[:0]  # nothing is gone of tables that are made anew
    names = pa.array(ids, pa.string())
    all_of = pa.table({"id": names, "first": np.zeros(len(names), np.int32)})
    for out, rows in zip(outs, made.frames, strict=True):
        if out.number:
            file = out.folder / heads_file(bucket, before.night) if before else None
            old = heads.read(file) if file else heads.SCHEMA.empty_table()
            rows, persons, numbers, known = heads.changed_rows(rows, out.person, out.number, old, ids)
            first = np.zeros(len(names), np.int32)
            first[pc.index_in(persons, names).to_numpy()] = numbers
            remembered.append(known)
            gone.append(pa.table({"id": names, "first": first}))
        else:
            remembered.append(heads.SCHEMA.empty_table())
            gone.append(all_of)
        frames.append(rows)
    mine = events.identities
    later = mine.names.filter(pa.array(are_pending(events, cutoff) & ~mine.is_foreign))
    return Part(frames, _Told(made.told, gone, remembered, pa.table({"id": later})))


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

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
    gone_file,
    heads_file,
    news_file,
    pending_file,
    put_in_order,
    read_manifest,
    write_manifest,
)
from waymark.parts import Out, Part, Stretch, make_tables
from waymark.store.changes import PENDING, are_pending, find_concerned
from waymark.store.hashes import hash_texts
from waymark.store.store import Store


class KeptOut(NamedTuple):
    """A kept table to be made."""

    folder: Path
    table: schema.Table | None  # None: no table, but numbers of persons, one row each, to be added up (`Manifest.sums`)
    person: str  # the column that says whose a row is
    number: str = ""  # the column that numbers the rows of a person from 1 on, if there is one

    @property
    def remembers(self) -> bool:
        """Whether something is remembered of each person: see `heads.py`."""
        return bool(self.number) or not self.table


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
        or on all that is known. Rows that are numbered or added up are a table of Arrow, those
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
    work = partial(_make, make, store, before, pending, cutoff, there, night)
    parts: dict[Path, list[Piece]] = {}

    def put(out: Out, stretches: Iterator[Stretch], columns: pa.Schema, n_rows: int, told: Sequence[_Told]) -> None:
        chunks = (stretch.taken() for stretch in stretches)
        if before:
            tables.write_sorted(chunks, columns, n_rows, out.path, group_rows=NEWS_ROWS)
        else:
            parts[out.path] = list(cut(out.path.parent, chunks, out.table.key[0], None, night))

    files = [Out(o.folder / news_file(night), o.table) for o in outs if o.table]
    n_rows, told = make_tables(engine.few() if before else engine, work, store.buckets, files, put)
    later = pa.concat_tables([t.pending for t in told]).group_by("id", use_threads=False).aggregate([])
    generation = store.manifest.generation
    now = Manifest(note, generation, store.manifest.past[f"{generation:06d}"], cutoff, night=night)
    gone = _Gone([t.gone for t in told])
    for k, (out, old) in enumerate(zip(outs, found, strict=True)):
        tables.write(later, out.folder / pending_file(night), PENDING)
        sums = {name: sum(t.sums[k][name] for t in told) for name in told[0].sums[k]}
        key, n_heads = out.table.key if out.table else (), len(told) if out.remembers else 0
        mine = replace(now, key=key, person=out.person, number=out.number, n_heads=n_heads, sums=sums)
        if out.table and before:
            rows = gone.rows([t.first[k] for t in told])
            path = out.folder / gone_file(night)
            tables.write_sorted([rows], rows.schema, rows.num_rows, path, group_rows=NEWS_ROWS)
            mine = put_in_order(out.folder, replace(mine, parts=old.parts, news=(*old.news, night)))
        elif out.table:
            mine = replace(mine, parts=tuple(parts[out.folder / news_file(night)]))
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
    gone: pa.Array  # identifiers whose older rows no longer hold
    first: list[np.ndarray]  # of each out, int32: from which number on those of each do not
    sums: list[dict[str, int]]  # of each out, of the numbers of all persons
    pending: pa.Table  # rows of `PENDING`


class _Gone:
    """The identifiers whose older rows no longer hold. Of one that moved, both buckets tell."""

    def __init__(self, told: Sequence[pa.Array]) -> None:
        ids = pa.chunked_array(told, pa.string()).combine_chunks()
        self._order = pc.sort_indices(ids).to_numpy()
        ids = ids.take(pa.array(self._order))
        is_new = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        self._begins = np.flatnonzero(np.append(True, is_new)[: len(ids)])
        self._ids = ids.take(pa.array(self._begins))

    def rows(self, told: Sequence[np.ndarray]) -> pa.Table:
        """Return each identifier once, sorted: `id`, and `first`, the number from which on its rows do not hold."""
        first = np.concatenate(told)[self._order]
        least = np.minimum.reduceat(first, self._begins) if len(first) else first
        return pa.table({"id": self._ids, "first": least})


def _make(
    make: Callable[[EventLog], Part],
    store: Store,
    before: Manifest | None,
    pending: np.ndarray | None,
    cutoff: int,
    outs: Sequence[KeptOut],
    night: int,
    bucket: int,
) -> Part:
    """Make the rows of the persons of a bucket whom news concern, and return those that are new.

    What is to be remembered is written; it is not in force before the night is.
    """
    since = before.generation if before else None
    found = find_concerned(store.root, store.manifest, bucket, since, pending)
    events, _ = store.members(bucket, found.ids, found.is_anew, keep=True)  # features mostly ask for the same
    made = make(events)
    frames, firsts, sums = [], [], []
    gone = found.gone
    hashes = hash_texts(gone)
    order = np.argsort(hashes)
    gone, hashes = gone.take(pa.array(order)), hashes[order]
    for out, rows in zip(outs, made.frames, strict=True):
        first, total = np.zeros(len(gone), np.int32), {}
        if out.remembers:
            old = heads.read(out.folder / heads_file(bucket, before.night)) if before else None
            if out.table:
                rows, persons, numbers, known = heads.changed_rows(rows, out.person, out.number, old, hashes)
                first[np.searchsorted(hashes, persons)] = numbers
            else:
                known, total = heads.renewed_numbers(rows, out.person, old, hashes)
            heads.write(known, out.folder / heads_file(bucket, night))
        firsts.append(first)
        sums.append(total)
        frames += [rows] if out.table else []
    mine = events.identities
    later = mine.names.filter(pa.array(are_pending(events, cutoff) & ~mine.is_foreign))
    return Part(frames, _Told(made.told, gone, firsts, sums, pa.table({"id": later})))


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

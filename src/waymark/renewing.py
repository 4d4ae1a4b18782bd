"""Tonight's features: made anew of the persons whom news concern, and carried over of the rest.

What is carried over is worked out for tonight where it moves with the clock (`moving.py`), and counted anew where an
event left a window: where features allow it from what happened since the longest one began, and without asking again
who is who (`whose.py`). Nothing else of it can have changed. `score_made_of.parquet` says what the table was made of,
and is replaced last: where the two do not fit each other, everybody is described anew, and so with other settings,
categories or code, and with functions of the user's own, of which nobody knows what they hang on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark import arrow_files, schema, tables, tonight, whose
from waymark.code import code_version
from waymark.config import FeaturesConfig, JourneyConfig
from waymark.engine import Engine
from waymark.eventlog import micro
from waymark.features import (
    WINDOWS,
    in_windows,
    moves_tonight,
    points_tonight,
    windows_begin,
    windows_tonight,
    with_bases,
)
from waymark.kernels import rhythm
from waymark.kernels.jit import DAY
from waymark.moving import Moves
from waymark.pages import Page
from waymark.parts import Out, Part, Stretch, make_tables
from waymark.store.changes import PENDING, are_pending, find_concerned
from waymark.store.hashes import Ordered, distinct, hash_texts
from waymark.store.reading import read_recent
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary
from waymark.walks import Rhythm

MADE_OF = "score_made_of.parquet"
WHOSE = "score_whose"


class Before(NamedTuple):
    """What the table of the last night was made of."""

    table: arrow_files.ArrowFile
    generation: int  # of the store
    cutoff: int  # microseconds
    night: str  # see `_Asked`
    pending: np.ndarray  # identifiers of which something may have changed since without news

    def stay(self, gone: Ordered, since: int, latest: str | None) -> np.ndarray:
        """Say which rows stay (bool): not those of persons who are `gone`, or were last active before `since`.

        `latest` is the column that says when they were (microseconds); None: nobody is asked.
        """
        stays = []
        for rows in self.table.batches():
            here = gone.find(hash_texts(rows["person_id"])) < 0
            stays.append(here & (rows[latest].to_numpy() >= since) if latest else here)
        return np.concatenate(stays)


class _Asked(NamedTuple):
    """Whom a night asks the store for: see `find_concerned`. By default for everybody."""

    since: int | None = None
    pending: np.ndarray = np.zeros(0, object)
    moved: Sequence[tuple[int, int]] = ()
    night: str = ""  # of which is remembered whose each identifier was, if of any: see `whose.py`
    begin: int | None = None  # see `windows_begin`


class _Told(NamedTuple):
    """What else there is to say of a bucket."""

    gone: np.ndarray  # uint64 hashes of identifiers: what was made before of persons called by them no longer holds
    pending: pa.Table  # rows of `PENDING`


def renew(
    engine: Engine,
    store: Store,
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    path: Path = tonight.PATH,
) -> tuple[int, int]:
    """Write the features of everybody of the population as of a cut-off.

    Returns how many rows there are, and of how many everything, or what windows count, was made anew.
    """
    cutoff, made_of, memory = micro(cutoff_time), path.with_name(MADE_OF), path.with_name(WHOSE).absolute()
    memory.mkdir(parents=True, exist_ok=True)
    moves, windows = moves_tonight(settings, vocabulary), windows_tonight(settings, vocabulary)
    note, generation = _note(store, journey, settings, vocabulary), store.manifest.generation
    # Called after all that it is made of: what a night that is stopped leaves must not be taken for another's.
    night = f"{generation:06d}-{cutoff}-{note[:16]}" if windows and not settings.custom else ""
    before = None if settings.custom else _last_night(path, made_of, memory, store, note, cutoff)
    within = settings.population.active_within_days
    latest = None if within is None else _last_active(moves)
    asked = _Asked()
    if before:
        # A window loses an event once it is older than so many days, and so does a population which no row tells of.
        days = windows if within is None or latest else windows | {within}
        moved = [(before.cutoff - d * int(DAY), cutoff - d * int(DAY)) for d in sorted(days)]
        begin = windows_begin(before.cutoff, settings, vocabulary)
        asked = _Asked(before.generation, before.pending, moved, before.night, begin)
    work = partial(_describe, store, asked, night, memory, cutoff_time, journey, settings, vocabulary)
    counted: list[Iterator[pa.Table]] = []

    def put(out: Out, stretches: Iterator[Stretch], columns: pa.Schema, n_new: int, told: Sequence[_Told]) -> None:
        if out.table is WINDOWS:  # which goes into the table of all
            counted.append(stretch.taken() for stretch in stretches)
            return
        page = Page(columns, moves, cutoff)
        if before is None:
            arrow_files.write(page.copied(stretches), columns, n_new, path)
            return
        # Of an identifier that moved, both buckets tell.
        gone = Ordered(distinct(np.concatenate([t.gone for t in told])))
        since = cutoff - (within or 0) * int(DAY)
        stays = before.stay(gone, since, latest)
        n_rows = int(np.count_nonzero(stays)) + n_new
        taken = (stretch.taken() for stretch in stretches)
        arrow_files.write(page.merged(before.table, stays, counted[0], taken), columns, n_rows, path)

    few = engine.few() if before else engine
    outs = [Out(path.with_name("score_windows"), WINDOWS), Out(path, schema.TONIGHT)]
    (n_counted, n_new), told = make_tables(few, work, store.buckets, outs, put)
    later = pa.concat_tables([t.pending for t in told]).group_by("id", use_threads=False).aggregate([])
    written = arrow_files.ArrowFile(path)
    past = store.manifest.past[f"{generation:06d}"]
    facts = {"note": note, "generation": generation, "past": past, "cutoff": cutoff, "night": night}
    facts["seal"] = written.seal
    tables.write(later, made_of, PENDING, json.dumps(facts, sort_keys=True))
    whose.delete_others(memory, night)
    return written.n_rows, n_counted + n_new


def _describe(
    store: Store,
    asked: _Asked,
    night: str,
    memory: Path,
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    bucket: int,
) -> Part:
    """Return the features of the persons of a bucket who have to be described anew, and of whom only windows moved.

    Where `night` has a name, whose each identifier is tonight is remembered in the folder `memory`.
    """
    cutoff, are_events = micro(cutoff_time), settings.points == "every_event"
    person = whose.read(whose.path_of(memory, asked.night, bucket)) if asked.night else None
    # Where every event is a point, the population asks when the latest one had happened and was known.
    found = find_concerned(
        store.root, store.manifest, bucket, asked.since, asked.pending, asked.moved, person, when_known=are_events
    )
    ids = found.ids
    log, places = store.members(bucket, ids, found.is_anew)
    rows = with_bases(points_tonight(log, cutoff_time, journey, settings), cutoff_time, settings, vocabulary)
    mine = log.identities
    later = mine.names.filter(pa.array(are_pending(log, cutoff) & ~mine.is_foreign))
    person = np.zeros(0, np.int32) if person is None else person
    if night:
        person = whose.renewed(person, mine, places, cutoff, len(ids.hashes))
        whose.write(person, whose.path_of(memory, night, bucket))
    recent = read_recent(store.root, store.manifest, bucket, ids, found.is_moved, person, cutoff, asked.begin)
    windows = in_windows(recent, cutoff_time, journey, settings, vocabulary)
    return Part([windows, rows], _Told(hash_texts(found.gone), pa.table({"id": later})))


def _last_active(moves: Moves) -> str | None:
    """Return the column that says when people were last active; where every event is a point there is none."""
    base = moves.bases.get((Rhythm(), (rhythm.LAST,)))
    return None if base is None else f"base_{base:03d}"


def _note(store: Store, journey: JourneyConfig, settings: FeaturesConfig, vocabulary: Vocabulary) -> str:
    """Return a hash of all that features hang on but events."""
    said = [s.model_dump(mode="json") for s in (store.rules, journey, settings)]
    told = json.dumps([said, vocabulary.to_json(), code_version()], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _last_night(path: Path, made_of: Path, memory: Path, store: Store, note: str, cutoff: int) -> Before | None:
    """Return what there is of the last night, if it was made of the same and of what the store held once; else None."""
    if not (path.exists() and (told := tables.read_note(made_of))):
        return None
    facts = json.loads(told)
    is_known = store.manifest.past.get(f"{facts['generation']:06d}") == facts["past"]
    if facts["note"] != note or not is_known or facts["cutoff"] > cutoff:
        return None
    night = facts["night"]
    if night and not all(whose.path_of(memory, night, bucket).exists() for bucket in store.buckets):
        return None
    table, pending = arrow_files.ArrowFile(path), tables.read(made_of)["id"].to_numpy(object)
    if table.seal != facts["seal"]:
        return None
    return Before(table, facts["generation"], facts["cutoff"], night, pending)

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

from waymark import arrow_files, schema, tables, tonight
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
from waymark.store.reading import has_session_ids, read_recent
from waymark.store.store import Store
from waymark.tracks import session_gap
from waymark.vocabulary import Vocabulary
from waymark.walks import Rhythm
from waymark.whose import Memory, renewed

MADE_OF = "score_made_of.parquet"
WHOSE = "score_whose"


class _Asked(NamedTuple):
    """Whom a night asks the store for, by default everybody: see `find_concerned`."""

    since: int | None = None
    pending: np.ndarray = np.zeros(0, object)
    moved: Sequence[tuple[int, int]] = ()
    cutoff: int = 0  # of the last night, microseconds


class Before(NamedTuple):
    """What the table of the last night was made of."""

    table: arrow_files.ArrowFile
    generation: int  # of the store
    cutoff: int  # microseconds
    called: str  # see `_called`
    pending: np.ndarray  # identifiers of which something may have changed since without news

    def asked(self, windows: set[int], cutoff: int) -> _Asked:
        """Return whom to ask for: a window loses an event once it is older than so many days."""
        moved = [(self.cutoff - days * int(DAY), cutoff - days * int(DAY)) for days in sorted(windows)]
        return _Asked(self.generation, self.pending, moved, self.cutoff)

    def stay(self, gone: Ordered, since: int, latest: str | None) -> np.ndarray:
        """Say which rows stay (bool): not those of persons who are `gone`, or were last active before `since`.

        `latest` is the column that says when they were (microseconds); None: nobody is asked.
        """
        stays = []
        for rows in self.table.batches():
            here = gone.find(hash_texts(rows["person_id"])) < 0
            stays.append(here & (rows[latest].to_numpy() >= since) if latest else here)
        return np.concatenate(stays)


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

    Returns how many rows there are, and of how many persons everything, or what windows count, was made anew.
    """
    cutoff, made_of, generation = micro(cutoff_time), path.with_name(MADE_OF), store.manifest.generation
    moves, windows = moves_tonight(settings, vocabulary), windows_tonight(settings, vocabulary)
    note, past = _note(store, journey, settings, vocabulary), store.manifest.past[f"{generation:06d}"]
    memory = Memory(path.with_name(WHOSE).absolute())
    memory.folder.mkdir(parents=True, exist_ok=True)
    if windows and not settings.custom:
        memory = memory._replace(night=_called(past, cutoff, note))
    before = None if settings.custom else _last_night(path, made_of, memory, store, note, cutoff)
    if before and memory.night:
        memory = memory._replace(last=before.called)
    within = settings.population.active_within_days
    latest = None if within is None else _last_active(moves)
    # A population which no row tells of loses somebody as a window loses an event.
    asked = before.asked(windows if within is None or latest else windows | {within}, cutoff) if before else _Asked()
    work = partial(_describe, store, asked, memory, cutoff_time, journey, settings, vocabulary)
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
    facts = {"note": note, "generation": generation, "past": past, "cutoff": cutoff, "seal": written.seal}
    tables.write(later, made_of, PENDING, json.dumps(facts, sort_keys=True))
    memory.forget_others()
    return written.n_rows, n_counted + n_new


def _describe(
    store: Store,
    asked: _Asked,
    memory: Memory,
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    bucket: int,
) -> Part:
    """Return the features of the persons of a bucket who have to be described anew, and of whom only windows moved.

    Whose each identifier is tonight is remembered where `memory` has a name for the night.
    """
    cutoff, are_events = micro(cutoff_time), settings.points == "every_event"
    person = memory.read(bucket)
    # Where every event is a point, the population asks when the latest one had happened and was known.
    found = find_concerned(
        store.root, store.manifest, bucket, asked.since, asked.pending, asked.moved, person, when_known=are_events
    )
    ids = found.ids
    log, places = store.members(bucket, ids, found.is_anew)
    rows = with_bases(points_tonight(log, cutoff_time, journey, settings), cutoff_time, settings, vocabulary)
    mine = log.identities
    later = mine.names.filter(pa.array(are_pending(log, cutoff) & ~mine.is_foreign))
    if memory.night:
        person = renewed(person, mine, places, cutoff, len(ids.hashes))
        memory.write(bucket, person)
    begin = windows_begin(asked.cutoff, session_gap(journey), settings, vocabulary)
    if begin is not None and found.is_moved.any() and has_session_ids(store.root, store.manifest, bucket, begin):
        begin = windows_begin(asked.cutoff, None, settings, vocabulary)
    # Where nothing is remembered, nobody has moved alone.
    person = np.zeros(len(ids.hashes), np.int32) if person is None else person
    recent = read_recent(store.root, store.manifest, bucket, ids, found.is_moved, person, cutoff, begin)
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


def _called(past: str, cutoff: int, note: str) -> str:
    """Return what a night is called: after all that it is made of.

    What another one leaves that is stopped is not taken for its own, not even where a store is made anew.
    """
    return f"{past}-{cutoff}-{note[:16]}"


def _last_night(path: Path, made_of: Path, memory: Memory, store: Store, note: str, cutoff: int) -> Before | None:
    """Return what there is of the last night, if it was made of the same and of what the store held once; else None."""
    if not (path.exists() and (told := tables.read_note(made_of))):
        return None
    facts = json.loads(told)
    is_known = store.manifest.past.get(f"{facts['generation']:06d}") == facts["past"]
    if facts["note"] != note or not is_known or facts["cutoff"] > cutoff:
        return None
    called = _called(facts["past"], facts["cutoff"], note)
    if memory.night and not memory.holds(called, len(store.buckets)):
        return None
    table, pending = arrow_files.ArrowFile(path), tables.read(made_of)["id"].to_numpy(object)
    return Before(table, facts["generation"], facts["cutoff"], called, pending) if table.seal == facts["seal"] else None

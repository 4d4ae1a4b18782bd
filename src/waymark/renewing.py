"""Tonight's features: made anew of the persons whom news concern, and carried over of the rest.

What is carried over is worked out for tonight where it moves with the clock (`moving.py`), and counted anew where an
event left a window; nothing else of it can have changed. `score_made_of.parquet` says what the table was made of, and
is replaced last: where the two do not fit each other, everybody is described anew, and so with other settings,
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
from waymark.features import WINDOWS, in_windows, moves_tonight, points_tonight, windows_tonight, with_bases
from waymark.kernels import rhythm
from waymark.kernels.jit import DAY
from waymark.moving import Moves
from waymark.pages import Page
from waymark.parts import Out, Part, Stretch, make_tables
from waymark.store.changes import PENDING, are_pending, read_concerned
from waymark.store.hashes import Ordered, distinct, hash_texts
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary
from waymark.walks import Rhythm

MADE_OF = "score_made_of.parquet"


class Before(NamedTuple):
    """What the table of the last night was made of."""

    table: arrow_files.ArrowFile
    generation: int  # of the store
    cutoff: int  # microseconds
    pending: np.ndarray  # identifiers of which something may have changed since without news

    def asked(self, windows: set[int], cutoff: int) -> tuple[int, np.ndarray, list[tuple[int, int]]]:
        """Return whom to look at: see `read_concerned`."""
        # A window loses an event once it is older than so many days.
        moved = [(self.cutoff - days * int(DAY), cutoff - days * int(DAY)) for days in sorted(windows)]
        return self.generation, self.pending, moved

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

    Returns how many rows there are, and of how many everything, or what windows count, was made anew.
    """
    cutoff, made_of = micro(cutoff_time), path.with_name(MADE_OF)
    note = _note(store, journey, settings, vocabulary)
    before = None if settings.custom else _last_night(path, made_of, store, note, cutoff)
    moves = moves_tonight(settings, vocabulary)
    windows, within = windows_tonight(settings, vocabulary), settings.population.active_within_days
    latest = None if within is None else _last_active(moves)
    if within is not None and latest is None:  # so does the population, which no row tells of
        windows.add(within)
    asked = (None, np.zeros(0, object), []) if before is None else before.asked(windows, cutoff)
    work = partial(_describe, store, asked, cutoff_time, journey, settings, vocabulary)
    moved: list[Iterator[pa.Table]] = []

    def put(out: Out, stretches: Iterator[Stretch], columns: pa.Schema, n_new: int, told: Sequence[_Told]) -> None:
        if out.table is WINDOWS:  # which goes into the table of all
            moved.append(stretch.taken() for stretch in stretches)
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
        arrow_files.write(page.merged(before.table, stays, moved[0], taken), columns, n_rows, path)

    few = engine.few() if before else engine
    outs = [Out(path.with_name("score_windows"), WINDOWS), Out(path, schema.TONIGHT)]
    (n_moved, n_new), told = make_tables(few, work, store.buckets, outs, put)
    later = pa.concat_tables([t.pending for t in told]).group_by("id", use_threads=False).aggregate([])
    written, generation = arrow_files.ArrowFile(path), store.manifest.generation
    past = store.manifest.past[f"{generation:06d}"]
    facts = {"note": note, "generation": generation, "past": past, "cutoff": cutoff, "seal": written.seal}
    tables.write(later, made_of, PENDING, json.dumps(facts, sort_keys=True))
    return written.n_rows, n_moved + n_new


def _describe(
    store: Store,
    asked: tuple[int | None, np.ndarray, Sequence[tuple[int, int]]],
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    bucket: int,
) -> Part:
    """Return the features of the persons of a bucket who have to be described anew, and of whom only windows moved."""
    since, pending, moved = asked
    # Where every event is a point, the population asks when the latest one had happened and was known.
    are_events = settings.points == "every_event"
    log, gone = read_concerned(
        store.root, store.manifest, bucket, store.rules, since, pending, moved, when_known=are_events
    )
    mine, gone = log.identities, hash_texts(gone)
    points = points_tonight(log, cutoff_time, journey, settings)
    is_new = np.ones(len(points), bool)
    if are_events:  # what looks back does so from the latest event, and stays; only the population moves
        gone = np.append(gone, hash_texts(mine.names.filter(pa.array(~mine.is_foreign))))
    elif since is not None:
        is_gone = Ordered(distinct(gone)).find(hash_texts(mine.names)) >= 0
        is_new = is_gone[points.grouped.persons[points.group]]
    rows = with_bases(points.keep(is_new), cutoff_time, settings, vocabulary)
    windows = in_windows(points.keep(~is_new), settings, vocabulary)
    later = mine.names.filter(pa.array(are_pending(log, micro(cutoff_time)) & ~mine.is_foreign))
    return Part([windows, rows], _Told(gone, pa.table({"id": later})))


def _last_active(moves: Moves) -> str | None:
    """Return the column that says when people were last active; where every event is a point there is none."""
    base = moves.bases.get((Rhythm(), (rhythm.LAST,)))
    return None if base is None else f"base_{base:03d}"


def _note(store: Store, journey: JourneyConfig, settings: FeaturesConfig, vocabulary: Vocabulary) -> str:
    """Return a hash of all that features hang on but events."""
    said = [s.model_dump(mode="json") for s in (store.rules, journey, settings)]
    told = json.dumps([said, vocabulary.to_json(), code_version()], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _last_night(path: Path, made_of: Path, store: Store, note: str, cutoff: int) -> Before | None:
    """Return what there is of the last night, if it was made of the same and of what the store held once; else None."""
    if not (path.exists() and (told := tables.read_note(made_of))):
        return None
    facts = json.loads(told)
    is_known = store.manifest.past.get(f"{facts['generation']:06d}") == facts["past"]
    if facts["note"] != note or not is_known or facts["cutoff"] > cutoff:
        return None
    table = arrow_files.ArrowFile(path)
    if table.seal != facts["seal"]:
        return None
    return Before(table, facts["generation"], facts["cutoff"], tables.read(made_of)["id"].to_numpy(object))

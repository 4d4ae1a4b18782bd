"""DVC step: the features of past nights, for training and testing.

Those of a night are kept for as long as nothing changes that they hang on.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from waymark import catalogue, schema, tables
from waymark.clock import TrainClock
from waymark.code import code_version
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, Section, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.feature_groups import feature_table
from waymark.features import NO_CUTOFF, count_halvings, count_points, describe_past, draw
from waymark.journeys import StageMap
from waymark.parts import Out, Part, make_tables
from waymark.store.store import Store
from waymark.vocabulary import Counts, Vocabulary, choose_vocabulary, count_names, tell_unnamed

log = logging.getLogger(__name__)

KEPT = tables.FEATURES / "train"


def main() -> None:
    """Write the training features, their catalogue and the vocabulary."""
    with timed(log, "features train") as facts, chosen() as engine:
        clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        journey, settings = load(JourneyConfig, "journey"), load(FeaturesConfig, "features")
        store = Store(tables.STORE, load(IdentityConfig, "identity"))
        nights = (*clock.train_cutoffs, *clock.test_cutoffs)
        ends = [clock.as_of] if settings.points == "every_event" else sorted(nights)
        if not ends:
            raise InputError(NO_CUTOFF)
        counted = list(engine.over(partial(count, store, journey, settings, clock.learn_until, ends), store.buckets))
        vocabulary = choose_vocabulary((names for names, _ in counted), settings)
        known = [row.feature for row in feature_table(settings, vocabulary)]
        n_halvings = count_halvings(sum(n for _, n in counted), settings.max_train_rows)
        known_by = store.facts
        # Who is drawn hangs on who had become whom when training looks, on whatever night.
        drawn = [n_halvings, known_by.version_as_of(clock.as_of)] if n_halvings else []
        rest = [journey, settings, store.rules], vocabulary.to_json(), drawn, code_version()
        notes = {end: _note(known_by.version_as_of(end), *rest) for end in ends}
        with tables.new_folder(KEPT) as folder:
            missing = [end for end in ends if not _take_over(KEPT / _name(end), folder / _name(end), notes[end])]
            work = partial(describe, store, missing, journey, settings, vocabulary, n_halvings, clock.as_of)
            outs = [Out(folder / _name(end), schema.FEATURES, notes[end]) for end in missing]
            if missing:
                make_tables(engine, work, store.buckets, outs)
            n_rows = sum(tables.n_rows(file) for file in folder.iterdir())
        tables.write_json(catalogue.to_json(known), tables.FEATURES / "catalogue.json")
        tables.write_json(vocabulary.to_json(), tables.FEATURES / "vocabulary.json")
        tables.write_json({"n_halvings": n_halvings}, tables.FEATURES / "draw.json")
        of_whom = f" of one person in {2**n_halvings}" if n_halvings else ""
        facts.append(f"{n_rows:,} rows{of_whom} of {len(known)} features")
        facts.extend(tell_unnamed(names for names, _ in counted))
        if len(missing) < len(ends):
            facts.append(f"{len(ends) - len(missing)} of {len(ends)} nights kept")


def count(
    store: Store,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    until: pd.Timestamp,
    ends: Sequence[pd.Timestamp],
    bucket: int,
) -> tuple[Counts, int]:
    """Return how often names occur in a bucket before `until`, and how many training points it has at most."""
    events = store.log(bucket)
    return count_names(events, StageMap(events, journey), micro(until)), count_points(events, ends, settings)


def describe(
    store: Store,
    ends: Sequence[pd.Timestamp],
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    n_halvings: int,
    as_of: pd.Timestamp,
    bucket: int,
) -> Part:
    """Return the features of the persons of a bucket at each of some nights, of those who are drawn as of a time."""
    events = store.log(bucket)
    drawn = draw(events.identities, n_halvings, micro(as_of))
    return Part(describe_past(events, end, journey, settings, vocabulary, drawn)[0] for end in ends)


def _note(known: str, settings: Sequence[Section], vocabulary: Any, drawn: Any, code: str) -> str:
    """Return a hash of all that the features of a night hang on."""
    said = [known, [s.model_dump(mode="json") for s in settings], vocabulary, drawn, code]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _take_over(old: Path, new: Path, note: str) -> bool:
    """Keep the file `old` as `new` if it was written with `note`, and say whether."""
    if tables.read_note(old) != note:
        return False
    os.link(old.resolve(), new)
    return True


def _name(end: pd.Timestamp) -> str:
    return f"{end:%Y-%m-%dT%H%M%S}.parquet"


if __name__ == "__main__":
    main()

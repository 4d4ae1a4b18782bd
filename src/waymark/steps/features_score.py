"""DVC step: the features of tonight."""

import logging
from functools import partial

import pandas as pd

from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.features import describe_tonight
from waymark.parts import Out, Part, make_tables
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def main() -> None:
    """Write tonight's features."""
    with timed(log, "features score") as facts, chosen() as engine:
        store = Store(tables.STORE, load(IdentityConfig, "identity"))
        work = partial(
            describe,
            store,
            ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time,
            load(JourneyConfig, "journey"),
            load(FeaturesConfig, "features"),
            Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
        )
        out = Out(tables.FEATURES / "score.parquet", schema.FEATURES)
        [n], _ = make_tables(engine, work, store.buckets, [out])
        facts.append(f"{n:,} persons")


def describe(
    store: Store,
    tonight: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    bucket: int,
) -> Part:
    """Return the features of the persons of a bucket."""
    return Part([describe_tonight(store.log(bucket), tonight, journey, settings, vocabulary)[0]])


if __name__ == "__main__":
    main()

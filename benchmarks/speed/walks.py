"""Our features made and let go again, without a table written: `python walks.py snapshots` or `every_event`.

Run in a project, in place of features_score: what reading the store and walking over it costs by itself.
"""

from __future__ import annotations

import sys
from functools import partial

import pandas as pd

from waymark import tables
from waymark.clock import ScoreClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.engine import chosen
from waymark.features import describe_past
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary


def count(
    store: Store,
    tonight: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    bucket: int,
) -> int:
    """Return how many rows of features a bucket has, which were all made."""
    return len(describe_past(store.log(bucket), tonight, journey, settings, vocabulary)[0])


def main(points: str) -> None:
    """Make the features of all buckets and print how many rows there were."""
    settings = load(FeaturesConfig, "features").model_copy(update={"points": points})
    store = Store(tables.STORE, load(IdentityConfig, "identity"))
    work = partial(
        count,
        store,
        ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time,
        load(JourneyConfig, "journey"),
        settings,
        Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
    )
    with chosen() as engine:
        print(sum(engine.over(work, store.buckets)))


if __name__ == "__main__":
    main(sys.argv[1])

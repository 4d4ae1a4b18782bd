"""DVC step: what happened after each training point."""

import logging
from collections.abc import Iterator
from functools import partial

import pandas as pd

from waymark import schema, tables
from waymark.clock import TrainClock
from waymark.config import (
    FeaturesConfig,
    IdentityConfig,
    JourneyConfig,
    SplitConfig,
    TargetsConfig,
    load,
)
from waymark.console import timed
from waymark.engine import chosen
from waymark.enough import check
from waymark.errors import InputError
from waymark.splits import CaseSplit, split_cases
from waymark.store.store import Store
from waymark.targets import NOBODY, deal_nights, end_of_training, follow_events, follow_nights, list_cases

log = logging.getLogger(__name__)

Mine = tuple[int, pd.DataFrame]  # a bucket, and the training points of its persons


def main() -> None:
    """Write the targets."""
    with timed(log, "targets") as facts, chosen() as engine:
        clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        journey, settings = load(JourneyConfig, "journey"), load(TargetsConfig, "targets")
        split = load(SplitConfig, "split")
        store = Store(tables.STORE, load(IdentityConfig, "identity"))
        points = tables.read(tables.FEATURES / "train", columns=[*schema.POINT, "stage"])
        if points.empty:
            raise InputError(NOBODY)
        mine = list(deal_points(store, points))
        if load(FeaturesConfig, "features").points == "every_event":
            cases = pd.concat(engine.over(partial(cases_of, store, clock.as_of, journey, split), store.buckets))
            work = partial(after_events, store, clock.as_of, journey, settings, split, split_cases(cases, split))
            targets = pd.concat(engine.over(work, mine))
        else:
            until = end_of_training(clock.as_of, clock.test_cutoffs, split.gap_days)
            work = partial(after_nights, store, clock.as_of, journey, settings, until)
            targets = deal_nights(pd.concat(engine.over(work, mine)), clock.test_cutoffs, split)
        lacking = check(targets, settings.end_of_case)
        n = tables.write(targets, tables.TARGETS, schema.TARGETS)
        facts.append(f"{n:,} rows, {(targets['fold'] == 'test').sum():,} of them for testing")
        facts.extend(lacking)


def deal_points(store: Store, points: pd.DataFrame) -> Iterator[Mine]:
    """Yield each bucket with the points of its persons, those that have any."""
    yield from points.groupby(store.buckets_of(points["person_id"].to_numpy(object)))


def after_nights(
    store: Store,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    train_until: pd.Timestamp,
    mine: Mine,
) -> pd.DataFrame:
    """Return what the persons of a bucket did after each night."""
    bucket, points = mine
    return follow_nights(points, store.log(bucket), as_of, journey, settings, train_until)


def cases_of(
    store: Store, as_of: pd.Timestamp, journey: JourneyConfig, split: SplitConfig, bucket: int
) -> pd.DataFrame:
    """Return the cases of a bucket."""
    return list_cases(store.log(bucket), as_of, journey, split)


def after_events(
    store: Store,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    split: SplitConfig,
    cases: CaseSplit,
    mine: Mine,
) -> pd.DataFrame:
    """Return what came after each event of the persons of a bucket."""
    bucket, points = mine
    return follow_events(points, store.log(bucket), as_of, journey, settings, split, cases)


if __name__ == "__main__":
    main()

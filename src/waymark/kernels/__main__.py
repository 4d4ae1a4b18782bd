"""Compile every kernel, for every type of array that the library gives it: `python src/run.py waymark.kernels`.

The library itself asks for them, over a log of a few events that has something of everything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from waymark import schema
from waymark.config import FeaturesConfig, JourneyConfig
from waymark.eventlog import EventLog, read_log
from waymark.feature_groups import GROUPS
from waymark.features import describe
from waymark.identity import link_identities
from waymark.journeys import StageMap, build_journeys
from waymark.points import Points, every_event, in_population, latest_event, snapshot
from waymark.vocabulary import learn_vocabulary

JOURNEY = JourneyConfig.model_validate(
    {
        "initial": "new",
        "rules": [
            {"stage": "twice", "event_type": ["t0"], "count_at_least": 2},
            {"stage": "paid", "value_cents_at_least": 1},
            {"stage": "{event_type}"},
        ],
    }
)
END = 100 * 86_400_000_000  # microseconds
N_NAMES = np.iinfo(np.int16).max + 1  # codes of so many names take int32


def table(n: int = 40) -> pd.DataFrame:
    """Return rows of `schema.EVENTS`: ten types of events, two persons, late knowledge, a number and a category."""
    place = pd.Series(range(n))
    time = pd.to_datetime(place, unit="D", utc=True)
    columns = {
        "event_id": "e" + place.astype(str),
        "event_time": time,
        "known_time": time + pd.to_timedelta(place % 3 * 30, unit="D"),
        "superseded_time": None,
        "sequence": 0,
        "source": "warm",
        "anonymous_id": "device",
        "customer_id": "c" + (place % 2).astype(str),
        "event_type": "t" + (place % 10).astype(str),
        "actor": "customer",
        "channel": "web",
        "session_id": "s",
        "value_cents": place % 4,
        "attr_kind": "k" + (place % 3).astype(str),
        "num_size": 1.0,
    }
    return schema.to_arrow(pd.DataFrame(columns), schema.EVENTS).to_pandas()


def with_many_names(log: EventLog) -> EventLog:
    """Return the log with codes of the larger type."""
    many = np.array([f"{i:05}" for i in range(N_NAMES)], object)
    codes = {name: (codes.astype(np.int32), names) for name, (codes, names) in log.attributes.items()}
    return replace(
        log,
        event_type=log.event_type.astype(np.int32),
        event_types=many,
        channel=log.channel.astype(np.int32),
        attributes=codes,
    )


def settings(points: str) -> FeaturesConfig:
    """Return the settings: every group, and classes of which there are few and many."""
    return FeaturesConfig(
        points=points, groups=list(GROUPS), windows_days=[7], half_lives_days=[7], population={"event_types": ["t0"]}
    )


def use(points: Points, chosen: FeaturesConfig) -> None:
    """Describe the points, and do what a function of the user's own may."""
    now = np.full(len(points), END)
    points = points.keep(in_population(points, chosen.population, now) | True)
    describe(points, chosen, learn_vocabulary(points.log, points.stage_map, chosen, END))
    points.window_sums(np.where(points.is_customer, 0, -1), 1, [7])
    points.days_since(np.where(points.is_customer, 0, -1), 1)


def main() -> None:
    """Compile the kernels."""
    events = table()
    links = link_identities(events)
    build_journeys(events, links, JOURNEY, pd.Timestamp(END, unit="us", tz="UTC"))
    log = read_log(events, links)
    for one in (log, with_many_names(log)):
        stage_map = StageMap(one, JOURNEY)
        use(snapshot(one, stage_map, END), settings("snapshots"))
        use(every_event(one, stage_map, END), settings("every_event"))
        use(latest_event(one, stage_map, END), settings("every_event"))


if __name__ == "__main__":
    main()

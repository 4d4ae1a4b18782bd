"""DVC step: the visits of every person to the stages, as known tonight."""

import logging
from functools import partial

import pandas as pd

from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.journeys import list_visits
from waymark.parts import Out, Part, make_tables
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Write the journeys."""
    with timed(log, "journeys") as facts, chosen() as engine:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        store = Store(tables.STORE, load(IdentityConfig, "identity"))
        work = partial(visits, store, load(JourneyConfig, "journey"), tonight)
        out = Out(tables.JOURNEYS, schema.JOURNEYS)
        [n], persons = make_tables(engine, work, store.buckets, [out])
        facts.append(f"{n:,} visits of {sum(persons):,} persons")


def visits(store: Store, journey: JourneyConfig, tonight: pd.Timestamp, bucket: int) -> Part:
    """Return the visits of the persons of a bucket; told is how many those are."""
    listed = list_visits(store.log(bucket), journey, tonight)
    return Part([listed], int((listed["visit"] == 1).sum()))


if __name__ == "__main__":
    main()

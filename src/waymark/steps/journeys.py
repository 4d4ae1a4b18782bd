"""DVC step: the visits of every person to the stages, as known tonight."""

import logging
from functools import partial

import pandas as pd

from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.eventlog import EventLog, micro
from waymark.journeys import list_visits
from waymark.keeping import KeptOut, make_kept
from waymark.parts import Part
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Write the journeys: anew of the persons whom tonight's news concern, as they were of all others."""
    with timed(log, "journeys") as facts, chosen() as engine:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        rules, journey = load(IdentityConfig, "identity"), load(JourneyConfig, "journey")
        out = KeptOut(tables.JOURNEYS, schema.JOURNEYS, "person_id")
        work = partial(visits, journey, tonight)
        [n], persons = make_kept(engine, work, Store(tables.STORE, rules), [out], micro(tonight), [rules, journey])
        facts.append(f"{n:,} visits of {sum(persons):,} persons made anew")


def visits(journey: JourneyConfig, tonight: pd.Timestamp, events: EventLog) -> Part:
    """Return the visits of the persons of some events; told is how many those are."""
    listed = list_visits(events, journey, tonight)
    return Part([listed], int((listed["visit"] == 1).sum()))


if __name__ == "__main__":
    main()

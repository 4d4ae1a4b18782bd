"""The first half of the DVC step tonight: who is who, visits to stages, and what hangs on the rules of who is who."""

import logging
from functools import partial

import numpy as np
import pandas as pd

from waymark import kept, schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.eventlog import EventLog, micro
from waymark.exposure import list_exposure, tell
from waymark.journeys import list_visits
from waymark.keeping import KeptOut, make_kept
from waymark.parts import Part
from waymark.persons import list_identifiers, list_person_changes
from waymark.store.store import Store

OUTS = [
    KeptOut(tables.JOURNEYS, schema.JOURNEYS, "person_id", "visit"),
    KeptOut(tables.IDENTIFIERS, schema.IDENTIFIERS, "id"),
    KeptOut(tables.PERSON_CHANGES, schema.PERSON_CHANGES, "old_person_id"),
    KeptOut(tables.EXPOSURE, None, "id"),
]
log = logging.getLogger(__name__)


def main() -> None:
    """Write journeys, identifiers, changes of persons and exposure: anew of those whom tonight's news concern."""
    with timed(log, "journeys") as facts, chosen() as engine:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        rules, journey = load(IdentityConfig, "identity"), load(JourneyConfig, "journey")
        work = partial(persons_and_visits, journey, tonight)
        counts, told = make_kept(engine, work, Store(tables.STORE, rules), OUTS, micro(tonight), [rules, journey])
        exposure = tell(kept.read_manifest(tables.EXPOSURE).sums, rules)
        tables.write_json(exposure, tables.REPORTS / "exposure.json")
        n_persons, n_events, n_unordered = np.sum(told, axis=0).tolist()
        facts.append(f"{counts[0]:,} visits are new, of {n_persons:,} persons")
        facts.append("{:,} identifiers, {:,} changes of persons".format(*counts[1:3]))
        facts.append(f"{exposure['n_shared_devices']:,} shared devices")
        if n_unordered:
            log.warning(
                "journeys: %s of %s events happened in the same moment as another of the same person and nothing says"
                " which came first: give their feed a column for `sequence`, or `rows_in_order: true` where rows are",
                f"{n_unordered:,}",
                f"{n_events:,}",
            )


def persons_and_visits(journey: JourneyConfig, tonight: pd.Timestamp, events: EventLog) -> Part:
    """Return the rows of `OUTS` of the persons of some events.

    Told is how many of them have visits, how many events those were made of, and of how many of these the order is not
    known.
    """
    visits = list_visits(events, journey, tonight)
    # All that is known, the future of tonight too: for the identity of hindsight alone.
    who = [list_identifiers(events.identities, micro(tonight)), list_person_changes(events.identities, micro(tonight))]
    n_persons = np.count_nonzero(visits.rows["visit"].to_numpy() == 1)
    return Part(
        [visits.rows, *who, list_exposure(events, journey, micro(tonight))],
        (n_persons, visits.n_events, visits.n_unordered),
    )


if __name__ == "__main__":
    main()

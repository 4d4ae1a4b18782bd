"""DVC step: who is who, and how much hangs on the rules that say so."""

import logging
from functools import partial

from waymark import kept, schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.eventlog import EventLog, micro
from waymark.exposure import add_up, list_exposure
from waymark.keeping import KeptOut, make_kept
from waymark.parts import Part
from waymark.persons import list_identifiers, list_person_changes
from waymark.store.store import Store

OUTS = [
    KeptOut(tables.IDENTIFIERS, schema.IDENTIFIERS, "id"),
    KeptOut(tables.PERSON_CHANGES, schema.PERSON_CHANGES, "old_person_id"),
    KeptOut(tables.EXPOSURE, schema.EXPOSURE, "id"),
]
log = logging.getLogger(__name__)


def main() -> None:
    """Write the identifiers, the changes of persons and the exposure to the rules: anew of those whom news concern."""
    with timed(log, "persons") as facts, chosen() as engine:
        tonight = micro(ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time)
        rules, journey = load(IdentityConfig, "identity"), load(JourneyConfig, "journey")
        work = partial(who_is_who, journey, tonight)
        counts, _ = make_kept(engine, work, Store(tables.STORE, rules), OUTS, tonight, [rules, journey])
        exposure = add_up(kept.read(tables.EXPOSURE), rules)
        tables.write_json(exposure, tables.REPORTS / "exposure.json")
        facts.append("{:,} identifiers, {:,} changes of persons made anew".format(*counts))
        facts.append(f"{exposure['n_shared_devices']:,} shared devices")


def who_is_who(journey: JourneyConfig, tonight: int, events: EventLog) -> Part:
    """Return the identifiers, the changes of persons, and what hangs on the rules, of the persons of some events."""
    # All that is known, the future of tonight too: for the identity of hindsight alone.
    return Part(
        [
            list_identifiers(events.identities, tonight),
            list_person_changes(events.identities, tonight),
            list_exposure(events, journey, tonight),
        ]
    )


if __name__ == "__main__":
    main()

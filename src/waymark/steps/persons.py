"""DVC step: who is who, and how much hangs on the rules that say so."""

import logging
from functools import partial

from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.eventlog import micro
from waymark.exposure import add_up, measure_exposure
from waymark.parts import Out, Part, make_tables
from waymark.persons import list_identifiers, list_person_changes
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Write the identifiers, the changes of persons and the exposure to the rules."""
    with timed(log, "persons") as facts, chosen() as engine:
        tonight = micro(ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time)
        store = Store(tables.STORE, load(IdentityConfig, "identity"))
        (n_ids, n_changes), told = make_tables(
            engine,
            partial(who_is_who, store, load(JourneyConfig, "journey"), tonight),
            store.buckets,
            [Out(tables.IDENTIFIERS, schema.IDENTIFIERS), Out(tables.PERSON_CHANGES, schema.PERSON_CHANGES)],
        )
        exposure = add_up(measured for _, measured in told)
        tables.write_json(exposure, tables.REPORTS / "exposure.json")
        facts.append(f"{n_ids:,} identifiers of {sum(n for n, _ in told):,} persons")
        facts.append(f"{n_changes:,} changes of persons, {exposure['n_shared_devices']:,} shared devices")


def who_is_who(store: Store, journey: JourneyConfig, tonight: int, bucket: int) -> Part:
    """Return the identifiers and changes of the persons of a bucket; told are their number and the exposure."""
    # All that is known, the future of tonight too: for the identity of hindsight alone.
    events = store.log(bucket)
    identifiers = list_identifiers(events.identities, tonight)
    changes = list_person_changes(events.identities, tonight)
    return Part(
        [identifiers, changes], (identifiers["person_id"].nunique(), measure_exposure(events, journey, tonight))
    )


if __name__ == "__main__":
    main()

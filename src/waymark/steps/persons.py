"""DVC step: who is who, and how much hangs on the rules that say so."""

import logging

from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.eventlog import micro, read_log
from waymark.exposure import measure_exposure
from waymark.persons import list_identifiers, list_person_changes

log = logging.getLogger(__name__)


def main() -> None:
    """Write the identifiers, the changes of persons and the exposure to the rules."""
    with timed(log, "persons") as facts:
        tonight = micro(ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time)
        # All that is known, the future of tonight too: for the identity of hindsight alone.
        events = read_log(tables.read(tables.EVENTS), tables.read(tables.LINKS), load(IdentityConfig, "identity"))
        identifiers = list_identifiers(events.identities, tonight)
        changes = list_person_changes(events.identities, tonight)
        n_ids = tables.write(identifiers, tables.IDENTIFIERS, schema.IDENTIFIERS)
        n_changes = tables.write(changes, tables.PERSON_CHANGES, schema.PERSON_CHANGES)
        exposure = measure_exposure(events, load(JourneyConfig, "journey"), tonight)
        tables.write_json(exposure, tables.REPORTS / "exposure.json")
        facts.append(f"{n_ids:,} identifiers of {identifiers['person_id'].nunique():,} persons")
        facts.append(f"{n_changes:,} changes of persons, {exposure['n_shared_devices']:,} shared devices")


if __name__ == "__main__":
    main()

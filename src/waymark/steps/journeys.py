"""DVC step: the visits of every person to the stages, as known tonight."""

import logging

from waymark import schema, tables
from waymark.clock import ScoreClock, known_before
from waymark.config import IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.journeys import build_journeys

log = logging.getLogger(__name__)


def main() -> None:
    """Write the journeys."""
    with timed(log, "journeys") as facts:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        events = known_before(tables.read(tables.EVENTS), tonight)
        links, rules = tables.read(tables.LINKS), load(IdentityConfig, "identity")
        journeys = build_journeys(events, links, load(JourneyConfig, "journey"), tonight, rules)
        n = tables.write(journeys, tables.JOURNEYS, schema.JOURNEYS)
        facts.append(f"{n:,} visits of {journeys['person_id'].nunique():,} persons")


if __name__ == "__main__":
    main()

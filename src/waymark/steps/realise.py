"""DVC step: how the forecasts of past nights came out."""

import logging

from waymark import config, schema, tables
from waymark.clock import ScoreClock
from waymark.console import timed
from waymark.realised import grade_nights, nights_to_grade, read_grades
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Grade the nights whose horizon has passed by tonight."""
    with timed(log, "realise") as facts:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        nights = nights_to_grade(tonight, config.value("source")["name"])
        grades = grade_nights(nights, lambda rules: Store(tables.STORE, rules).logs(), read_grades())
        tables.write(grades, tables.REALISED, schema.REALISED)
        facts.append(f"{len(nights)} past nights graded")


if __name__ == "__main__":
    main()

"""What must be paid before any feature: `python reading.py WHAT EVENTS`, where WHAT is one of `WORK`."""

from __future__ import annotations

import sys
from pathlib import Path

from speed.in_duckdb import connect

COLUMNS = "event_time, known_time, event_type, channel, actor, value_cents"
_TOUCHED = (
    "sum(person), sum(epoch_us(event_time)), sum(epoch_us(known_time)), sum(length(event_type)), sum(length(channel)),"
    " sum(length(actor)), sum(value_cents)"
)
QUERIES = {
    "read": f"SELECT {_TOUCHED} FROM '{{events}}'",
    "sort": f"CREATE TABLE sorted AS SELECT person, {COLUMNS} FROM '{{events}}' ORDER BY person, event_time",
    "sort_ids": f"CREATE TABLE sorted AS SELECT person_id, {COLUMNS} FROM '{{events}}' ORDER BY person_id, event_time",
}


def main(what: str, events: Path) -> None:
    """Run one of the queries."""
    with connect(events.with_suffix(f".{what}")) as connection:
        connection.execute(QUERIES[what].format(events=events)).fetchall()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

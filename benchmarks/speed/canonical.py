"""The events of a store as one plain Parquet file, for others to read: who is who is settled, persons are numbers.

Run in a project, this file writes `events.parquet`, in the order in which events became known, and `plan.json` beside
the store: what the rivals of features_score start from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speed.plan import plan_for
from waymark import schema, tables
from waymark.clock import ScoreClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.eventlog import EventLog, group_by_person, micro
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary

EVENTS, PLAN = Path("data/events.parquet"), Path("data/plan.json")


def events_of(log: EventLog, cutoff: int, first_person: int = 0) -> pa.Table:
    """Return the events of a log that are known at a cut-off; its persons are numbered from `first_person` on."""
    grouped = group_by_person(log, log.visible(cutoff), cutoff)
    person, index = np.repeat(np.arange(len(grouped.persons)), np.diff(grouped.starts)), grouped.index
    value = pa.array(log.value_cents[index], mask=~log.has_value[index])
    return pa.table(
        {
            "person": pa.array(person + first_person),
            "person_id": pa.array(log.identities.person_ids[grouped.persons][person], pa.string()),
            "event_time": pa.array(log.event_time[index]).cast(pa.timestamp("us", "UTC")),
            "known_time": pa.array(log.known_time[index]).cast(pa.timestamp("us", "UTC")),
            "event_type": pa.DictionaryArray.from_arrays(log.event_type[index], pa.array(log.event_types, pa.string())),
            "channel": _named(log.channel[index], log.channels),
            "actor": pa.DictionaryArray.from_arrays(log.actor[index], pa.array(schema.ACTORS)),
            "value_cents": value,
        }
    )


def _named(codes: np.ndarray, names: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))


def _buckets(store: Store, cutoff: int) -> Iterator[pa.Table]:
    n_persons = 0
    for log in store.logs():
        table = events_of(log, cutoff, n_persons)
        n_persons += len(table["person"].unique())
        yield table


def main() -> None:
    """Write the events and the plan of the project."""
    cutoff = micro(ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time)
    store = Store(tables.STORE, load(IdentityConfig, "identity"))
    pieces = EVENTS.with_suffix(".pieces")
    pieces.mkdir()
    for i, table in enumerate(_buckets(store, cutoff)):
        pq.write_table(table, pieces / f"{i:04}.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '4GB'; SET temp_directory = '{pieces}/spilt'; SET threads = 2")
        connection.execute(
            f"COPY (SELECT * FROM '{pieces}/*.parquet' ORDER BY known_time) TO '{EVENTS}' (COMPRESSION zstd)"
        )
    for piece in pieces.glob("*.parquet"):
        os.unlink(piece)
    vocabulary = Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json"))
    plan = plan_for(cutoff, load(JourneyConfig, "journey"), load(FeaturesConfig, "features"), vocabulary)
    plan.write(PLAN)


if __name__ == "__main__":
    main()

"""The events of a store as one plain Parquet file, for others to read: who is who is settled, persons are numbers.

Run in a project, this file writes `events.parquet`, in the order in which events became known, and `plan.json` beside
the store: what the rivals of features_score start from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speed.plan import Plan
from waymark import schema, tables
from waymark.catalogue import slugs
from waymark.clock import ScoreClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.eventlog import OTHER, EventLog, group_by_person, micro
from waymark.store.store import Store
from waymark.vocabulary import ARROW, Vocabulary

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


def plan_for(cutoff: int, journey: JourneyConfig, settings: FeaturesConfig, known: Vocabulary) -> Plan:
    """Return the plan for some settings.

    A rule of `journey` may ask for the type of a customer's event only, and every category is to be known by name.
    """
    [half_life] = settings.half_lives_days
    stages = list(known.stages)
    gives = {t: stages.index(r.stage) for r in reversed(journey.rules) for t in r.event_type if r.stage in stages}
    return Plan(
        cutoff=cutoff,
        windows_days=settings.windows_days,
        half_life_days=half_life,
        last_k=settings.last_k,
        counted_types=list(slugs(known.counted_types)),
        counted_channels=list(slugs(known.counted_channels)),
        types=[
            {
                "event_type": name,
                "counted": _place(name, known.counted_types),
                "category": code,
                "reached": gives.get(name),
            }
            for code, name in enumerate(known.type_categories)
        ],
        channels=[
            {"channel": name, "counted": _place(name, known.counted_channels), "category": code}
            for code, name in enumerate(known.channel_categories)
        ],
        stages=stages,
        initial=stages.index(journey.initial),
        steps=[
            {
                "before": stages.index(a),
                "stage": stages.index(b),
                "is_regression": int(a in journey.path and b in journey.path and _is_back(a, b, journey.path)),
                "is_detour": int(a in journey.allowed and b not in journey.allowed[a]),
                "transition": known.transitions.index(way) if (way := ARROW.join((a, b))) in known.transitions else -1,
            }
            for a in stages
            for b in stages
        ],
        two_steps=[
            dict(
                zip(("before_that", "before", "stage"), map(stages.index, way.split(ARROW)), strict=True),
                two_transitions=code,
            )
            for code, way in enumerate(known.two_transitions)
        ],
    )


def _place(name: str, counted: tuple[str, ...]) -> int:
    return counted.index(name if name in counted else OTHER)


def _is_back(before: str, after: str, path: list[str]) -> bool:
    return path.index(after) < path.index(before)


def main() -> None:
    """Write the events and the plan of the project."""
    import duckdb  # an extra: tests use the functions above without it

    cutoff = micro(ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time)
    store = Store(tables.STORE, load(IdentityConfig, "identity"))
    pieces = EVENTS.with_suffix(".pieces")
    pieces.mkdir(exist_ok=True)
    for i, table in enumerate(_buckets(store, cutoff)):
        pq.write_table(table, pieces / f"{i:04}.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '4GB'; SET temp_directory = '{pieces}/spilt'; SET threads = 2")
        connection.execute(
            f"COPY (SELECT * FROM '{pieces}/*.parquet' ORDER BY known_time) TO '{EVENTS}' (COMPRESSION zstd)"
        )
    for piece in pieces.glob("*.parquet"):
        piece.unlink()
    vocabulary = Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json"))
    plan = plan_for(cutoff, load(JourneyConfig, "journey"), load(FeaturesConfig, "features"), vocabulary)
    plan.write(PLAN)


if __name__ == "__main__":
    main()

"""What the features of one bucket of events in memory cost, beside DuckDB's mere reading and sorting of the same rows.

`make benchmark-kernels` prints CPU nanoseconds an event, what they come to for 50 million events, and how often they go
into what DuckDB takes in the same run; then the wall time of two buckets one after the other and in two threads. Other
sizes of the bucket, in events: `make benchmark-kernels ARGS="1000000 3000000"`.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig
from waymark.eventlog import NEVER_ENDS, EventLog
from waymark.feature_groups import feature_table
from waymark.features import assemble, describe
from waymark.identity import EventIds, Identities, Links
from waymark.journeys import StageMap
from waymark.kernels.jit import DAY
from waymark.ledger import CUSTOMER
from waymark.points import Points, every_event, in_population, snapshot
from waymark.vocabulary import Vocabulary, learn_vocabulary
from waymark.walking import walk_points

SIZES = ("2500000",)
REPEATS = 4  # the least CPU time of these counts: others may be at work on the machine
N_EVENTS = 50_000_000  # extrapolated to
START, DAYS = 1_704_067_200_000_000, 365
N_TYPES, N_CHANNELS, EVENTS_A_PERSON = 20, 8, 25
PAID = 3  # the event type that carries a value
BY_BRAND = 0.2  # share of the events

JOURNEY = JourneyConfig(
    initial="none",
    rules=[{"stage": f"s{k}", "event_type": [f"t{i:02}" for i in range(4 * k, 4 * k + 4)]} for k in range(5)],
    path=[f"s{k}" for k in range(5)],
)
GROUPS = ["counts", "recency", "gaps", "last_k", "transitions", "stage", "channels", "decays"]
SETTINGS = {
    "some": {"groups": GROUPS, "windows_days": [1, 7, 30, 90], "half_lives_days": [14], "max_counted": 3},
    "all shipped": {
        "groups": [*GROUPS, "values", "calendar", "sessions", "attributes"],
        "windows_days": [7, 30, 90],
        "half_lives_days": [14, 60],
    },
}
KINDS = {"snapshots": snapshot, "every_event": every_event}


def draw_log(n: int, seed: int = 7) -> EventLog:
    """Draw a bucket of `n` events of a year, by Zipf-like persons: few do much."""
    rng = np.random.default_rng(seed)
    n_persons = max(n // EVENTS_A_PERSON, 10)
    person = np.minimum((n_persons * rng.random(n) ** 1.6).astype(np.int64), n_persons - 1)
    person = (person * 2_654_435_761 % n_persons).astype(np.int32)  # whoever does much has any code
    event_time = np.sort(rng.integers(0, DAYS * int(DAY), n)) + START
    kind = rng.integers(0, N_TYPES, n).astype(np.int16)
    never, none = np.full(n, NEVER_ENDS), np.zeros(0, np.int64)
    identities = Identities(
        names=pa.array([f"{CUSTOMER}{i:09}" for i in range(n_persons)], pa.string()),
        n_customers=n_persons,
        events=EventIds(person, np.full(n, -1, np.int32), event_time, event_time, never, np.ones(n, bool)),
        known_from=np.full(n_persons, START),
        low=none.astype(np.int32),
        high=none.astype(np.int32),
        linked_from=none,
        linked_until=none,
        erasures=Links(none, none, none, none),
        is_foreign=np.zeros(n_persons, bool),
        rules=IdentityConfig(),
    )
    return EventLog(
        event_time=event_time,
        known_time=event_time.copy(),
        sequence=np.zeros(n, np.int64),
        event_type=kind,
        event_types=np.array([f"t{i:02}" for i in range(N_TYPES)], object),
        channel=rng.integers(-1, N_CHANNELS, n).astype(np.int16),
        channels=np.array([f"c{i}" for i in range(N_CHANNELS)], object),
        actor=(rng.random(n) < BY_BRAND).astype(np.int8),
        session=np.full(n, -1, np.int64),
        superseded_time=never,
        is_first_told=np.ones(n, bool),
        value_cents=np.where(kind == PAID, rng.integers(100, 10_000, n), 0),
        has_value=kind == PAID,
        attributes={},
        numbers={},
        identities=identities,
    )


class Clock(dict[str, float]):
    """The least CPU seconds of each phase, threads of libraries included."""

    def time(self, phase: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        took = time.process_time() - start
        self[phase] = min(took, self.get(phase, np.inf))
        return result


def settings_of(kind: str, name: str) -> FeaturesConfig:
    return FeaturesConfig(points=kind, population={}, **SETTINGS[name])


def end_of(log: EventLog) -> int:
    return int(log.event_time[-1]) + 1


def learn(log: EventLog, settings: FeaturesConfig) -> Vocabulary:
    return learn_vocabulary(log, StageMap(log, JOURNEY), settings, end_of(log))


def points_of(log: EventLog, kind: str) -> Points:
    points = KINDS[kind](log, StageMap(log, JOURNEY), end_of(log))
    return points.keep(in_population(points, settings_of(kind, "some").population, points.cutoff))


def measure(log: EventLog, kind: str, name: str) -> tuple[Clock, int]:
    """Return the seconds of each phase for one kind of points, and the number of features."""
    settings, clock = settings_of(kind, name), Clock()
    vocabulary = learn(log, settings)
    rows = feature_table(settings, vocabulary)
    for _ in range(REPEATS):
        log.identities.stitched.clear()
        log.__dict__.pop("kinds", None)  # as in a log that has just been read
        _once(log, kind, settings, vocabulary, clock)
    return clock, len(rows)


def _once(log: EventLog, kind: str, settings: FeaturesConfig, vocabulary: Vocabulary, clock: Clock) -> None:
    rows = feature_table(settings, vocabulary)
    stage_map, cutoff = StageMap(log, JOURNEY), end_of(log)
    clock.time("kinds of events", lambda: log.kinds)
    points = clock.time("who is who, mask, group", partial(KINDS[kind], log, stage_map, cutoff))
    is_in = clock.time("population", partial(in_population, points, settings.population, points.cutoff))
    points = points.keep(is_in)
    result = clock.time("stages and features", partial(walk_points, points, [row.source for row in rows], vocabulary))
    clock.time("table", partial(assemble, points, [row.feature for row in rows], result))
    clock.time("(stages alone)", partial(stage_map.stage_codes, points.grouped))


def read_and_sort(log: EventLog) -> float | None:
    """Return the CPU seconds that DuckDB takes to read the log's rows from Parquet and sort them by person and time."""
    if importlib.util.find_spec("duckdb") is None:
        return None
    import duckdb

    names = {"event_type": (log.event_type, log.event_types), "channel": (log.channel, log.channels)}
    coded = {c: pa.array(np.append(n, None)[codes], pa.string()).dictionary_encode() for c, (codes, n) in names.items()}
    table = {
        "person": log.identities.events.customer,
        "event_time": pa.array(log.event_time, pa.timestamp("us", "UTC")),
        "known_time": pa.array(log.known_time, pa.timestamp("us", "UTC")),
        **coded,
        "actor": log.actor,
        "session": log.session,
        "value_cents": log.value_cents,
    }
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "bucket.parquet"
        pq.write_table(pa.table(table), path)
        connection.execute("SET threads = 2")
        query = f"CREATE OR REPLACE TABLE sorted AS SELECT * FROM read_parquet('{path}') ORDER BY person, event_time"
        for _ in range(REPEATS):
            clock.time("read + sort", partial(connection.execute, query))
    return clock["read + sort"]


def two_threads(n: int, kind: str) -> tuple[float, float, bool]:
    """Return the wall seconds of two buckets one after the other, and in two threads; and whether bytes are equal."""
    logs = [draw_log(n, seed) for seed in (1, 2)]
    settings = settings_of(kind, "some")
    vocabulary = learn(logs[0], settings)

    def work(log: EventLog) -> bytes:
        log.identities.stitched.clear()
        rows, _ = describe(points_of(log, kind), settings, vocabulary)
        return rows.select(rows.column_names[5:]).to_pandas().to_numpy(copy=False)

    def seconds(run: Callable[[], list]) -> tuple[float, list]:
        start = time.perf_counter()
        result = run()
        return time.perf_counter() - start, result

    with ThreadPoolExecutor(2) as pool:
        tries = [
            (seconds(lambda: [work(log) for log in logs]), seconds(lambda: list(pool.map(work, logs))))
            for _ in range(REPEATS - 1)
        ]
    same = all(np.array_equal(a, b, equal_nan=True) for (_, x), (_, y) in tries for a, b in zip(x, y, strict=True))
    return min(a for (a, _), _ in tries), min(b for _, (b, _) in tries), same


def show(n: int) -> str:
    """Return the table for buckets of `n` events."""
    log = draw_log(n)
    sort = read_and_sort(log)
    lines = [f"{n:,} events, {len(log.identities.person_ids):,} persons"]
    if sort is not None:
        lines.append(f"{'DuckDB: read + sort':34}{_row(sort, n, sort)}")
    for kind in KINDS:
        for name in SETTINGS:
            clock, n_features = measure(log, kind, name)
            total = sum(s for phase, s in clock.items() if not phase.startswith("("))
            lines.append(f"\n{kind}, {name}: {n_features} features")
            lines += [f"{phase:34}{_row(s, n, sort)}" for phase, s in (*clock.items(), ("all of it", total))]
    for kind in KINDS:
        one, two, same = two_threads(n, kind)
        lines.append(f"\ntwo buckets, {kind}: wall {one:.2f} s one after the other, {two:.2f} s in two threads")
        lines.append(f"x {one / two:.2f}; {'the same bytes' if same else 'OTHER BYTES'}")
    return "\n".join(lines)


def _row(seconds: float, n: int, sort: float | None) -> str:
    ratio = "" if sort is None else f"{seconds / sort:9.2f} x read + sort"
    return f"{seconds / n * 1e9:8.1f} ns an event {seconds / n * N_EVENTS:7.1f} s for 50 M{ratio}"


if __name__ == "__main__":
    for size in sys.argv[1:] or SIZES:
        print(show(int(float(size))), flush=True)

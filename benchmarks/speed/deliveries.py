"""A year of daily files of a brand that never was: as many events as are asked for, drawn without a loop over them.

Few persons do much and many do little (a power law). Each has one to three devices, signs in on one of them at some
time, and from then on mostly acts signed in. Some events come days late, some twice.

`python deliveries.py FOLDER N_EVENTS [N_DAYS]` writes a year of them, or so many days of as many a year.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAYS = 365
START = int(np.datetime64("2024-01-01", "us").astype(np.int64))
DAY = 86_400_000_000  # microseconds
EVENTS_PER_PERSON = 25
LATE, TWICE = 0.02, 0.002
TYPES = tuple(f"type_{i:02d}" for i in range(20))
CHANNELS = tuple(f"channel_{i}" for i in range(8))
PRICED = 3  # the type that has a value


def deliver(folder: Path, n_events: int, seed: int = 7, days: range | None = None, n_days: int = DAYS) -> None:
    """Write `YYYY-MM-DD.parquet` for some days, by default for all: what was received that day.

    `n_events` happen in a year, and the brand is there for `n_days`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    per_day, n_persons = n_events // DAYS, max(n_events // EVENTS_PER_PERSON, 10)
    late: dict[int, list[pa.Table]] = {}
    for day in range(n_days + 30):
        rows = _day(day, per_day, n_persons, seed) if day < n_days else None
        received = [] if rows is None else [rows.filter(pc.equal(rows["received_day"], day))]
        if rows is not None:
            for other in pc.unique(rows["received_day"]).to_pylist():
                if other != day:
                    late.setdefault(other, []).append(rows.filter(pc.equal(rows["received_day"], other)))
        received += late.pop(day, [])
        if received and (days is None or day in days):
            table = pa.concat_tables(received).drop_columns(["received_day"])
            name = str(np.datetime64(START + day * DAY, "us").astype("datetime64[D]"))
            pq.write_table(table.sort_by("received_at"), folder / f"{name}.parquet", compression="zstd")


def _day(day: int, n: int, n_persons: int, seed: int) -> pa.Table:
    rng = np.random.default_rng([seed, day])
    person = np.minimum((n_persons * rng.random(n) ** 1.6).astype(np.int64), n_persons - 1)
    person = person * 2_654_435_761 % n_persons
    person.sort()
    at = START + day * DAY + rng.integers(0, DAY, n)
    delay = rng.exponential(60e6, n).astype(np.int64)
    is_late = rng.random(n) < LATE
    delay[is_late] += rng.integers(1, 20, int(is_late.sum())) * DAY
    received = at + delay
    signs_in = (_mixed(person) >> np.uint64(40)).astype(np.int64) % (2 * DAYS)  # half of them never do
    is_known = (day >= signs_in) & (rng.random(n) < 0.8)
    device = person * 3 + rng.integers(0, 1 + person % 3)
    what = rng.choice(len(TYPES), n, p=_shares())
    number = np.arange(n) + day * n
    value = np.where(what == PRICED, rng.integers(100, 50_000, n) / 100, 0)
    table = pa.table(
        {
            "event_id": pc.binary_join_element_wise("e", pa.array(number).cast(pa.string()), ""),
            "occurred_at": pa.array(at, pa.timestamp("us", "UTC")),
            "received_at": pa.array(received, pa.timestamp("us", "UTC")),
            "user_id": pc.if_else(pa.array(is_known), _named("u", person), pa.scalar(None, pa.string())),
            "device_id": _named("d", device),
            "event": pa.array(TYPES).take(pa.array(what)),
            "channel": pa.array(CHANNELS).take(pa.array(rng.integers(0, len(CHANNELS), n))),
            "value": pa.array(value, mask=what != PRICED),
            "received_day": (received - START) // DAY,
        }
    )
    again = np.flatnonzero(rng.random(n) < TWICE)
    return pa.concat_tables([table, table.take(pa.array(again))])


def _shares() -> np.ndarray:
    weights = 1 / np.arange(1, len(TYPES) + 1)
    return weights / weights.sum()


def _mixed(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _named(prefix: str, number: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(number).cast(pa.string()), "")


if __name__ == "__main__":
    n_days = int(sys.argv[3]) if len(sys.argv) > 3 else DAYS
    deliver(Path(sys.argv[1]), int(sys.argv[2]), days=range(n_days), n_days=n_days)

"""Random logs for property tests: few people and devices, many ties, late and early knowledge, holes everywhere.

A log is its seed and its length, so that a failing one shrinks to its first events.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from by_hand import time

CUTOFF = time("2025-01-27")  # a Monday
MICROSECOND = timedelta(microseconds=1)
Row = dict[str, Any]

_WHO = [
    *((f"c{i}", None) for i in range(4)),
    *(("c0", "phone"), ("c1", "phone"), ("c2", "tablet"), ("c3", "laptop")),
    *((None, d) for d in ("phone", "tablet", "laptop", "kiosk")),
]
_AT_EDGES = [CUTOFF, CUTOFF - MICROSECOND, CUTOFF - timedelta(days=7), CUTOFF - timedelta(days=7) - MICROSECOND]
_HOURS = [0, 0, 6, 6.5, 15, 23.99]
_DELAYS = [timedelta(0)] * 6 + [MICROSECOND, timedelta(hours=6), timedelta(days=5), -timedelta(days=4)]
_WHAT = [("view", "customer")] * 4 + [("order", "customer")] * 3 + [("complaint", "customer"), ("email", "brand")]


def _event(draw: random.Random) -> Row:
    customer, device = draw.choice(_WHO)
    what, actor = draw.choice(_WHAT)
    moment = CUTOFF + timedelta(days=draw.randint(-40, 14), hours=draw.choice(_HOURS))
    moment = draw.choice(_AT_EDGES) if draw.random() < 0.25 else moment
    return {
        "event_time": moment,
        "known_time": moment + draw.choice(_DELAYS),
        "superseded_time": None,
        "sequence": draw.choice([0, 0, 1]),
        "source": "random",
        "anonymous_id": device,
        "customer_id": customer,
        "event_type": what,
        "actor": actor,
        "channel": draw.choice([None, "web", "web", "store", "email"]),
        "session_id": draw.choice([None, None, "s1", "s2"]),
        "value_cents": draw.choice([None, None, 0, 990, 7000, -500]),
        "attr_colour": draw.choice([None, "red", "red", "green", "blue"]),
        "attr_plan": draw.choice([None, None, "gold"]),
        "num_pages": draw.choice([None, 0.0, 2.5, 0.1]),
    }


def _log(seed: int, n: int) -> list[Row]:
    draw = random.Random(seed)
    return [_event(draw) for _ in range(n)]


def rows(max_size: int = 60) -> st.SearchStrategy[list[Row]]:
    """Draw rows of events, in no order."""
    return st.builds(_log, st.integers(0, 2**32), st.integers(0, max_size))


def table(events: list[Row]) -> pd.DataFrame:
    """Return rows as an event table; their places give their ids, which order what else is equal."""
    table = pd.DataFrame(events, columns=list(_event(random.Random(0))))
    table.insert(0, "event_id", pd.array([f"e{i:03}" for i in range(len(events))], "str"))
    times = dict.fromkeys(["event_time", "known_time", "superseded_time"], "datetime64[us, UTC]")
    numbers = {"sequence": "int64", "value_cents": "float64", "num_pages": "float64"}
    return table.astype(dict.fromkeys(table, "str") | times | numbers)


def is_past(event: Row, cutoff: pd.Timestamp = CUTOFF) -> bool:
    """Say whether an event had happened and was known before the cut-off."""
    return event["event_time"] < cutoff and event["known_time"] < cutoff


def past(events: list[Row], cutoff: pd.Timestamp = CUTOFF) -> list[Row]:
    """Return what could be seen at the cut-off."""
    return [e for e in events if is_past(e, cutoff)]


def future(events: list[Row], cutoff: pd.Timestamp = CUTOFF) -> list[Row]:
    """Return what could not be seen at the cut-off."""
    return [e for e in events if not is_past(e, cutoff)]


_LINKED = [*(f"customer:c{i}" for i in range(4)), *(f"anonymous:{d}" for d in ("phone", "tablet", "laptop", "address"))]


def _told(seed: int, n: int) -> list[Row]:
    draw = random.Random(seed)
    rows = []
    for _ in range(n):
        one, two = sorted(draw.sample(_LINKED, 2))
        # Few days, so that a link and its erasure often meet.
        day = CUTOFF + timedelta(days=draw.choice([-30, -20, -10, -7, -1, 0, 5]))
        kind = draw.choice(["alias", "alias", "erase"])
        rows.append({"id_a": one, "id_b": two, "kind": kind, "known_time": day, "source": "crm", "probability": None})
    return rows


def told(max_size: int = 10) -> st.SearchStrategy[list[Row]]:
    """Draw links that somebody told of, and erasures, in no order."""
    return st.builds(_told, st.integers(0, 2**32), st.integers(0, max_size))


def told_table(links: list[Row]) -> pd.DataFrame:
    """Return told links as rows of `schema.LINKS`; what is told twice is there once."""
    kinds = {"known_time": "datetime64[us, UTC]", "probability": "float64"}
    table = pd.DataFrame(links, columns=list(_told(0, 1)[0]))
    return table.astype(dict.fromkeys(table, "str") | kinds).drop_duplicates(ignore_index=True)


def restated(events: pd.DataFrame, n: int, restatements: list[Row]) -> pd.DataFrame:
    """Return `events` with restatements of its first `n`, one after another as they became known."""
    newest = dict.fromkeys(range(n))
    versions = events.to_dict("records")
    for i, row in enumerate(sorted(restatements, key=lambda r: r["known_time"]) if n else []):
        place = i * 7 % n
        before = versions[newest[place] or place]
        if before["known_time"] < row["known_time"]:
            before["superseded_time"] = row["known_time"]
            newest[place] = len(versions)
            versions.append(row | {"event_id": before["event_id"]})
    table = pd.DataFrame(versions, columns=list(events))
    times = {c: pd.to_datetime(table[c], utc=True) for c in table if c.endswith("_time")}
    return table.assign(**times).astype(events.dtypes.to_dict())


def ids(event: Row) -> tuple[str, ...]:
    """Return the ids that an event carries, that of the customer first."""
    return tuple(f"{kind}:{event[f'{kind}_id']}" for kind in ("customer", "anonymous") if event[f"{kind}_id"])

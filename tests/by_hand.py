"""Tables typed by hand: an event is a short line, `who day channel what [cents] [name=value ...]`.

ann 2025-01-20 store order 500                      a customer
~phone 2025-01-20T09:30 web view                    a device
ann~phone 2025-01-21 app login known=2025-01-25     both: a log-in, delivered late
ann 2025-01-21 web view id=7 superseded=2025-01-25      what held until another line with this id was known
ann 2025-01-22 email email_open actor=brand seq=1   `-` for no channel; session=..., attr_x=..., num_x=...
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from waymark import schema
from waymark.config import FeaturesConfig, JourneyConfig, SplitConfig, TargetsConfig
from waymark.features import build_features
from waymark.ledger import link_identities

SHOP = JourneyConfig.model_validate(
    {
        "initial": "new",
        "rules": [
            {"stage": "loyal", "event_type": ["order"], "count_at_least": 3},
            {"stage": "big", "event_type": ["order"], "value_cents_at_least": 5000},
            {"stage": "bought", "event_type": ["order"]},
            {"stage": "trouble", "event_type": ["complaint"], "channel": ["store", "email"]},
            {"stage": "looking", "event_type": ["view"], "actor": ["customer", "brand"]},
        ],
        "path": ["new", "looking", "bought", "loyal"],
        "allowed": {"new": ["looking"], "looking": ["bought", "big"], "bought": ["looking", "loyal"]},
        "session_gap_minutes": 30,
    }
)
ACTIVITIES = JourneyConfig.model_validate({"initial": "none", "rules": [{"stage": "{event_type}"}]})
GROUPS = (
    *("counts", "values", "recency", "gaps", "last_k", "transitions"),
    *("stage", "channels", "calendar", "decays", "sessions", "active_days", "attributes"),
)


def time(text: str) -> pd.Timestamp:
    """Return a UTC time, in microseconds as tables hold it."""
    stamp = pd.Timestamp(text)
    return (stamp.tz_convert("UTC") if stamp.tzinfo else stamp.tz_localize("UTC")).as_unit("us")


def events(*lines: str) -> pd.DataFrame:
    """Return rows of `schema.EVENTS`; an event's id is its line, unless it names one."""
    rows = [_event(line) for line in lines]
    extra = sorted({c for row in rows for c in row if c.startswith(("attr_", "num_"))})
    return frame(rows, extra)


def frame(rows: list[dict[str, Any]], extra: list[str] | None = None) -> pd.DataFrame:
    """Return event rows as the table that `tables.read` would give, with the attribute columns `extra`."""
    columns = [*schema.EVENTS.columns, *(extra or [])]
    table = pd.DataFrame({c: pd.Series([r.get(c) for r in rows], dtype=object) for c in columns})
    return schema.to_arrow(table, schema.EVENTS).to_pandas()


def _event(line: str) -> dict[str, Any]:
    words = line.split()
    options = dict(w.split("=") for w in words if "=" in w)
    who, when, channel, what, *cents = [w for w in words if "=" not in w]
    customer, _, device = who.partition("~")
    row = {
        "event_id": options.pop("id", line),
        "event_time": time(when),
        "known_time": time(options.pop("known", when)),
        "superseded_time": time(options.pop("superseded")) if "superseded" in options else None,
        "sequence": int(options.pop("seq", 0)),
        "source": options.pop("source", "hand"),
        "anonymous_id": device or None,
        "customer_id": customer or None,
        "event_type": what,
        "actor": options.pop("actor", "customer"),
        "channel": None if channel == "-" else channel,
        "session_id": options.pop("session", None),
        "value_cents": int(cents[0]) if cents else None,
    }
    return row | {k: float(v) if k.startswith("num_") else v for k, v in options.items()}


def settings(**changed: Any) -> FeaturesConfig:
    """Return the settings of the features: every group, short windows, everybody."""
    chosen = {
        "points": "snapshots",
        "groups": list(GROUPS),
        "windows_days": [7, 30],
        "half_lives_days": [10],
        "last_k": 3,
        "population": {},
    }
    return FeaturesConfig.model_validate(chosen | changed)


def targets(horizon_days: int = 30, **changed: Any) -> TargetsConfig:
    """Return the settings of the targets."""
    return TargetsConfig(horizon_days=horizon_days, **changed)


def split(kind: str = "cutoffs", **changed: Any) -> SplitConfig:
    """Return the settings of the split."""
    return SplitConfig.model_validate({"kind": kind} | changed)


def features(
    *lines: str, at: str = "2025-02-01", journey: JourneyConfig = SHOP, vocabulary: Any = None, **changed: Any
) -> pd.DataFrame:
    """Return the features of the events `lines` as of midnight `at`, a row a person, their names without `f_`."""
    log = events(*lines)
    table, _ = build_features(log, link_identities(log), time(at), journey, settings(**changed), vocabulary)
    return table.rename(columns=lambda c: c.removeprefix("f_") if c != "f_stage" else c).set_index("person_id")

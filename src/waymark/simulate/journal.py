"""The simulator's notebook: what happened, as arrays, until it becomes a table."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from waymark.simulate import law

FEEDS = ("web", "app", "store", "call_centre", "email", "social", "logistics")
WEB, APP, STORE, CALL_CENTRE, EMAIL, SOCIAL, LOGISTICS = range(len(FEEDS))
KINDS = ("none", "entry", "step")  # no move, first move of a visit, later move
EVENT_TYPES = (
    *(name for shown in law.SHOWS.values() for name in shown),
    *("payment_error", "store_visit", "login", "order_status", "support_call", "email_open"),
    *("email_sent", "offer_sent", "support_answer", "parcel_delivered"),
)
TYPE = {name: i for i, name in enumerate(EVENT_TYPES)}
MAILINGS = ("newsletter", "cart_offer", "win_back")

_N_SHOWN = max(len(shown) for shown in law.SHOWS.values())
# By move: the event types it shows by, and from which luck on each of them; -1 where a store shows no other type.
SHOWN = np.array([[TYPE[n] for n in shown] + [-1] * (_N_SHOWN - len(shown)) for shown in law.SHOWS.values()])
SHOWN_FROM = np.array([np.cumsum([*shown.values(), *[1.0] * _N_SHOWN])[: _N_SHOWN - 1] for shown in law.SHOWS.values()])
SHOWN_IN_STORE = np.array([TYPE.get(law.SHOWS_IN_STORE.get(move, ""), -1) for move in law.MOVES])

# Column -> type and the value where an event has none.
_COLUMNS: dict[str, tuple[str, Any]] = {
    "person": ("int32", -1),
    "second": ("int64", 0),  # since the start
    "event_type": ("int16", -1),
    "feed": ("int8", -1),
    "device": ("int32", -1),
    "is_known": ("bool", False),  # carries the customer id
    "visit": ("int32", -1),
    "value_cents": ("int64", -1),
    "category": ("int8", -1),
    "mailing": ("int8", -1),
    "seen_campaign": ("int8", -1),  # the one that the event shows
    "kind": ("int8", 0),
    "move": ("int8", -1),
    "stage": ("int8", -1),  # where the event leads to one
    "state": ("int8", 0),
    "silent_days": ("float64", 0.0),
    "in_store": ("bool", False),
    "is_mobile": ("bool", False),
    "has_offer": ("bool", False),
    "is_due": ("bool", False),
    "n_steps_back": ("int16", 0),
    "n_orders": ("int16", 0),
    "campaign": ("int8", 0),
    "style": ("int8", 0),
}


@dataclass
class Journal:
    """Events in the order in which they were drawn."""

    _chunks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def add(self, person: np.ndarray, second: np.ndarray, **values: Any) -> None:
        """Note one event a person; a single value holds for all of them."""
        if len(person):
            self._chunks.append((len(person), {"person": person, "second": second, **values}))

    def frame(self) -> pd.DataFrame:
        """Return the events by person and time, each with the stage the person is in after it."""
        events = pd.DataFrame({name: self._column(name, *spec) for name, spec in _COLUMNS.items()})
        events = events.sort_values(["person", "second"], kind="stable", ignore_index=True)
        known = events["stage"].where(events["stage"] >= 0)
        events["stage"] = known.groupby(events["person"]).ffill().fillna(0).astype("int8")
        return events

    def _column(self, name: str, dtype: str, default: Any) -> np.ndarray:
        values = np.full(sum(n for n, _ in self._chunks), default, dtype)
        start = 0
        for n, chunk in self._chunks:
            if name in chunk:
                values[start : start + n] = chunk[name]
            start += n
        return values

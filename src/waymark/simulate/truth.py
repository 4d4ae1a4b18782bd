"""What no real brand could know, kept apart from what is delivered: for tests and benchmarks."""

from pathlib import Path
from typing import Any

import numpy as np

from waymark import tables
from waymark.schema import TIME, Table
from waymark.simulate import law
from waymark.simulate.brand import Brand

PERSONS = Table(
    name="truth_persons",
    grain="one person, with the traits that the law reads",
    key=("person",),
    columns={
        "person": "string",
        "customer_id": "string",  # shown from the first login on; never where `joins` is false
        "arrival_day": "int64",
        "first_campaign": "string",
        "visits_per_day": "float64",
        "style": "string",
        "pause_probability": "float64",
        "cycle_days": "float64",
        "joins": "bool",
        "login_probability": "float64",
        "is_subscribed": "bool",
        "is_mail_lover": "bool",
        "is_price_sensitive": "bool",
        "is_weekender": "bool",
        "store_probability": "float64",
        "category": "string",
        "basket_cents": "int64",
        "handle": "string",
        "is_handle_connected": "bool",
    },
    nullable=frozenset({"cycle_days", "handle"}),
)

IDENTITIES = Table(
    name="truth_identities",
    grain="one anonymous id and one person who uses it",
    key=("anonymous_id", "person"),
    columns={"anonymous_id": "string", "person": "string", "customer_id": "string", "n_events": "int64"},
    nullable=frozenset({"customer_id"}),
)

PAUSES = Table(
    name="truth_pauses",
    grain="one silence of one person",
    key=("person", "nth"),
    columns={
        "person": "string",
        "nth": "int64",
        "paused_day": "int64",
        "returned_day": "int64",
        "cause": "string",  # visit or unanswered
        "is_gone": "bool",  # for good
    },
    nullable=frozenset({"returned_day"}),
)

EVENTS = Table(
    name="truth_events",
    grain="one event as it happened, with its person, the stage after it and what the law drew it from",
    key=("event_time", "event_id"),
    columns={
        "event_id": "string",  # as ingest names it
        "person": "string",
        "event_time": TIME,
        "known_time": TIME,
        "feed": "string",
        "event_type": "string",
        "actor": "string",
        "anonymous_id": "string",
        "customer_id": "string",
        "session_id": "string",
        "value_cents": "int64",
        "category": "string",
        "seen_campaign": "string",
        "device_type": "string",
        "mailing": "string",
        "visit": "int32",  # -1 outside visits
        "kind": "string",  # entry: first move of a visit; step: later move; none: no move
        "move": "string",
        "stage": "string",  # after the event
        # What the move was drawn from; see law.History.
        "state": "string",
        "silent_days": "float64",
        "in_store": "bool",
        "is_mobile": "bool",
        "has_offer": "bool",
        "is_due": "bool",
        "n_steps_back": "int32",
        "n_orders": "int32",
        "campaign": "string",
        "style": "string",
    },
    nullable=frozenset({
        *("anonymous_id", "customer_id", "session_id", "value_cents", "category", "seen_campaign"),
        *("device_type", "mailing", "move", "campaign", "style"),
    }),
)  # fmt: skip


def write_truth(brand: Brand, folder: Path) -> None:
    """Write the tables of the truth and the law's numbers into `folder`."""
    tables.write(brand.persons, folder / "persons.parquet", PERSONS)
    tables.write(brand.identities, folder / "identities.parquet", IDENTITIES)
    tables.write(brand.pauses, folder / "pauses.parquet", PAUSES)
    tables.write(brand.events, folder / "events.parquet", EVENTS)
    tables.write_json(parameters(), folder / "law.json")


def parameters() -> dict[str, Any]:
    """Return every number of the law by its name."""
    numbers = {name: value for name, value in vars(law).items() if name.isupper()}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in numbers.items()}

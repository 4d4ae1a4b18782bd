"""Events and links as they might have been, changed only in what nobody could know before a cut-off.

Each function takes and returns `(events, links)`, rows of `schema.EVENTS` and `schema.LINKS`. What is described as of
the cut-off must come out the same from both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from waymark import schema
from waymark.clock import known_before
from waymark.ledger import ANONYMOUS, CUSTOMER

World = tuple[pd.DataFrame, pd.DataFrame]
Tamper = Callable[[World, pd.Timestamp, np.random.Generator], World]

WILD = "leakcheck"  # an event type, a channel and a category that no data has
_HUGE = 10**9
_IDS = ["anonymous_id", "customer_id"]
_TIMES = ["event_time", "known_time", "superseded_time"]
_SECOND = pd.Timedelta(seconds=1)


def is_past(events: pd.DataFrame, cutoff: pd.Timestamp) -> pd.Series:
    """Say which events had happened and were known before the cut-off, restated since or not."""
    return (events["event_time"] < cutoff) & (events["known_time"] < cutoff)


def delete_the_future(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Leave out every event of the future, restatements among them."""
    events, links = world
    return known_before(events, cutoff), links


def scramble_the_future(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Deal out anew who did what among the events of the future."""
    events, links = world
    past = is_past(events, cutoff)
    later = events[~past].copy()
    order = rng.permutation(len(later))
    later[_IDS] = later[_IDS].iloc[order].set_axis(later.index)
    for column in later.columns.difference([*_IDS, *_TIMES, "event_id", "source"]):
        later[column] = later[column].iloc[rng.permutation(len(later))].array
    return _together(events[past], later), links


def add_a_wild_future(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Add events that happen at or after the cut-off, half of them of a new type, some known beforehand."""
    events, links = world
    n = min(len(events), 20_000)
    rows = _copies(events, rng.choice(len(events), n, replace=False))
    ahead = pd.to_timedelta(rng.integers(0, 90 * 86_400, n), unit="s")
    rows["event_time"] = cutoff + ahead
    rows["known_time"] = rows["event_time"].where(rng.random(n) < 0.7, cutoff - _SECOND)
    return _together(events, _wild(rows, rng)), links


def add_events_at_the_cutoff(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Let everybody's latest event happen again exactly at the cut-off, or become known exactly then."""
    events, links = world
    past = events[is_past(events, cutoff)].sort_values("event_time", kind="stable")
    latest = np.flatnonzero(~past.duplicated(_IDS, keep="last"))
    before = cutoff - _SECOND
    rows = []
    for happened, known in ((cutoff, cutoff), (cutoff, before), (before, cutoff)):
        again = _copies(past, latest, mark=f"{happened.value}-{known.value}")
        rows.append(again.assign(event_time=happened, known_time=known))
    return _together(events, *rows), links


def deliver_late(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Let events of the past happen once more, delivered only at the cut-off or later."""
    events, links = world
    past = events[is_past(events, cutoff)]
    rows = _copies(past, rng.permutation(len(past))[: len(past) // 2 + 1])
    rows["known_time"] = _later(cutoff, len(rows), rng)
    return _together(events, _wild(rows, rng, share=0.2)), links


def restate_late(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Let later deliveries say that half the events of the past were others."""
    events, links = world
    chosen = is_past(events, cutoff) & events["superseded_time"].isna() & (rng.random(len(events)) < 0.5)
    told = pd.Series(_later(cutoff, int(chosen.sum()), rng), index=events.index[chosen])
    news = events[chosen].assign(known_time=told)
    news["event_type"] = news["event_type"].iloc[rng.permutation(len(news))].array
    before = events.assign(superseded_time=events["superseded_time"].where(~chosen, told))
    return _together(before, _wild(news, rng, share=0.2)), links


def forget_later_links(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Leave out every link that became known at or after the cut-off."""
    events, links = world
    return events, links[links["known_time"] < cutoff]


def link_anybody_later(world: World, cutoff: pd.Timestamp, rng: np.random.Generator) -> World:
    """Add links, known at or after the cut-off, between identifiers that have nothing to do with each other."""
    events, links = world
    known = ids(events)
    pairs = rng.choice(known, (len(known), 2))
    new = pd.DataFrame({"id_a": pairs[:, 0], "id_b": pairs[:, 1], "kind": "login", "source": WILD})
    new["known_time"] = _later(cutoff, len(new), rng)
    new = new[new["id_a"] != new["id_b"]].drop_duplicates(["id_a", "id_b"])
    return events, _together(links, new.reindex(columns=links.columns))


def swap_futures(
    world: World, cutoff: pd.Timestamp, giver: pd.Series, taker_of: dict[int, str], rng: np.random.Generator
) -> World:
    """Give each person's future to another.

    Parameters
    ----------
    world, cutoff, rng
        As everywhere in this module.
    giver
        The code of the person of each event, indexed as the events are.
    taker_of
        Code -> identifier (`customer:` or `anonymous:` and the id) of who gets that person's future. The future of a
        person without one goes.

    Returns
    -------
    World
        Nothing that is known before the cut-off tells of a person's future any more.
    """
    past, links = delete_the_future(world, cutoff, rng)
    events = world[0]
    later = events[~is_past(events, cutoff)]
    taker = giver.loc[later.index].map(taker_of)
    later, taker = later[taker.notna()], taker[taker.notna()].astype("str")
    is_customer = taker.str.startswith(CUSTOMER)
    return _together(
        past,
        later.assign(
            customer_id=taker.str.removeprefix(CUSTOMER).where(is_customer),
            anonymous_id=taker.str.removeprefix(ANONYMOUS).where(~is_customer),
        ),
    ), forget_later_links((past, links), cutoff, rng)[1]


def ids(events: pd.DataFrame) -> np.ndarray:
    """Return every identifier in `events`, each once, with its prefix."""
    found = [p + events[c].dropna() for p, c in ((ANONYMOUS, "anonymous_id"), (CUSTOMER, "customer_id"))]
    return np.unique(np.concatenate([f.to_numpy(object) for f in found]).astype(object))


def _copies(events: pd.DataFrame, positions: np.ndarray, mark: str = "") -> pd.DataFrame:
    rows = events.iloc[positions].reset_index(drop=True)
    rows["event_id"] = [f"{WILD}-{mark}-{i}" for i in range(len(rows))]
    return rows.assign(superseded_time=pd.Series(pd.NaT, rows.index, rows["superseded_time"].dtype))


def _wild(rows: pd.DataFrame, rng: np.random.Generator, share: float = 0.5) -> pd.DataFrame:
    """Return `rows` with values nobody has seen; a share of them of an event type and categories that nobody knows."""
    is_new = rng.random(len(rows)) < share
    names = ["event_type", "channel", *(c for c in rows if c.startswith("attr_"))]
    new = {c: rows[c].where(~is_new, WILD) for c in names}
    huge = {c: _HUGE for c in rows if c == "value_cents" or c.startswith("num_")}
    return rows.assign(**new, **huge)


def _later(cutoff: pd.Timestamp, n: int, rng: np.random.Generator) -> pd.DatetimeIndex:
    """Return `n` times from the cut-off on, the cut-off itself among them."""
    hours = np.where(rng.random(n) < 0.3, 0, rng.integers(0, 30 * 24, n))
    return (cutoff + pd.to_timedelta(hours, unit="h")).as_unit("us")


def _together(table: pd.DataFrame, *more: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all tables in the columns and types of the first."""
    parts = [t for t in (table, *more) if len(t)]
    if not parts:
        return table
    kinds = {c: table[c].dtype for c in table if c not in schema.EVENTS.nullable}
    return pd.concat([p.astype({c: k for c, k in kinds.items() if c in p}) for p in parts], ignore_index=True)

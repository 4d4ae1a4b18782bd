"""Events as arrays: sorted, coded, and grouped by the person they belonged to as of a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from waymark import identity, kernels, schema
from waymark.config import IdentityConfig

OTHER = "(other)"
_NEVER = np.iinfo(np.int64).max


def microseconds(times: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Return UTC times as int64 microseconds."""
    return times.dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)


def micro(time: pd.Timestamp) -> int:
    """Return one UTC time as microseconds."""
    return int(pd.Timestamp(time).tz_convert(None).to_datetime64().astype("datetime64[us]").astype(np.int64))


@dataclass(frozen=True)
class EventLog:
    """Events in the order of (event_time, sequence, event_id). Each array has one element an event."""

    event_time: np.ndarray  # int64 microseconds
    known_time: np.ndarray  # int64 microseconds
    sequence: np.ndarray  # int64
    event_type: np.ndarray  # int32 code into `event_types`
    event_types: np.ndarray
    channel: np.ndarray  # int32 code into `channels`, -1 for none
    channels: np.ndarray
    is_customer: np.ndarray  # bool: the customer acted
    actor: np.ndarray  # object
    session: np.ndarray  # int32 code, -1 for none
    superseded_time: np.ndarray  # int64 microseconds: when a restatement took the event's place, else never
    is_first_told: np.ndarray  # bool: no restatement of an earlier event
    value_cents: np.ndarray  # int64, 0 for none
    has_value: np.ndarray  # bool: 0 is a value, too
    attributes: Mapping[str, tuple[np.ndarray, np.ndarray]]  # name -> (int32 codes, their names)
    numbers: Mapping[str, np.ndarray]  # name -> float64, NaN for none
    identities: identity.Identities

    def __post_init__(self) -> None:
        """Lock the arrays: every night and every feature reads the same ones."""
        coded = [array for both in self.attributes.values() for array in both]
        for array in (*vars(self).values(), *coded, *self.numbers.values()):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.event_time)

    def visible(self, cutoff: int) -> np.ndarray:
        """Return the positions of the events that had happened, and were known and held, before `cutoff` (micros.)."""
        return np.flatnonzero(self._is_known(cutoff) & ~(self.superseded_time < cutoff))

    def first_told(self, cutoff: int) -> np.ndarray:
        """Return the positions of the events as they were first told, of those known before `cutoff`."""
        return np.flatnonzero(self._is_known(cutoff) & self.is_first_told)

    def _is_known(self, cutoff: int) -> np.ndarray:
        return (self.event_time < cutoff) & (self.known_time < cutoff)


def read_log(events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None = None) -> EventLog:
    """Turn rows of `schema.EVENTS`, in any order, and of `schema.LINKS` into arrays; `rules` say who is who."""
    events = events.sort_values(list(schema.EVENTS.key), kind="stable", ignore_index=True)

    def coded(column: str) -> tuple[np.ndarray, np.ndarray]:
        codes, names = pd.factorize(events[column], sort=True)
        return codes.astype(np.int32), names.to_numpy(object)

    event_type, event_types = coded("event_type")
    channel, channels = coded("channel")
    return EventLog(
        event_time=microseconds(events["event_time"]),
        known_time=microseconds(events["known_time"]),
        sequence=events["sequence"].to_numpy(np.int64),
        event_type=event_type,
        event_types=event_types,
        channel=channel,
        channels=channels,
        is_customer=(events["actor"] == "customer").to_numpy(bool),
        actor=events["actor"].to_numpy(object),
        superseded_time=np.where(events["superseded_time"].isna(), _NEVER, microseconds(events["superseded_time"])),
        is_first_told=~events.sort_values("known_time", kind="stable")["event_id"].duplicated().sort_index().to_numpy(),
        session=coded("session_id")[0],
        value_cents=events["value_cents"].fillna(0).to_numpy(np.int64),
        has_value=events["value_cents"].notna().to_numpy(bool),
        attributes={c.removeprefix("attr_"): coded(c) for c in sorted(events) if c.startswith("attr_")},
        numbers={
            c.removeprefix("num_"): events[c].to_numpy(np.float64) for c in sorted(events) if c.startswith("num_")
        },
        identities=identity.index_identities(events, links, rules),
    )


@dataclass(frozen=True)
class Grouped:
    """Events grouped by person, in time order within each. `index` points into the log.

    `persons[g]` is the person code of group `g`, whose events are `starts[g]:starts[g + 1]`.
    """

    index: np.ndarray
    starts: np.ndarray
    persons: np.ndarray
    is_identified: np.ndarray  # bool, by group: the person has a customer id
    time: np.ndarray  # int64 microseconds: the clock that orders the events

    @property
    def group(self) -> np.ndarray:
        """The group of each event."""
        return np.repeat(np.arange(len(self.persons)), np.diff(self.starts))


def group_by_person(log: EventLog, index: np.ndarray, as_of: int, *, when_known: bool = False) -> Grouped:
    """Group the events at `index` by who they belonged to as known before `as_of` (microseconds).

    With `when_known` events follow each other as they became known (by the later of the two clocks), else as they
    happened.
    """
    time = log.event_time[index]
    if when_known:
        time = np.maximum(time, log.known_time[index])
        order = np.lexsort((np.arange(len(index)), time))
        index, time = index[order], time[order]
    person = log.identities.persons(as_of)[index]
    order, starts = kernels.group_order(person, len(log.identities.person_ids))
    is_there = np.diff(starts) > 0
    return Grouped(
        index=index[order],
        starts=np.append(starts[:-1][is_there], starts[-1]),
        persons=np.flatnonzero(is_there).astype(np.int32),
        is_identified=log.identities.are_identified(as_of)[is_there],
        time=time[order],
    )


def recode(codes: np.ndarray, names: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """Return the position of each code's name in `categories`; that of `OTHER`, or -1, where it is not among them."""
    place = {name: i for i, name in enumerate(categories)}
    other = place.get(OTHER, -1)
    table = np.array([place.get(name, other) for name in names] + [-1], np.int32)
    return table[codes]

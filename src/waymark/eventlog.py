"""Events as arrays: sorted, coded, and grouped by the person they belonged to as of a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from waymark import identity, schema
from waymark.config import IdentityConfig
from waymark.kernels import grouping

OTHER = "(other)"
NEVER_ENDS = np.iinfo(np.int64).max
_CODES = ("int16", "int32")
_MOST_KINDS = 1 << 22  # a table of all that could be is no larger
_TYPES = {
    **dict.fromkeys(("event_time", "known_time", "sequence", "superseded_time", "value_cents"), ("int64",)),
    **dict.fromkeys(("event_type", "channel"), _CODES),
    **dict.fromkeys(("is_first_told", "has_value"), ("bool",)),
    "actor": ("int8",),
    "session": ("int32",),
}


def microseconds(times: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Return UTC times as int64 microseconds."""
    return times.dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)


def micro(time: pd.Timestamp) -> int:
    """Return one UTC time as microseconds."""
    return int(pd.Timestamp(time).tz_convert(None).to_datetime64().astype("datetime64[us]").astype(np.int64))


@dataclass(frozen=True)
class Kinds:
    """Kinds of events: of one type, on one channel, by one actor, all with a value or all without.

    What depends on nothing else is looked up once a kind, not once an event.
    """

    code: np.ndarray  # (n_events,) int16 or int32: the kind of each event
    event_type: np.ndarray  # (n_kinds,) int64 code
    channel: np.ndarray  # (n_kinds,) int64 code, -1 for none
    actor: np.ndarray  # (n_kinds,) int64 code
    has_value: np.ndarray  # (n_kinds,) bool

    @property
    def is_customer(self) -> np.ndarray:
        """Which kinds the customer did, (n_kinds,) bool."""
        return self.actor == schema.ACTORS.index("customer")

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self.event_type)


@dataclass(frozen=True)
class EventLog:
    """One bucket of events in the order of (event_time, sequence, event_id). Each array has one element an event.

    This is the constructor from coded arrays; `read_log` is the one from tables. Lists of names are sorted, and may
    hold names that no event of the bucket has: nothing depends on those.
    """

    event_time: np.ndarray  # int64 microseconds
    known_time: np.ndarray  # int64 microseconds
    sequence: np.ndarray  # int64
    event_type: np.ndarray  # int16 code into `event_types`, or int32 where those are too many
    event_types: np.ndarray
    channel: np.ndarray  # int16 code into `channels`, or int32; -1 for none
    channels: np.ndarray
    actor: np.ndarray  # int8 code into `schema.ACTORS`
    session: np.ndarray  # int32 code, -1 for none
    superseded_time: np.ndarray  # int64 microseconds: when a restatement took the event's place, else `NEVER_ENDS`
    is_first_told: np.ndarray  # bool: no restatement of an earlier event
    value_cents: np.ndarray  # int64, 0 for none
    has_value: np.ndarray  # bool: 0 is a value, too
    attributes: Mapping[str, tuple[np.ndarray, np.ndarray]]  # name -> (int16 or int32 codes, -1 for none; their names)
    numbers: Mapping[str, np.ndarray]  # name -> float64, NaN for none
    identities: identity.Identities

    def __post_init__(self) -> None:
        """Check the types, for which the kernels are compiled, and lock the arrays: every feature reads the same."""
        coded = {f"attributes[{name}]": codes for name, (codes, _) in self.attributes.items()}
        numbers = {f"numbers[{name}]": column for name, column in self.numbers.items()}
        types = _TYPES | dict.fromkeys(coded, _CODES) | dict.fromkeys(numbers, ("float64",))
        columns = {name: getattr(self, name) for name in _TYPES} | coded | numbers
        for name, column in columns.items():
            allowed = types[name]
            if str(column.dtype) not in allowed or column.shape != self.event_time.shape:
                raise TypeError(f"{name} is {column.dtype} of shape {column.shape}; it takes {' or '.join(allowed)}")
            if not column.flags.c_contiguous:
                raise TypeError(f"{name} is not contiguous; np.ascontiguousarray makes it so")
        names = [self.event_types, self.channels, *(names for _, names in self.attributes.values())]
        for array in (*columns.values(), *names):
            array.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.event_time)

    @cached_property
    def is_customer(self) -> np.ndarray:
        """Which events the customer did, bool."""
        return self.actor == schema.ACTORS.index("customer")

    @cached_property
    def kinds(self) -> Kinds:
        """The kind of each event."""
        return number_kinds(self)

    def visible(self, cutoff: int) -> np.ndarray:
        """Return the positions of the events that had happened, and were known and held, before `cutoff` (micros.)."""
        out = np.empty(len(self), np.int32)
        return out[: grouping.seen_before(self.event_time, self.known_time, self.superseded_time, cutoff, out)]

    def first_told(self, cutoff: int) -> np.ndarray:
        """Return the positions of the events as they were first told, of those known before `cutoff`."""
        out = np.empty(len(self), np.int32)
        return out[: grouping.told_before(self.event_time, self.known_time, self.is_first_told, cutoff, out)]


def number_kinds(log: EventLog) -> Kinds:
    """Find the kinds of events of a log."""
    shape = len(log.event_types), len(log.channels) + 1, len(schema.ACTORS), 2
    n = math.prod(shape)
    if n <= _MOST_KINDS:
        code = np.empty(len(log), code_type(n))
        columns = [c.astype(code.dtype, copy=False) for c in (log.event_type, log.channel)]
        for column in columns:
            column.flags.writeable = False  # as those are that were not copied
        room = np.full(n, -1, np.int32)
        kinds = grouping.number_kinds(*columns, log.actor, log.has_value, len(log.channels), shape[2], room, code)
    else:
        both = np.ravel_multi_index((log.event_type, log.channel + 1, log.actor, log.has_value.astype(int)), shape)
        kinds, code = np.unique(both, return_inverse=True)
        code = code.astype(np.int32)
    event_type, channel, actor, has_value = np.unravel_index(kinds, shape)
    return Kinds(code, event_type, channel - 1, actor, has_value.astype(bool))


def coded(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of each value, of the smallest of `_CODES` that holds them, -1 for none; and the sorted names."""
    codes, names = pd.factorize(values, sort=True)
    return codes.astype(code_type(len(names))), names.to_numpy(object)


def code_type(n_names: int) -> type[np.int16] | type[np.int32]:
    """Return the type of codes into `n_names` names."""
    return np.int16 if n_names <= np.iinfo(np.int16).max else np.int32


def read_log(events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None = None) -> EventLog:
    """Turn rows of `schema.EVENTS`, in any order, and of `schema.LINKS` into arrays; `rules` say who is who."""
    events = events.sort_values(list(schema.EVENTS.key), kind="stable", ignore_index=True)
    event_type, event_types = coded(events["event_type"])
    channel, channels = coded(events["channel"])
    return EventLog(
        event_time=microseconds(events["event_time"]),
        known_time=microseconds(events["known_time"]),
        sequence=events["sequence"].to_numpy(np.int64),
        event_type=event_type,
        event_types=event_types,
        channel=channel,
        channels=channels,
        actor=pd.Categorical(events["actor"], categories=schema.ACTORS).codes.astype(np.int8),
        superseded_time=np.where(events["superseded_time"].isna(), NEVER_ENDS, microseconds(events["superseded_time"])),
        is_first_told=~events.sort_values("known_time", kind="stable")["event_id"].duplicated().sort_index().to_numpy(),
        session=pd.factorize(events["session_id"])[0].astype(np.int32),
        value_cents=events["value_cents"].fillna(0).to_numpy(np.int64),
        has_value=events["value_cents"].notna().to_numpy(bool),
        attributes={c.removeprefix("attr_"): coded(events[c]) for c in sorted(events) if c.startswith("attr_")},
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

    index: np.ndarray  # int32
    starts: np.ndarray  # int64
    persons: np.ndarray  # int32
    is_identified: np.ndarray  # bool, by group: the person has a customer id
    time: np.ndarray  # int64 microseconds: the clock that orders the events

    @property
    def group(self) -> np.ndarray:
        """The group of each event."""
        return np.repeat(np.arange(len(self.persons)), np.diff(self.starts))


def group_by_person(log: EventLog, index: np.ndarray, as_of: int, *, when_known: bool = False) -> Grouped:
    """Group the events at `index` (ascending) by who they belonged to as known before `as_of` (microseconds).

    With `when_known` events follow each other as they became known (by the later of the two clocks), else as they
    happened.
    """
    owner, people = log.identities.owners(as_of)
    n, index = len(index), index.astype(np.int32, copy=False)
    # Room from NumPy lies on large pages, which random writes want; what kernels take for themselves does not.
    person, grouped, time = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int64)
    starts = grouping.group(index, owner, people, log.event_time, log.known_time, when_known, person, grouped, time)
    is_there = np.diff(starts) > 0
    return Grouped(
        index=grouped,
        starts=np.append(starts[:-1][is_there], starts[-1]),
        persons=np.flatnonzero(is_there).astype(np.int32),
        is_identified=log.identities.are_identified(as_of)[is_there],
        time=time,
    )


@dataclass(frozen=True)
class Columns:
    """Events of some persons, one person after another, and their columns: each is gathered when first asked for.

    `starts` is where each person's events start, `index` where they are in the log; codes are int32.
    """

    log: EventLog
    starts: np.ndarray
    index: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.index)

    def codes(self, column: np.ndarray, none: int = -1) -> np.ndarray:
        """Return the codes of these events in a column of the log, int32; `none` for none."""
        out = np.empty(len(self), np.int32)
        grouping.codes_at(column, self.index, none, out)
        return out

    @cached_property
    def kind(self) -> np.ndarray:
        """Codes of `log.kinds`."""
        return self.codes(self.log.kinds.code)

    @cached_property
    def session(self) -> np.ndarray:
        """Codes of session ids, -1 for none."""
        return self.codes(self.log.session)

    @cached_property
    def value_cents(self) -> np.ndarray:
        """Values, 0 for none."""
        return grouping.values_at(self.log.value_cents, self.kind, self.log.kinds.has_value, self.index)

    def number(self, name: str) -> np.ndarray:
        """Numbers that events carry, NaN for none, and for all where a source delivers no such column tonight."""
        if name not in self.log.numbers:
            return np.full(len(self), np.nan)
        return grouping.take(self.log.numbers[name], self.index)


def places(names: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    """Return the place of each of `names` in `categories`, int32, and -1 for none, as a code of -1 has it, at the end.

    Names that are not among the categories have the place of `OTHER`, or -1 where there is no such category.
    """
    place = {name: i for i, name in enumerate(categories)}
    other = place.get(OTHER, -1)
    return np.array([*(place.get(name, other) for name in names), -1], np.int32)

"""Chunks of events, and tracks: each gives an event one class of several, or none, and things are counted by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from waymark.config import JourneyConfig
from waymark.eventlog import Columns, places
from waymark.journeys import StageMap
from waymark.kernels import classes, decays, tallies
from waymark.kernels.jit import DAY

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAYPARTS = ("0-4 h", "4-8 h", "8-12 h", "12-16 h", "16-20 h", "20-24 h")
_MINUTE = DAY // (24 * 60)


class People(NamedTuple):
    """Some persons' events, one person after another, and their points, as `waymark.kernels` takes them."""

    starts: np.ndarray  # (n_persons + 1,) int64: where each one's events begin
    time: np.ndarray  # (n_events,) int64 microseconds
    point_starts: np.ndarray  # (n_persons + 1,) int64: where each one's points begin
    ends: np.ndarray  # (n_points,) int64: a point sees its person's events before this place
    cutoffs: np.ndarray  # (n_points,) int64 microseconds
    first_point: int  # where the first of these points is among all points


@dataclass(frozen=True)
class Track:
    """A way to class events; `find` prepares, for a track and the names of a log, what finds the classes of events."""

    find: Callable[[Track, StageMap], Find]
    words: str  # the events of one class, as docs/features.md has it
    names: tuple[str, ...]  # of the classes
    known: tuple[str, ...] = ()  # channels, or types, that count
    has_rest: bool = False  # one more class, of what counts and has no name
    attribute: str = ""  # the attribute that says the class

    @property
    def n_classes(self) -> int:
        """How many classes there are: the code of none."""
        return len(self.names) + self.has_rest

    def looks_back(self, gap: int | None) -> int | None:
        """Return how long before an event another may have happened that its class hangs on, in microseconds.

        None: any time before. `gap` is the longest between two events of a session, None where ids tell sessions apart.
        """
        return 0 if self.find in _OF_ITSELF else gap if self.find is by_session else None


@dataclass(frozen=True)
class Chunk:
    """The events of some persons, their points, and what is worked out of them for several walks, once."""

    people: People
    columns: Columns
    stage_map: StageMap
    finders: dict[Track, Find]  # shared by all chunks of a log
    _found: dict[object, np.ndarray] = field(default_factory=dict)

    def classes(self, track: Track) -> np.ndarray:
        """Return the class of each event, int32; `track.n_classes` is none."""
        if track not in self.finders:
            self.finders[track] = track.find(track, self.stage_map)
        return self._once(track, lambda: self.finders[track](self))

    @property
    def stage(self) -> np.ndarray:
        """The stage code after each event, (n_events,) int32."""
        return self._once("stage", lambda: self.stage_map.stage_codes(self.columns))

    def worths(self, half_life: int) -> np.ndarray:
        """Return what each event adds to counts that forget: see `decays.worths`."""
        return self._once(half_life, lambda: decays.worths(tuple(self.people), half_life))

    def window_starts(self, windows: tuple[int, ...]) -> np.ndarray:
        """Return where the events of each window begin, for each point: see `tallies.window_starts`."""
        return self._once(windows, lambda: tallies.window_starts(tuple(self.people), np.array(windows, np.int64)))

    def _once(self, key: object, work: Callable[[], np.ndarray]) -> np.ndarray:
        if key not in self._found:
            self._found[key] = work()
        return self._found[key]


Find = Callable[[Chunk], np.ndarray]


def _table(names: Sequence[str], track: Track) -> np.ndarray:
    """Return the class of each name, none for what has no name, and none again for a code of -1."""
    place = places(names, track.names)
    return np.where(place >= 0, place, track.n_classes).astype(np.int32)


def by_activity(track: Track, stage_map: StageMap) -> Find:
    """What the customer did."""
    table = np.where(stage_map.log.kinds.is_customer, 0, 1).astype(np.int32)
    return lambda chunk: classes.look_up(table, chunk.columns.kind)


def by_event(track: Track, stage_map: StageMap) -> Find:
    """Every event."""
    return lambda chunk: np.zeros(len(chunk.columns), np.int32)


def by_type(track: Track, stage_map: StageMap) -> Find:
    """Every event by its type."""
    table = _table(stage_map.log.event_types, track)[stage_map.log.kinds.event_type]
    return lambda chunk: classes.look_up(table, chunk.columns.kind)


def by_channel(track: Track, stage_map: StageMap) -> Find:
    """Every event by its channel."""
    table = _table(stage_map.log.channels, track)[stage_map.log.kinds.channel]
    return lambda chunk: classes.look_up(table, chunk.columns.kind)


def by_own_channel(track: Track, stage_map: StageMap) -> Find:
    """What the customer did on one of the channels `known`, by its channel."""
    log = stage_map.log
    is_known = places(log.channels, track.known)[log.kinds.channel] >= 0
    named = places(log.channels, track.names)[log.kinds.channel]
    table = np.where(named >= 0, named, len(track.names))  # the rest
    table = np.where(is_known & log.kinds.is_customer, table, track.n_classes).astype(np.int32)
    return lambda chunk: classes.look_up(table, chunk.columns.kind)


def by_switch(track: Track, stage_map: StageMap) -> Find:
    """What the customer did on another of the channels `known` than the activity before on one of them."""
    known = Track(by_own_channel, "", track.known, track.known)  # it has no rest
    return lambda chunk: classes.switches(chunk.columns.starts, chunk.classes(known), known.n_classes)


def by_daypart(track: Track, stage_map: StageMap) -> Find:
    """What the customer did, by the time of the day."""
    return lambda chunk: classes.dayparts(chunk.columns.time, chunk.classes(ACTIVITIES))


def by_weekday(track: Track, stage_map: StageMap) -> Find:
    """What the customer did, by the day of the week."""
    return lambda chunk: classes.weekdays(chunk.columns.time, chunk.classes(ACTIVITIES))


def session_gap(journey: JourneyConfig) -> int:
    """Return the longest time between two events of a session, in microseconds."""
    return journey.session_gap_minutes * int(_MINUTE)


def by_session(track: Track, stage_map: StageMap) -> Find:
    """What the customer did, by whether it began a session: by the source's session ids, else by gaps."""
    gap = session_gap(stage_map.journey)

    def find(chunk: Chunk) -> np.ndarray:
        columns = chunk.columns
        return classes.sessions(columns.starts, columns.time, chunk.classes(ACTIVITIES), columns.session, gap)

    return find


def by_day(track: Track, stage_map: StageMap) -> Find:
    """What the customer did of the types `known` (of all, if none), by whether it was the first of its day."""
    kinds = stage_map.log.kinds
    is_known = places(stage_map.log.event_types, track.known)[kinds.event_type] >= 0
    counts = kinds.is_customer & (is_known if track.known else True)
    table = np.where(counts, 0, 1).astype(np.int32)
    return lambda chunk: classes.days(
        chunk.columns.starts, chunk.columns.time, classes.look_up(table, chunk.columns.kind)
    )


def by_entry(track: Track, stage_map: StageMap) -> Find:
    """Events that enter a stage, by the stage."""
    table = _table(stage_map.stages, track)
    return lambda chunk: classes.entries(chunk.columns.starts, chunk.stage, table, track.n_classes)


def by_attribute(track: Track, stage_map: StageMap) -> Find:
    """Every event by an attribute; none has one where a source delivers no such column tonight."""
    if track.attribute not in stage_map.log.attributes:
        return lambda chunk: np.full(len(chunk.columns), track.n_classes, np.int32)
    codes, names = stage_map.log.attributes[track.attribute]
    table = _table(names, track)
    return lambda chunk: classes.look_up(table, chunk.columns.codes(codes, len(names)))


# Each event has the class that it would have alone.
_OF_ITSELF = {by_activity, by_event, by_type, by_channel, by_own_channel, by_daypart, by_weekday, by_attribute}

ACTIVITIES = Track(by_activity, "the customer's own events", ("customer",))
EVERY = Track(by_event, "all events", ("event",))
SESSIONS = Track(by_session, "the customer's own events that begin a session", ("first", "later"))

"""The walks over the events of persons: each remembers something of them, and reads numbers out at their points.

A walk is told which numbers are asked for (`Asked`) and prepares, for the names of a log, what reads them out for the
events of some persons. Equal walks are one walk. Numbers that hang on the clock as well are read out as what they are
worked out from, their bases: see `moving.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from waymark.eventlog import places
from waymark.journeys import StageMap
from waymark.kernels import decays, latest, rhythm, stages, tallies
from waymark.kernels.jit import DAY
from waymark.tracks import ACTIVITIES, Chunk, Track
from waymark.vocabulary import transition_tables

TOTAL, DISTINCT = -2, -1  # instead of a class: all classes together, and how many of them occurred
VALUE = ""  # the value of events among the numbers they carry, none of which is called so
SINCE = -1  # instead of a class: the moment that worths are counted from


class Result(NamedTuple):
    """What is read out at each point."""

    values: np.ndarray  # (n_rows + 1, at least n_points) float32; the last row is spare
    bases: np.ndarray  # (n_bases + 1, n_points) float64 of the points of a chunk alone; the last row is spare
    stage: np.ndarray  # (n_points,) int32 stage code
    entered: np.ndarray  # (n_points,) int64 microseconds: since when


Run = Callable[[Chunk, Result], None]
Reads = list[tuple[tuple, int]]  # the operands of each number or base, and its row in `Result.values` or `.bases`


class Asked(NamedTuple):
    """What is asked of a walk."""

    values: Reads
    bases: Reads


class Walk(Protocol):
    """A walk over the events of persons."""

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Return what reads all that is asked for out at the points of some persons."""


def _arrays(reads: Reads) -> list[np.ndarray]:
    """Return each operand of the reads, and their rows, as arrays."""
    return [np.array(column, np.int64) for column in zip(*((*operands, row) for operands, row in reads), strict=True)]


def _rows(reads: Reads, n: int) -> np.ndarray:
    """Return the row of each of `n` numbers; what nobody asks for goes to the spare row, the last."""
    rows = np.full(n, -1, np.int64)
    for (which,), row in reads:
        rows[which] = row
    return rows


def _categories(names: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    """Return the category of each name, and at last of none, as features hold it: float32, NaN for none."""
    place = places(names, categories)
    return np.where(place >= 0, place, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Tally:
    """Counts of events by class of a track, or sums of their values, in windows and so far.

    Operands: the class, the days of the window (None: so far), and the class whose sum so far it is divided by (None:
    by none). A window that nobody asks for is not kept.
    """

    track: Track
    is_value: bool = False

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out sums, over all windows that are asked for."""
        days = sorted({days for (_, days, _), _ in asked.values if days is not None})
        windows, n = tuple(d * int(DAY) for d in days), self.track.n_classes
        asks_total = any(TOTAL in (code, of) for (code, _, of), _ in asked.values)
        row_of = {TOTAL: n, DISTINCT: n + 1, None: -1}
        place = {d: w for w, d in enumerate([*days, None])}
        reads = [((row_of.get(code, code), place[d], row_of.get(of, of)), row) for (code, d, of), row in asked.values]
        numbers = tuple(_arrays(reads))

        def run(chunk: Chunk, result: Result) -> None:
            begins, classes = chunk.window_starts(windows), chunk.classes(self.track)
            weight = chunk.columns.value_cents if self.is_value else np.zeros(0, np.int64)
            # Sums that run on through all persons cost by class, those that begin anew for each also by window.
            if n > 2 + len(days) and len(chunk.people.ends) == len(chunk.people.starts) - 1:
                tallies.tally_once(tuple(chunk.people), begins, classes, n, weight, numbers, result.values)
            else:
                sums = np.empty((n + 1, len(classes) + 1), np.int64 if self.is_value else np.int32)
                tallies.running_sums(classes, n, weight, asks_total, sums)
                tallies.tally_rolling(tuple(chunk.people), begins, sums, numbers, result.values)

        return run


@dataclass(frozen=True)
class Since:
    """When each class of a track was last. Base: the class."""

    track: Track

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out times."""
        n, numbers = self.track.n_classes, _arrays(asked.bases)

        def run(chunk: Chunk, result: Result) -> None:
            latest.latest_times(tuple(chunk.people), chunk.classes(self.track), n, *numbers, result.bases)

        return run


@dataclass(frozen=True)
class Decay:
    """What the events of each class are worth, one half for every `days` of their age. Base: the class, or `SINCE`."""

    track: Track
    days: int

    @property
    def half_life(self) -> int:
        """The days in microseconds."""
        return self.days * int(DAY)

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out sums of worths."""
        n, numbers, half_life = self.track.n_classes, _arrays(asked.bases), self.half_life

        def run(chunk: Chunk, result: Result) -> None:
            worths = chunk.worths(half_life)
            decays.levels(tuple(chunk.people), chunk.classes(self.track), n, worths, half_life, *numbers, result.bases)

        return run


@dataclass(frozen=True)
class Latest:
    """The classes of the latest two events that have one. Operand: 0 for the latest, 1 for the one before."""

    track: Track

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out codes."""
        n, n_named, numbers = self.track.n_classes, len(self.track.names), _arrays(asked.values)

        def run(chunk: Chunk, result: Result) -> None:
            latest.latest_two(tuple(chunk.people), chunk.classes(self.track), n, n_named, *numbers, result.values)

        return run


@dataclass(frozen=True)
class Numbers:
    """A number that events carry, for `VALUE` their value if not 0. Operand: 0 for the latest, 1 for the mean."""

    name: str

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out the latest, or the mean."""
        numbers = _arrays(asked.values)

        def run(chunk: Chunk, result: Result) -> None:
            value = chunk.columns.value_cents if self.name == VALUE else None
            number = chunk.columns.number(self.name) if value is None else np.where(value != 0, value, np.nan)
            latest.latest_numbers(tuple(chunk.people), number, *numbers, result.values)

        return run


@dataclass(frozen=True)
class LatestTypes:
    """The types of the latest events, as codes into `categories`. Operand: which of them, 1 for the latest."""

    categories: tuple[str, ...]

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Look back from each point."""
        log, numbers = stage_map.log, _arrays(asked.values)
        table = _categories(log.event_types, self.categories)[log.kinds.event_type]

        def run(chunk: Chunk, result: Result) -> None:
            latest.latest_types(tuple(chunk.people), table, chunk.columns.kind, *numbers, result.values)

        return run


@dataclass(frozen=True)
class LatestGaps:
    """The days between the latest events. Operand: the later of the two, 1 for the latest event."""

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Look back from each point."""
        numbers = _arrays(asked.values)
        return lambda chunk, result: latest.latest_gaps(tuple(chunk.people), *numbers, result.values)


@dataclass(frozen=True)
class Rhythm:
    """The rhythm of the events of a track's first class. Operand: `rhythm.MEAN_GAP` and others; base: `rhythm.LAST`."""

    track: Track = ACTIVITIES

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out what the operands say."""
        rows, base_rows = _rows(asked.values, rhythm.N_NUMBERS), _rows(asked.bases, rhythm.N_BASES)

        def run(chunk: Chunk, result: Result) -> None:
            found = rows, result.values, base_rows, result.bases
            rhythm.rhythm(tuple(chunk.people), chunk.classes(self.track), *found)

        return run


@dataclass(frozen=True)
class Way:
    """The way through the stages. Operand: `stages.STAGE` and the others; base: `stages.ENTERED`.

    `stages`, `transitions` and `two_transitions` are categories.
    """

    stages: tuple[str, ...]
    transitions: tuple[str, ...]
    two_transitions: tuple[str, ...]

    def prepare(self, asked: Asked, stage_map: StageMap) -> Run:
        """Read out what the operands say, and the stage of each point."""
        known = stages.Stages(
            *stage_map.design,
            _categories(stage_map.stages, self.stages),
            *transition_tables(stage_map.stages, self.transitions, self.two_transitions),
        )
        rows, base_rows = _rows(asked.values, stages.N_NUMBERS), _rows(asked.bases, stages.N_BASES)

        def run(chunk: Chunk, result: Result) -> None:
            found = rows, result.values, base_rows, result.bases, result.stage, result.entered
            stages.way(tuple(chunk.people), chunk.stage, tuple(known), *found)

        return run

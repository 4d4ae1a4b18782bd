"""Prediction points: persons at cut-offs, and what each may see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from waymark.config import PopulationConfig
from waymark.eventlog import EventLog, Grouped, group_by_person
from waymark.journeys import ENTRY, StageMap
from waymark.kernels import points as kernels
from waymark.kernels.jit import DAY, EVER, NEVER

_BEFORE_ANY_LINK = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Points:
    """Prediction points over events grouped by person. Point p sees the events `first[p] <= i < end[p]`."""

    log: EventLog
    stage_map: StageMap
    grouped: Grouped
    group: np.ndarray  # (n_points,) whose events, ascending
    end: np.ndarray  # (n_points,) ascending
    cutoff: np.ndarray  # (n_points,) int64 microseconds

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.end)

    @property
    def first(self) -> np.ndarray:
        """Position of the first event each point sees."""
        return self.grouped.starts[self.group]

    @property
    def last(self) -> np.ndarray:
        """Position of the last event each point sees."""
        return self.end - 1

    @cached_property
    def stage(self) -> np.ndarray:
        """Stage code after each of the grouped events, (n_events,)."""
        return self.stage_map.stage_codes(self.grouped)

    @cached_property
    def state(self) -> np.ndarray:
        """What is known of the way through the stages after each of the grouped events: see `StageMap.states`."""
        return self.stage_map.states(self.grouped, self.stage)

    @property
    def person_ids(self) -> np.ndarray:
        """The person of each point."""
        return self.log.identities.person_ids[self.grouped.persons[self.group]]

    @property
    def stage_since(self) -> np.ndarray:
        """When each person entered the present stage, int64 microseconds."""
        return self.grouped.time[self.state[self.last, ENTRY]]

    @property
    def is_customer(self) -> np.ndarray:
        """Which of the grouped events are the customer's own, (n_events,)."""
        return self.log.is_customer[self.grouped.index]

    def keep(self, mask: np.ndarray) -> Points:
        """Return the points where `mask` holds."""
        if mask.all():
            return self
        return replace(self, group=self.group[mask], end=self.end[mask], cutoff=self.cutoff[mask])

    def window_sums(
        self, category: np.ndarray, n_categories: int, windows_days: list[int], weight: np.ndarray | None = None
    ) -> np.ndarray:
        """Sum by category over windows, the whole history last: (n_points, n_windows + 1, n_categories) int64."""
        windows = np.array([d * DAY for d in windows_days] + [EVER], np.int64)
        weight = np.ones(len(category), np.int64) if weight is None else np.array(weight, np.int64)
        return kernels.window_sums(
            self.first,
            self.end,
            self.cutoff,
            self.grouped.time,
            category.astype(np.int32),
            weight,
            windows,
            n_categories,
        )

    def days_since(self, category: np.ndarray, n_categories: int) -> np.ndarray:
        """Return days since the first and the last event of each category: (n_points, n_categories, 2) float64."""
        return kernels.days_since(
            self.first, self.end, self.cutoff, self.grouped.time, category.astype(np.int32), n_categories
        )


def snapshot(log: EventLog, stage_map: StageMap, cutoff: int) -> Points:
    """Return one point for each person with an event that had happened and was known before `cutoff`."""
    grouped = group_by_person(log, log.visible(cutoff), cutoff)
    n = len(grouped.persons)
    return Points(log, stage_map, grouped, np.arange(n), grouped.starts[1:], np.full(n, cutoff, np.int64))


def every_event(log: EventLog, stage_map: StageMap, as_of: int) -> Points:
    """Return one point after each event known before `as_of`; events follow each other as they became known.

    Persons are the ids that the events themselves carry, and events what was first told of them: a log-in that joins
    two persons, or a restatement, would reach back into points before it.
    """
    grouped = group_by_person(log, log.first_told(as_of), _BEFORE_ANY_LINK, when_known=True)
    end = np.arange(1, len(grouped.index) + 1)
    return Points(log, stage_map, grouped, grouped.group, end, grouped.time + 1)


def latest_event(log: EventLog, stage_map: StageMap, as_of: int) -> Points:
    """Return one point for each person, right after the latest event known before `as_of`."""
    points = every_event(log, stage_map, as_of)
    return points.keep(points.end == points.grouped.starts[points.group + 1])


def in_population(points: Points, population: PopulationConfig, now: np.ndarray) -> np.ndarray:
    """Say which points have customer activity behind them and belong to the configured population.

    `now` is the time, in int64 microseconds, from which the last activity's age is counted.
    """
    log, grouped = points.log, points.grouped
    types = log.event_types[log.kinds.event_type].astype(str)
    wanted = np.isin(types, population.event_types or [])
    latest, has_wanted = kernels.activity_before(
        *(grouped.starts, points.group, points.end, grouped.time),
        *(points.stage_map.columns(grouped).kind, log.kinds.is_customer, wanted),
    )
    eligible = latest != NEVER
    if population.active_within_days is not None:
        eligible &= now - latest <= population.active_within_days * DAY
    if population.identified_only:
        eligible &= grouped.is_identified[points.group]
    if population.event_types is not None:
        eligible &= has_wanted
    return eligible

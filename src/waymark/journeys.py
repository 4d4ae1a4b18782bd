"""The stage of every event, and the visits a person makes to stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from waymark import kernels, schema
from waymark.config import RESERVED_STAGES, IdentityConfig, JourneyConfig, StageRule
from waymark.errors import InputError
from waymark.eventlog import EventLog, Grouped, group_by_person, micro, read_log

EVENT_TYPE = "{event_type}"
# Columns of `kernels.stage_states`.
ENTRY, BEFORE, BEFORE_THAT, VISITS, REGRESSIONS, REENTRIES, DETOURS = range(7)


@dataclass(frozen=True)
class StageMap:
    """The rules of a journey, worked out for the events of one log."""

    log: EventLog
    journey: JourneyConfig

    @cached_property
    def stages(self) -> list[str]:
        """Every stage that can occur, in designed order first."""
        named = [r.stage for r in self.journey.rules if r.stage != EVENT_TYPE]
        types = list(self.log.event_types) if len(named) < len(self.journey.rules) else []
        return list(dict.fromkeys([*self.journey.path, self.journey.initial, *named, *types]))

    @cached_property
    def _reserved(self) -> list[int]:
        """Codes of event types that cannot be stages."""
        return [i for i, s in enumerate(self.stages) if s in RESERVED_STAGES]

    @cached_property
    def _matches(self) -> list[np.ndarray]:
        """For each rule, which events it matches, the count so far left aside."""
        return [self._matching(rule) for rule in self.journey.rules]

    @cached_property
    def _stage_of_rule(self) -> list[np.ndarray]:
        """For each rule, the stage code it gives to each event type."""
        place = {s: i for i, s in enumerate(self.stages)}
        types = self.log.event_types
        return [
            np.array([place[t if r.stage == EVENT_TYPE else r.stage] for t in types], np.int32)
            for r in self.journey.rules
        ]

    def _matching(self, rule: StageRule) -> np.ndarray:
        log = self.log
        match = np.isin(log.actor.astype(str), rule.actor)
        if rule.event_type is not None:
            match &= np.isin(log.event_types.astype(str), rule.event_type)[log.event_type]
        if rule.channel is not None:
            match &= np.append(np.isin(log.channels.astype(str), rule.channel), False)[log.channel]
        if rule.value_cents_at_least is not None:
            match &= log.has_value & (log.value_cents >= rule.value_cents_at_least)
        if rule.value_cents_at_most is not None:
            match &= log.has_value & (log.value_cents <= rule.value_cents_at_most)
        return match

    def stage_codes(self, grouped: Grouped) -> np.ndarray:
        """Return the stage code after each event of `grouped`: that of the first rule that matches, else as before."""
        return self._filled(self.reached(grouped), grouped.starts)

    def reached(self, grouped: Grouped) -> np.ndarray:
        """Return the stage code that each event of `grouped` itself gives its person, -1 where no rule matches it."""
        event_type = self.log.event_type[grouped.index]
        counts = None
        stage = np.full(len(grouped.index), -1, np.int32)
        is_free = np.ones(len(grouped.index), bool)
        for rule, matches, of_type in zip(self.journey.rules, self._matches, self._stage_of_rule, strict=True):
            match = matches[grouped.index] & is_free
            if rule.count_at_least is not None or rule.count_at_most is not None:
                if counts is None:
                    counts = kernels.count_so_far(grouped.starts, event_type, len(self.log.event_types))
                match &= counts >= (rule.count_at_least or 0)
                match &= counts <= (rule.count_at_most or np.iinfo(np.int64).max)
            stage[match] = of_type[event_type[match]]
            is_free &= ~match
        for code in self._reserved:
            if (stage == code).any():
                raise InputError(
                    f"event type {self.stages[code]!r} cannot be a stage: forecasts use {', '.join(RESERVED_STAGES)};"
                    " give it another name under event_types of its source"
                )
        return stage

    def _filled(self, stage: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Carry each stage on to the person's next events; before the first, the person is at the initial stage."""
        begins = np.zeros(len(stage), bool)
        begins[starts[:-1]] = True
        stage = np.where(begins & (stage < 0), self.stages.index(self.journey.initial), stage).astype(np.int32)
        last = np.maximum.accumulate(np.where(stage >= 0, np.arange(len(stage)), 0)) if len(stage) else stage
        return stage[last]

    def states(self, grouped: Grouped, stage: np.ndarray) -> np.ndarray:
        """Return `kernels.stage_states` for the events of `grouped`."""
        names, journey = self.stages, self.journey
        position = np.array([journey.path.index(s) if s in journey.path else -1 for s in names], np.int64)
        allowed = np.array(
            [[s not in journey.allowed or after in journey.allowed[s] for after in names] for s in names],
            bool,
        )
        return kernels.stage_states(grouped.starts, stage, position, allowed.reshape(len(names), len(names)))


def build_journeys(
    events: pd.DataFrame,
    links: pd.DataFrame,
    journey: JourneyConfig,
    cutoff_time: pd.Timestamp,
    rules: IdentityConfig | None = None,
) -> pd.DataFrame:
    """List each person's visits to stages, as known at `cutoff_time`.

    Parameters
    ----------
    events, links
        Rows of `schema.EVENTS` and `schema.LINKS`, in any order.
    journey
        The stages, their rules and the designed path.
    cutoff_time
        Only what had happened and was known before it counts.
    rules
        How identifiers become persons.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.JOURNEYS`.
    """
    log = read_log(events, links, rules)
    cutoff = micro(cutoff_time)
    grouped = group_by_person(log, log.visible(cutoff), cutoff)
    stage_map = StageMap(log, journey)
    stage = stage_map.stage_codes(grouped)
    state = stage_map.states(grouped, stage)
    entry = np.flatnonzero(state[:, ENTRY] == np.arange(len(stage))) if len(stage) else np.zeros(0, int)
    group = grouped.group[entry]
    is_last = np.append(group[1:] != group[:-1], True)[: len(entry)]
    entered = grouped.time[entry].astype("datetime64[us]")
    left = np.append(entered[1:], np.datetime64("NaT"))[: len(entry)]
    rose = np.diff(state[entry], axis=0, prepend=0) > 0  # a person's first visit has none to count
    return pd.DataFrame(
        {
            "person_id": pd.array(log.identities.person_ids[grouped.persons[group]], "str"),
            "visit": state[entry, VISITS].astype(np.int32),
            "stage": pd.array(np.array(stage_map.stages, object)[stage[entry]], "str"),
            "entered_time": pd.DatetimeIndex(entered).tz_localize("UTC"),
            "left_time": pd.DatetimeIndex(np.where(is_last, np.datetime64("NaT"), left)).tz_localize("UTC"),
            "n_events": np.diff(np.append(entry, len(stage))).astype(np.int32),
            "is_regression": rose[:, REGRESSIONS],
            "is_reentry": rose[:, REENTRIES],
            "is_detour": rose[:, DETOURS],
        }
    )[list(schema.JOURNEYS.columns)]

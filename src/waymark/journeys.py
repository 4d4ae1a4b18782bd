"""The stage of every event, and the visits a person makes to stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark import schema
from waymark.config import RESERVED_STAGES, IdentityConfig, JourneyConfig, StageRule
from waymark.errors import InputError
from waymark.eventlog import Columns, EventLog, Grouped, group_by_person, micro, read_log
from waymark.kernels import stages as kernels

EVENT_TYPE = "{event_type}"
# Columns of `kernels.stage_states`.
ENTRY, BEFORE, BEFORE_THAT, VISITS, REGRESSIONS, REENTRIES, DETOURS = range(7)
_TIME = pa.timestamp("us", "UTC")
_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


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
    def _rules(self) -> kernels.Rules:
        """The rules by kind of event, as the kernel takes them."""
        log, kinds, place = self.log, self.log.kinds, {s: i for i, s in enumerate(self.stages)}
        types = [log.event_types[t] for t in kinds.event_type]
        channels = [None if c < 0 else log.channels[c] for c in kinds.channel]
        actors = [schema.ACTORS[a] for a in kinds.actor]
        known = list(zip(types, actors, channels, kinds.has_value, strict=True))
        asked = [[r for r in self.journey.rules if _may_match(r, *kind)] for kind in known]
        flat = [(rule, t) for rules, t in zip(asked, types, strict=True) for rule in rules]
        counted = sorted({t for r, t in flat if r.count_at_least or r.count_at_most})
        return kernels.Rules(
            plain=np.array([_plain(rules, t, place) for rules, t in zip(asked, types, strict=True)], np.int32),
            first=np.cumsum([0, *map(len, asked)]),
            stage=np.array([place[_stage(r, t)] for r, t in flat], np.int32),
            asks_value=np.array([_asks_value(r) for r, _ in flat], bool),
            value_from=np.array([_or(r.value_cents_at_least, _LEAST) for r, _ in flat], np.int64),
            value_to=np.array([_or(r.value_cents_at_most, _MOST) for r, _ in flat], np.int64),
            count_from=np.array([_or(r.count_at_least, 0) for r, _ in flat], np.int64),
            count_to=np.array([_or(r.count_at_most, _MOST) for r, _ in flat], np.int64),
            counter=np.array([counted.index(t) if t in counted else len(counted) for t in types], np.int32),
            n_counters=len(counted) + 1,
        )

    @cached_property
    def is_unnamed(self) -> np.ndarray:
        """Which kinds of events the customer did and no rule names, (n_kinds,) bool: they change no stage."""
        return self.log.kinds.is_customer & (np.diff(self._rules.first) == 0)

    def stage_codes(self, grouped: Grouped | Columns) -> np.ndarray:
        """Return the stage code after each event of `grouped`: that of the first rule that matches, else as before.

        Before the first event that a rule matches, a person is at the initial stage.
        """
        stage = self.reached(grouped)
        kernels.carry_on(grouped.starts, stage, self.stages.index(self.journey.initial))
        return stage

    def reached(self, grouped: Grouped | Columns) -> np.ndarray:
        """Return the stage code that each event of `grouped` itself gives its person, -1 where no rule matches it."""
        events, rules = self.columns(grouped), self._rules
        value = events.value_cents if rules.asks_value.any() else np.zeros(0, np.int64)
        stage = kernels.reach(events.starts, events.kind, value, tuple(rules))
        for code in self._reserved:
            if (stage == code).any():
                raise InputError(
                    f"event type {self.stages[code]!r} cannot be a stage: forecasts use {', '.join(RESERVED_STAGES)};"
                    " give it another name under event_types of its source"
                )
        return stage

    def columns(self, grouped: Grouped | Columns) -> Columns:
        """Return the columns of the events of `grouped`."""
        if isinstance(grouped, Columns):
            return grouped
        return Columns(self.log, grouped.starts, grouped.index, grouped.time)

    @cached_property
    def design(self) -> tuple[np.ndarray, np.ndarray]:
        """What the design says of changes of stage.

        Returns
        -------
        place : ndarray
            (n_stages,) int32: the place of each stage in `steps`; all that the design does not name share the last one.
        steps : ndarray
            (1 + n_places, n_places) int8: what is wrong with a change from one place to another, `kernels.REGRESSION`
            and `kernels.DETOUR` added up; row 0 is from nowhere.
        """
        path, allowed = self.journey.path, self.journey.allowed
        named = list(
            dict.fromkeys([*path, *allowed, *(after for following in allowed.values() for after in following)])
        )
        in_path = {s: path.index(s) for s in path}
        steps = np.zeros((len(named) + 2, len(named) + 1), np.int8)
        for i, before in enumerate(named, start=1):
            is_back = [in_path.get(s, len(path)) < in_path.get(before, 0) for s in named]
            is_off = [before in allowed and s not in allowed[before] for s in [*named, None]]
            steps[i, :-1] += kernels.REGRESSION * np.array(is_back, np.int8)
            steps[i] += kernels.DETOUR * np.array(is_off, np.int8)
        place = {s: i for i, s in enumerate(named)}
        return np.array([place.get(s, len(named)) for s in self.stages], np.int32), steps

    def states(self, grouped: Grouped, stage: np.ndarray) -> np.ndarray:
        """Return `kernels.stage_states` for the events of `grouped`."""
        return kernels.stage_states(grouped.starts, stage, *self.design)


def _may_match(rule: StageRule, event_type: str, actor: str, channel: str | None, has_value: bool) -> bool:
    """Say whether an event of a kind may match a rule, depending on how much its value is, and on the count so far."""
    return (
        actor in rule.actor
        and (rule.event_type is None or event_type in rule.event_type)
        and (rule.channel is None or channel in rule.channel)
        and (has_value or not _asks_value(rule))
    )


def _plain(rules: list[StageRule], event_type: str, place: dict[str, int]) -> int:
    """Return the stage code that events of a kind give, `kernels.ASK` where it hangs on more than the kind."""
    if not rules:
        return -1
    if _asks_value(rules[0]) or rules[0].count_at_least or rules[0].count_at_most:
        return kernels.ASK
    return place[_stage(rules[0], event_type)]


def _stage(rule: StageRule, event_type: str) -> str:
    return event_type if rule.stage == EVENT_TYPE else rule.stage


def _asks_value(rule: StageRule) -> bool:
    return rule.value_cents_at_least is not None or rule.value_cents_at_most is not None


def _or(bound: int | None, other: int) -> int:
    return other if bound is None else bound


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
    return list_visits(read_log(events, links, rules), journey, cutoff_time).rows.to_pandas()


class Visits(NamedTuple):
    """The visits of some persons."""

    rows: pa.Table  # those of a person below each other
    n_events: int
    n_unordered: int  # events of the same moment as the one before, of another type, where nothing says which was first


def list_visits(log: EventLog, journey: JourneyConfig, cutoff_time: pd.Timestamp) -> Visits:
    """List the visits of the persons of `log`; see `build_journeys`."""
    cutoff = micro(cutoff_time)
    grouped = group_by_person(log, log.visible(cutoff), cutoff)
    stage_map = StageMap(log, journey)
    stage = stage_map.stage_codes(grouped)
    state = stage_map.states(grouped, stage)
    entry = np.flatnonzero(state[:, ENTRY] == np.arange(len(stage))) if len(stage) else np.zeros(0, int)
    group = grouped.group[entry]
    is_last = np.append(group[1:] != group[:-1], True)[: len(entry)]
    entered = grouped.time[entry]
    left = pa.array(np.append(entered[1:], 0)[: len(entry)], mask=is_last)
    entry_state = state[entry]
    # A person's first visit has none to count.
    rose = {what: np.diff(entry_state[:, what], prepend=0) > 0 for what in (REGRESSIONS, REENTRIES, DETOURS)}
    columns = {
        "person_id": log.identities.names.take(pa.array(grouped.persons[group])),
        "visit": pa.array(entry_state[:, VISITS].astype(np.int32)),
        "stage": pa.array(stage_map.stages, pa.string()).take(pa.array(stage[entry])),
        "entered_time": pa.array(entered).view(_TIME),
        "left_time": left.view(_TIME),
        "n_events": pa.array(np.diff(np.append(entry, len(stage))).astype(np.int32)),
        "is_regression": pa.array(rose[REGRESSIONS]),
        "is_reentry": pa.array(rose[REENTRIES]),
        "is_detour": pa.array(rose[DETOURS]),
    }
    rows = pa.table({name: columns[name] for name in schema.JOURNEYS.columns})
    return Visits(rows, len(stage), _count_unordered(log, grouped))


def _count_unordered(log: EventLog, grouped: Grouped) -> int:
    """Count the events that follow another of the same person, moment and `sequence`, but not of the same type."""
    is_tied = grouped.time[1:] == grouped.time[:-1]
    is_tied[grouped.starts[1:-1] - 1] = False
    at = np.flatnonzero(is_tied)
    before, now = grouped.index[at], grouped.index[at + 1]
    return int(
        np.count_nonzero((log.sequence[before] == log.sequence[now]) & (log.event_type[before] != log.event_type[now]))
    )

"""What happened after the cut-off; the only module that looks past it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark import schema
from waymark.clock import TrainClock, known_before
from waymark.config import IdentityConfig, JourneyConfig, SplitConfig, TargetsConfig
from waymark.errors import InputError
from waymark.eventlog import EventLog, group_by_person, micro, read_log
from waymark.journeys import StageMap
from waymark.kernels.jit import DAY
from waymark.points import every_event
from waymark.splits import TRAIN, case_folds, cases_that_test, cutoff_folds, rank_cases

STAY, END = "stay", "end"


def build_targets(
    points: pd.DataFrame,
    events: pd.DataFrame,
    links: pd.DataFrame,
    clock: TrainClock,
    kind: str,
    journey: JourneyConfig,
    settings: TargetsConfig,
    split: SplitConfig,
    rules: IdentityConfig | None = None,
) -> pd.DataFrame:
    """Say what happened after each prediction point; `kind` is `snapshots` or `every_event`.

    See `build_snapshot_targets` and `build_event_targets`.
    """
    if kind == "every_event":
        return build_event_targets(points, events, links, clock.as_of, journey, settings, split, rules)
    return build_snapshot_targets(points, events, links, clock.as_of, journey, settings, clock.test_cutoffs, rules)


def build_snapshot_targets(
    points: pd.DataFrame,
    events: pd.DataFrame,
    links: pd.DataFrame,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    test_cutoffs: tuple[pd.Timestamp, ...],
    rules: IdentityConfig | None = None,
) -> pd.DataFrame:
    """Say what each person did in the horizon after each night.

    Parameters
    ----------
    points
        `person_id`, `cutoff_time`, `prefix_length` and `stage` of the rows of `schema.FEATURES`.
    events, links
        Rows of `schema.EVENTS` and `schema.LINKS`, in any order.
    as_of
        End of what training may see: what became known at or after it counts for nothing, and rows whose horizon ends
        after it are immature.
    journey, settings
        The stages; the horizon, and what counts as coming back.
    test_cutoffs
        Cut-offs whose rows test; the others train.
    rules
        How identifiers become persons.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.TARGETS`. What a person did is what the identities known at the end of the horizon say.
    """
    if points.empty:
        raise InputError("no training cut-off has a person in features.population; widen it or deliver more history")
    log = read_log(known_before(events, as_of), links, rules)
    stage_map = StageMap(log, journey)
    parts = [
        _after_night(rows, cutoff, log, stage_map, micro(as_of), settings)
        for cutoff, rows in points.groupby("cutoff_time", sort=True)
    ]
    targets = pd.concat(parts, ignore_index=True)
    targets["fold"] = cutoff_folds(targets["cutoff_time"], test_cutoffs)
    targets["split_rank"] = targets["cutoff_time"].rank(method="dense").astype("int64") - 1
    return targets[list(schema.TARGETS.columns)]


def _after_night(
    rows: pd.DataFrame,
    cutoff_time: pd.Timestamp,
    log: EventLog,
    stage_map: StageMap,
    as_of: int,
    settings: TargetsConfig,
) -> pd.DataFrame:
    cutoff = micro(cutoff_time)
    end = cutoff + settings.horizon_days * int(DAY)
    later = min(end, as_of)
    seen = log.visible(as_of)
    grouped = group_by_person(log, seen[log.event_time[seen] < end], later)
    row, group = _whose(rows["person_id"], log, grouped.persons, cutoff, later)

    is_after = grouped.time >= cutoff
    has_returned = np.zeros(len(grouped.persons), bool)
    has_returned[grouped.group[is_after & _comes_back(log, settings)[grouped.index]]] = True
    is_silent = np.ones(len(rows), bool)
    is_silent[row[has_returned[group]]] = False

    stage = np.full(len(log), -1, np.int32)
    stage[grouped.index] = stage_map.reached(grouped)
    # A stage carried on from before the cut-off, by an event that became known late, was not reached after it.
    moves = np.flatnonzero(is_after & (stage[grouped.index] >= 0))
    order = np.argsort(group, kind="stable")
    n_rows = np.bincount(group, minlength=len(grouped.persons))  # who looks at each group's events
    first = np.cumsum(n_rows) - n_rows
    n = n_rows[grouped.group[moves]]
    event = np.repeat(grouped.index[moves], n)
    nth = np.arange(len(event)) - np.repeat(np.cumsum(n) - n, n)
    of_row = row[order[np.repeat(first[grouped.group[moves]], n) + nth]]
    present = pd.Index(stage_map.stages).get_indexer(rows["stage"])
    is_other = stage[event] != present[of_row]
    names = np.array([*stage_map.stages, STAY], object)
    earliest = np.full(len(rows), len(log))
    np.minimum.at(earliest, of_row[is_other], event[is_other])
    reached = np.append(stage, len(names) - 1)[earliest]

    is_mature = end <= as_of
    return pd.DataFrame(
        {
            "person_id": rows["person_id"].array,
            "cutoff_time": rows["cutoff_time"].array,
            "prefix_length": rows["prefix_length"].array,
            "next_stage": pd.array(np.where(is_silent | (not is_mature), None, names[reached]), "str"),
            "next_stage_status": pd.array(
                np.where(is_silent & is_mature, "not_applicable", "mature" if is_mature else "immature").astype(object),
                "str",
            ),
            "is_silent": pd.array(np.where(is_mature, is_silent, None), "boolean"),
            "churn_status": "mature" if is_mature else "immature",
        }
    )


def _whose(
    person_id: pd.Series, log: EventLog, persons: np.ndarray, cutoff: int, later: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of `person_id` look at which groups of events, in pairs.

    A person of the cut-off is, by the end of the horizon, whoever its customers have become, or its devices where it
    has no customer: with others one person, or several.
    """
    identities = log.identities
    people = identities.people(cutoff)
    is_followed = ~identities.are_identified(cutoff)[people]
    is_followed[: identities.n_customers] = True
    row_of_person = np.full(len(identities.person_ids), -1)
    row_of_person[pd.Index(identities.person_ids).get_indexer(person_id.to_numpy(object))] = np.arange(len(person_id))
    group_of_person = np.full(len(identities.person_ids), -1)
    group_of_person[persons] = np.arange(len(persons))
    row, group = row_of_person[people], group_of_person[identities.people(later)]
    is_pair = is_followed & (row >= 0) & (group >= 0)
    row, group = row[is_pair], group[is_pair]
    pairs = np.unique(row * len(persons) + group)
    return pairs // max(len(persons), 1), pairs % max(len(persons), 1)


def _comes_back(log: EventLog, settings: TargetsConfig) -> np.ndarray:
    """Say which events end a silence: the customer's own, of the configured types."""
    if settings.churn_event_types is None:
        return log.is_customer
    return log.is_customer & np.isin(log.event_types.astype(str), settings.churn_event_types)[log.event_type]


def build_event_targets(
    points: pd.DataFrame,
    events: pd.DataFrame,
    links: pd.DataFrame,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    split: SplitConfig,
    rules: IdentityConfig | None = None,
) -> pd.DataFrame:
    """Say what came after each event.

    The next stage is that of the next event, whenever it comes (`stay` where it is the same); where none came within
    the horizon the case has ended, if ends count. Parameters and result as in `build_snapshot_targets`; `split` says
    which cases train and which test. With its embargo, a row that trains is mature for churn only if its horizon had
    passed when the first test case began: those who came back were known earlier than the silent.
    """
    log = read_log(known_before(events, as_of), links, rules)
    walk = every_event(log, StageMap(log, journey), micro(as_of))
    time, now, group = walk.grouped.time, micro(as_of), walk.group
    horizon = settings.horizon_days * int(DAY)
    position = np.arange(len(time))
    has_next = np.append(group[1:] == group[:-1], False)[: len(time)]
    after = np.minimum(position + 1, max(len(time) - 1, 0))
    back = _next_where(_comes_back(log, settings)[walk.grouped.index], walk.grouped.starts)
    names = np.array(walk.stage_map.stages, object)
    label = np.where(walk.stage[after] == walk.stage, STAY, names[walk.stage[after]])
    has_ended = ~has_next & (time + horizon < now)
    ends_count = settings.end_of_case != "excluded"
    status = np.select(
        [has_next, has_ended & ends_count, has_ended], ["mature", "mature", "not_applicable"], default="immature"
    )
    fold = case_folds(walk, np.where(has_next, time[after], time + horizon), split)
    tests_begin = cases_that_test(walk, split)[1] if split.embargo else now
    is_mature = walk.cutoff + horizon <= np.where(fold == TRAIN, min(tests_begin, now), now)
    is_silent = (back < 0) | (time[back] - walk.cutoff >= horizon)
    targets = pd.DataFrame(
        {
            "person_id": pd.array(walk.person_ids, "str"),
            "cutoff_time": pd.DatetimeIndex(walk.cutoff.astype("datetime64[us]")).tz_localize("UTC"),
            "prefix_length": (walk.end - walk.first).astype(np.int32),
            "next_stage": pd.array(np.where(status != "mature", None, np.where(has_next, label, END)), "str"),
            "next_stage_status": pd.array(status.astype(object), "str"),
            "is_silent": pd.array(np.where(is_mature, is_silent, None), "boolean"),
            "churn_status": pd.array(np.where(is_mature, "mature", "immature").astype(object), "str"),
            "fold": pd.array(fold, "str"),
            "split_rank": rank_cases(walk, split)[group],
        }
    )
    keys = list(schema.TARGETS.key)
    return points[keys].merge(targets, on=keys, how="left", validate="one_to_one")[list(schema.TARGETS.columns)]


def _next_where(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return, for each event, where its person's next event with `mask` is; -1 where there is none."""
    n = len(mask)
    at = np.where(mask, np.arange(n), n)
    ahead = np.append(np.minimum.accumulate(at[::-1])[::-1][1:], n)[:n]
    ends = np.repeat(starts[1:], np.diff(starts))
    return np.where(ahead < ends, ahead, -1)

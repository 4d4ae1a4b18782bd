"""What happened after the cut-off; the only module that looks past it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark import schema
from waymark.clock import TrainClock
from waymark.config import IdentityConfig, JourneyConfig, SplitConfig, TargetsConfig
from waymark.errors import InputError
from waymark.eventlog import EventLog, Grouped, group_by_person, micro, read_log
from waymark.journeys import StageMap
from waymark.kernels.jit import DAY, EVER
from waymark.lots import lots
from waymark.points import every_event
from waymark.splits import (
    TRAIN,
    CaseSplit,
    case_folds,
    cutoff_folds,
    keep_persons_apart,
    order_cases,
    ranks_of,
    split_cases,
)

STAY, END = "stay", "end"
NOBODY = "no training cut-off has a person in features.population; widen it or deliver more history"


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
    tests = clock.test_cutoffs
    return build_snapshot_targets(points, events, links, clock.as_of, journey, settings, tests, rules, split)


def build_snapshot_targets(
    points: pd.DataFrame,
    events: pd.DataFrame,
    links: pd.DataFrame,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    test_cutoffs: tuple[pd.Timestamp, ...],
    rules: IdentityConfig | None = None,
    split: SplitConfig | None = None,
) -> pd.DataFrame:
    """Say what each person did after each night: in the horizon, and when they came back.

    Parameters
    ----------
    points
        `person_id`, `cutoff_time`, `prefix_length` and `stage` of the rows of `schema.FEATURES`.
    events, links
        Rows of `schema.EVENTS` and `schema.LINKS`, in any order.
    as_of
        End of what training may see: what became known at or after it counts for nothing, and rows whose horizon ends
        after it, or of those that train after the tests begin, are immature.
    journey, settings
        The stages; the horizons, and what counts as coming back.
    test_cutoffs
        Cut-offs whose rows test; the others train.
    rules
        How identifiers become persons.
    split
        The gap before the first test cut-off, in which nothing that happens may train, and who may test; by default
        there is none, and everybody may.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.TARGETS`. What a person did is what the identities known at the end of the horizon say; beyond
        it, those known at the end of the longest one. Rows that train are watched until the tests begin.
    """
    if points.empty:
        raise InputError(NOBODY)
    split = split or SplitConfig(kind="cutoffs")
    until = end_of_training(as_of, test_cutoffs, split.gap_days)
    log = read_log(events, links, rules)
    return deal_nights(follow_nights(points, log, as_of, journey, settings, until), test_cutoffs, split)


def end_of_training(as_of: pd.Timestamp, test_cutoffs: tuple[pd.Timestamp, ...], gap_days: int) -> pd.Timestamp:
    """Return until when rows that train may be watched: the first test, less the gap, or `as_of` where none tests."""
    return min(test_cutoffs) - pd.Timedelta(days=gap_days) if test_cutoffs else as_of


def follow_nights(
    points: pd.DataFrame,
    log: EventLog,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    train_until: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Say what the persons of `log` did after the nights of `points`; those of others are left out.

    Nights before `train_until` are watched no longer than to it (all of them to `as_of` by default). Rows of
    `schema.TARGETS` but for what `deal_nights` adds, and the `lot` of each person, which it deals by.
    """
    mine = points[points["person_id"].isin(log.identities.own_ids)]
    stage_map = StageMap(log, journey)
    parts = []
    for cutoff, rows in mine.groupby("cutoff_time", sort=True):
        until = train_until if train_until is not None and cutoff < train_until else as_of
        parts.append(_after_night(rows, cutoff, log, stage_map, micro(as_of), micro(until), settings))
    if not parts:
        return pd.DataFrame()
    lot = pd.Series(lots(log.identities, micro(as_of), "whoever may test"), index=log.identities.person_ids)
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(lot=lot.loc[rows["person_id"]].to_numpy())


def deal_nights(targets: pd.DataFrame, test_cutoffs: tuple[pd.Timestamp, ...], split: SplitConfig) -> pd.DataFrame:
    """Deal out the rows of all persons (of `follow_nights`) to training and test, by night and perhaps by person."""
    fold = cutoff_folds(targets["cutoff_time"], test_cutoffs)
    if split.persons == "disjoint":
        fold = keep_persons_apart(fold, targets["lot"].to_numpy(), split.test_persons)
    rank = targets["cutoff_time"].rank(method="dense").astype("int64") - 1
    return targets.assign(fold=fold, split_rank=rank)[list(schema.TARGETS.columns)]


def _after_night(
    rows: pd.DataFrame,
    cutoff_time: pd.Timestamp,
    log: EventLog,
    stage_map: StageMap,
    as_of: int,
    until: int,
    settings: TargetsConfig,
) -> pd.DataFrame:
    cutoff = micro(cutoff_time)
    end = cutoff + settings.horizon_days * int(DAY)
    later = min(end, as_of)
    seen = log.visible(as_of)
    grouped = group_by_person(log, seen[log.event_time[seen] < end], later)
    row, group = _whose(rows["person_id"], log, grouped.persons, cutoff, later)

    comes_back = _comes_back(log, settings)
    is_after = grouped.time >= cutoff
    back = _first(grouped, is_after & comes_back[grouped.index], row, group, len(rows))
    is_silent = back == EVER
    last = min(cutoff + max(settings.horizons_days) * int(DAY), until)
    if last > end and is_silent.any():  # who came back between the ends of the horizon and of the watch
        beyond = seen[(log.event_time[seen] >= end) & (log.event_time[seen] < last) & comes_back[seen]]
        after = group_by_person(log, beyond, last)
        then = _whose(rows["person_id"], log, after.persons, cutoff, last)
        back = np.minimum(back, _first(after, np.ones(len(beyond), bool), *then, len(rows)))

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

    is_mature = end <= until  # of a night that trains, before the tests begin
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
            **_watched(back - cutoff, np.full(len(rows), last - cutoff)),
        }
    )


def _first(grouped: Grouped, mask: np.ndarray, row: np.ndarray, group: np.ndarray, n_rows: int) -> np.ndarray:
    """Return when the first event with `mask` was that each row looks at, int64 microseconds; `EVER` for none."""
    of_group = np.full(len(grouped.persons), EVER)
    np.minimum.at(of_group, grouped.group[mask], grouped.time[mask])
    first = np.full(n_rows, EVER)
    np.minimum.at(first, row, of_group[group])
    return first


def _watched(back: np.ndarray, watched: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns that say how long silences lasted and were watched, given both in microseconds."""
    watched = np.maximum(watched, 0)
    return {"return_days": np.where(back < watched, back / DAY, np.nan), "observed_days": watched / DAY}


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
    row_of_person = np.full(len(identities.names), -1)
    row_of_person[pd.Index(identities.person_ids).get_indexer(person_id.to_numpy(object))] = np.arange(len(person_id))
    group_of_person = np.full(len(identities.names), -1)
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
    which cases train and which test. With its embargo, a row that trains is watched only until the first test case
    began, and mature for churn only if its horizon had passed then: those who came back were known earlier than the
    silent.
    """
    log = read_log(events, links, rules)
    cases = split_cases(list_cases(log, as_of, journey, split), split)
    return follow_events(points, log, as_of, journey, settings, split, cases)


def list_cases(log: EventLog, as_of: pd.Timestamp, journey: JourneyConfig, split: SplitConfig) -> pd.DataFrame:
    """Return rows of `splits.order_cases` for the cases of `log` known before `as_of`."""
    return order_cases(every_event(log, StageMap(log, journey), micro(as_of)), split)


def follow_events(
    points: pd.DataFrame,
    log: EventLog,
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: TargetsConfig,
    split: SplitConfig,
    cases: CaseSplit,
) -> pd.DataFrame:
    """Say what came after each event of `log`, for those of `points`: rows of `schema.TARGETS`.

    `cases` says which cases train and which test, those of other logs among them.
    """
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
    fold = case_folds(walk, np.where(has_next, time[after], time + horizon), split, cases)
    tests_begin = cases.tests_begin if split.embargo else now
    until = np.where(fold == TRAIN, min(tests_begin, now), now)
    is_mature = walk.cutoff + horizon <= until
    silence = np.where(back < 0, EVER, time[back] - walk.cutoff)
    targets = pd.DataFrame(
        {
            "person_id": pd.array(walk.person_ids, "str"),
            "cutoff_time": pd.DatetimeIndex(walk.cutoff.astype("datetime64[us]")).tz_localize("UTC"),
            "prefix_length": (walk.end - walk.first).astype(np.int32),
            "next_stage": pd.array(np.where(status != "mature", None, np.where(has_next, label, END)), "str"),
            "next_stage_status": pd.array(status.astype(object), "str"),
            "is_silent": pd.array(np.where(is_mature, silence >= horizon, None), "boolean"),
            "churn_status": pd.array(np.where(is_mature, "mature", "immature").astype(object), "str"),
            **_watched(silence, np.minimum(until - walk.cutoff, max(settings.horizons_days) * DAY)),
            "fold": pd.array(fold, "str"),
            "split_rank": ranks_of(walk, cases)[group],
        }
    )
    keys = list(schema.TARGETS.key)
    mine = points.loc[points["person_id"].isin(log.identities.own_ids), keys]
    return mine.merge(targets, on=keys, how="left", validate="one_to_one")[list(schema.TARGETS.columns)]


def _next_where(mask: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return, for each event, where its person's next event with `mask` is; -1 where there is none."""
    n = len(mask)
    at = np.where(mask, np.arange(n), n)
    ahead = np.append(np.minimum.accumulate(at[::-1])[::-1][1:], n)[:n]
    ends = np.repeat(starts[1:], np.diff(starts))
    return np.where(ahead < ends, ahead, -1)

"""The stage that each event gives its person, and the way through the stages."""

from typing import NamedTuple

import numpy as np

from waymark.kernels.jit import at, jit


class Rules(NamedTuple):
    """The rules of a journey that events of a kind may match: those of kind k, in order, are `first[k]:first[k + 1]`.

    `reach` takes them as a plain tuple.
    """

    plain: np.ndarray  # (n_kinds,) int32: the stage code that the kind alone gives, -1 for none; `ASK`: ask the rules
    first: np.ndarray  # (n_kinds + 1,) int64
    stage: np.ndarray  # (n_rules,) int32: the code it gives
    asks_value: np.ndarray  # (n_rules,) bool
    value_from: np.ndarray  # (n_rules,) int64 cents, inclusive as all bounds
    value_to: np.ndarray  # (n_rules,) int64 cents
    count_from: np.ndarray  # (n_rules,) int64: events of the type so far, this one included
    count_to: np.ndarray  # (n_rules,) int64
    counter: np.ndarray  # (n_kinds,) int32: which counter counts events of the type; the last counts for no rule
    n_counters: int


ASK = -2
REGRESSION, DETOUR = 1, 2  # what may be wrong with a change of stage


@jit
def reach(starts, kind, value, rules):
    """Return the stage code that each event itself gives its person, -1 where no rule matches: (n_events,) int32.

    `starts` is where each person's events start, (n_persons + 1,); `kind` the code of each event's kind, int32; `value`
    is not looked at where no rule asks for one.
    """
    plain, first, stage, asks_value, value_from, value_to, count_from, count_to, counter, n_counters = rules
    out = np.empty(len(kind), np.int32)
    counts = np.zeros(n_counters, np.int64)
    for p in range(len(starts) - 1):
        counts[:] = 0
        for k in range(starts[p], starts[p + 1]):
            i = at(k)
            out[i] = plain[at(kind[i])]
            if n_counters > 1:
                counts[counter[kind[i]]] += 1
            if out[i] != ASK:
                continue
            out[i] = -1
            count = counts[counter[kind[i]]]
            for r in range(first[kind[i]], first[kind[i] + 1]):
                if asks_value[r] and not (value_from[r] <= value[i] and value[i] <= value_to[r]):
                    continue
                if count_from[r] <= count and count <= count_to[r]:
                    out[i] = stage[r]
                    break
    return out


@jit
def carry_on(starts, reached, initial):
    """Carry each stage on to the person's next events, in place; before the first a person is at stage `initial`."""
    for p in range(len(starts) - 1):
        now = initial
        for k in range(starts[p], starts[p + 1]):
            i = at(k)
            now = reached[i] if reached[i] >= 0 else now
            reached[i] = now


@jit
def stage_states(starts, stage, place, steps):
    """Return what is known of a person's way through the stages after each event.

    Parameters
    ----------
    starts
        Where each person's events start, (n_persons + 1,).
    stage
        Stage code after each event, (n_events,) int32.
    place, steps
        What the design says of changes of stage: see `StageMap.design`.

    Returns
    -------
    ndarray
        (n_events, 7) int32: index of the visit's first event; stages one and two visits before (-1: none); visits,
        regressions, re-entries and detours so far, the present one included.
    """
    out = np.empty((len(stage), 7), np.int32)
    seen_by = np.full(len(place), -1, np.int64)  # the latest person seen at each stage
    for p in range(len(starts) - 1):
        now, before, before_that, entry = -1, -1, -1, starts[p]
        visits, regressions, reentries, detours = 0, 0, 0, 0
        for i in range(starts[p], starts[p + 1]):
            new = np.int64(stage[i])
            if new != now:
                step = steps[place[now] + 1 if now >= 0 else 0, place[new]]
                visits, regressions, detours = visits + 1, regressions + (step & 1), detours + (step >> 1)
                reentries += seen_by[new] == p
                seen_by[new] = p
                before_that, before, now, entry = before, now, new, i
            out[i, 0], out[i, 1], out[i, 2] = entry, before, before_that
            out[i, 3], out[i, 4], out[i, 5], out[i, 6] = visits, regressions, reentries, detours
    return out


# What `way` reads out at a point.
STAGE, PREVIOUS, TRANSITION, TWO_TRANSITIONS = range(4)
EVENTS_IN_STAGE, VISITS, REGRESSIONS, REENTRIES, DETOURS, N_NUMBERS = range(4, 10)
ENTERED, N_BASES = range(2)  # since when a person is at the present stage


class Stages(NamedTuple):
    """The stages of a journey, and the categories that are known of them; `way` takes them as a plain tuple."""

    design: np.ndarray  # (n_stages,) int32: place in `steps`
    steps: np.ndarray  # (1 + n_designs, n_designs) int8: see `StageMap.design`
    category: np.ndarray  # (n_stages + 1,) float32, NaN for none as all categories here; the last is nowhere
    place: np.ndarray  # (n_stages + 1,) int32: place in the tables that follow; the last is nowhere
    one: np.ndarray  # (n_places, n_places) float32: category of a change
    pair: np.ndarray  # (n_places, n_places) int32: row of `two` for the earlier of two changes
    two: np.ndarray  # (n_pairs, n_places) float32: category of two changes


@jit
def way(people, stage, stages, rows, out, base_rows, bases, stage_at, entered):
    """Read out the way through the stages: number k, such as `VISITS`, into the row `rows[k]` of `out`.

    Base k, such as `ENTERED`, goes to the row `base_rows[k]` of `bases`. `stage` is the stage code after each event,
    (n_events,) int32. `stage_at`, int32, and `entered`, int64 microseconds, have one element for each of all points:
    the present stage, and since when.
    """
    starts, time, point_starts, ends, _, first_point = people
    design, steps, category, place, one, pair, two = stages
    seen_by = np.full(len(place), -1, np.int64)  # the latest person seen at each stage
    for g in range(len(starts) - 1):
        now, before, before_that, i, entry = -1, -1, -1, starts[g], starts[g]
        visits, regressions, reentries, detours = 0, 0, 0, 0
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                new = np.int64(stage[at(i)])
                if new != now:
                    step = steps[design[at(now)] + 1 if now >= 0 else 0, at(design[at(new)])]
                    visits, regressions, detours = visits + 1, regressions + (step & 1), detours + (step >> 1)
                    reentries += seen_by[at(new)] == g
                    seen_by[at(new)] = g
                    before_that, before, now, entry = before, now, new, i
                i += 1
            to = at(first_point + p)
            stage_at[to], entered[to] = now, time[at(entry)]
            bases[base_rows[ENTERED], at(p)] = time[at(entry)]
            out[rows[STAGE], to] = category[at(now)]
            out[rows[PREVIOUS], to] = category[before]  # the last is nowhere
            out[rows[TRANSITION], to] = one[place[before], at(place[at(now)])]
            out[rows[TWO_TRANSITIONS], to] = two[at(pair[place[before_that], place[before]]), at(place[at(now)])]
            out[rows[EVENTS_IN_STAGE], to] = i - entry
            out[rows[VISITS], to] = visits
            out[rows[REGRESSIONS], to] = regressions
            out[rows[REENTRIES], to] = reentries
            out[rows[DETOURS], to] = detours

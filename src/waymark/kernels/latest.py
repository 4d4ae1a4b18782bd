"""What was latest. `which` (or `k`) and `column` say what each number is, and into which row of `out` it goes."""

import numpy as np

from waymark.kernels.jit import DAY, NEVER, at, jit


@jit
def latest_times(people, classes, n_classes, which, column, bases):
    """Write when the latest event of the classes `which` was into rows of `bases`, NaN where there was none.

    `classes` is the class of each event, (n_events,) int32; `n_classes` is none.
    """
    starts, time, point_starts, ends, _, _ = people
    latest = np.empty(n_classes + 1, np.int64)
    for g in range(len(starts) - 1):
        latest[:] = NEVER
        i = starts[g]
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                latest[at(classes[at(i)])] = time[at(i)]
                i += 1
            for r in range(len(column)):
                when = latest[at(which[r])]
                bases[at(column[r]), at(p)] = when if when != NEVER else np.nan


@jit
def latest_two(people, classes, n_classes, n_named, which, column, out):
    """Read out the class of the latest event that has one (`which` is 0), or of the one before (1).

    Classes from `n_named` on have no name: they are NaN, as is none at all.
    """
    starts, _, point_starts, ends, _, first_point = people
    for g in range(len(starts) - 1):
        now, before = n_classes, n_classes
        i = starts[g]
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                found = np.int64(classes[at(i)])
                before = now if found < n_classes else before
                now = found if found < n_classes else now
                i += 1
            for r in range(len(column)):
                code = before if which[r] else now
                out[at(column[r]), at(first_point + p)] = code if code < n_named else np.nan


@jit
def latest_numbers(people, number, which, column, out):
    """Read out the latest of a number that events carry (`which` is 0), NaN for none, or its mean so far (1)."""
    starts, _, point_starts, ends, _, first_point = people
    for g in range(len(starts) - 1):
        latest, total, n = np.nan, 0.0, 0
        i = starts[g]
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                if not np.isnan(number[at(i)]):
                    latest, total, n = number[at(i)], total + number[at(i)], n + 1
                i += 1
            mean = total / n if n > 0 else np.nan
            for r in range(len(column)):
                out[at(column[r]), at(first_point + p)] = mean if which[r] else latest


@jit
def latest_types(people, table, kind, k, column, out):
    """Read out what `table` has (float32) for the kind of the `k[r]`-th latest event, NaN where there was none."""
    starts, _, point_starts, ends, _, first_point = people
    for r in range(len(column)):
        to, back = out[column[r]], k[r]
        for g in range(len(starts) - 1):
            start = starts[g]
            for p in range(point_starts[g], point_starts[g + 1]):
                i = ends[at(p)] - back
                to[at(first_point + p)] = table[at(kind[at(i)])] if i >= start else np.nan


@jit
def latest_gaps(people, k, column, out):
    """Read out the days from the event before the `k[r]`-th latest to that, NaN where there was none before."""
    starts, time, point_starts, ends, _, first_point = people
    for r in range(len(column)):
        to, back = out[column[r]], k[r]
        for g in range(len(starts) - 1):
            start = starts[g]
            for p in range(point_starts[g], point_starts[g + 1]):
                i = ends[at(p)] - back
                to[at(first_point + p)] = (time[at(i)] - time[at(i - 1)]) / DAY if i > start else np.nan

"""Loops over the events of one person after another, compiled by Numba; nothing else is.

Every kernel takes events grouped by person and, within a person, in time order. A *point* is a prediction point: it
sees the events `first[p] <= i < end[p]`, the person's own up to its cut-off. Points of one person follow each other in
the order of `end`. Times are int64 microseconds. Sums of integers are exact; sums of floats run in one order, within
one person, so that neither other persons nor the number of points change a digit.

`python src/run.py waymark.kernels` compiles them all, so that no first run pays for it.
"""

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True)

EVER = np.int64(2) ** 62  # a window longer than any history, in microseconds
DAY = np.int64(86_400_000_000)


@_jit
def group_order(person, n_persons):
    """Return the stable order that groups events by person code, and where each person's events start."""
    starts = np.zeros(n_persons + 1, np.int64)
    for p in person:
        starts[p + 1] += 1
    for p in range(n_persons):
        starts[p + 1] += starts[p]
    place = starts[:-1].copy()
    order = np.empty(len(person), np.int64)
    for i in range(len(person)):
        order[place[person[i]]] = i
        place[person[i]] += 1
    return order, starts


@_jit
def join(parents, a, b):
    """Join the components of `a[i]` and `b[i]`, in place; an id is its own parent until it is joined.

    The smaller root stays, so that the result does not depend on the order of the links.

    References
    ----------
    Tarjan, van Leeuwen (1984), Worst-case analysis of set union algorithms, Journal of the ACM 31(2): path halving.
    """
    for i in range(len(a)):
        x, y = a[i], b[i]
        while parents[x] != x:
            parents[x] = parents[parents[x]]
            x = parents[x]
        while parents[y] != y:
            parents[y] = parents[parents[y]]
            y = parents[y]
        if x < y:
            parents[y] = x
        else:
            parents[x] = y


@_jit
def first_links(anonymous, customer, kind, known, rank, ends, n_ids):
    """Find, for each anonymous code and kind, the first event that links it, and which codes need more than that.

    Parameters
    ----------
    anonymous, customer
        (n_events,) codes, -1 for none.
    kind
        (n_events,) 0 or 1.
    known
        (n_events,) int64 microseconds; of equal ones the least `rank` is the first.
    ends
        (n_events,) bool: what the event says was taken back later.

    Returns
    -------
    first : (n_ids, 2) int64, the position of the first event of each kind, -1 for none
    is_special : (n_ids,) bool, whether several customers, or an event that was taken back, are among its links
    """
    first = np.full((n_ids, 2), -1, np.int64)
    partner = np.full(n_ids, -1, np.int32)
    is_special = np.zeros(n_ids, np.bool_)
    for i in range(len(anonymous)):
        a, c = anonymous[i], customer[i]
        if a < 0 or c < 0:
            continue
        if ends[i] or (partner[a] >= 0 and partner[a] != c):
            is_special[a] = True
        partner[a] = c
        j = first[a, kind[i]]
        if j < 0 or known[i] < known[j] or (known[i] == known[j] and rank[i] < rank[j]):
            first[a, kind[i]] = i
    return first, is_special


@_jit
def roots(parents):
    """Return the root of each id's component."""
    out = np.empty_like(parents)
    for i in range(len(parents)):
        # A root is the smallest id of its component, so whoever is met on the way up has been answered before.
        out[i] = i if parents[i] == i else out[parents[i]]
    return out


@_jit
def count_so_far(starts, category, n_categories):
    """Return, for each event, how many of its category its person has had, itself included; 0 for category -1."""
    counts = np.zeros(n_categories, np.int64)
    out = np.zeros(len(category), np.int64)
    for p in range(len(starts) - 1):
        for i in range(starts[p], starts[p + 1]):
            if category[i] >= 0:
                counts[category[i]] += 1
                out[i] = counts[category[i]]
        for i in range(starts[p], starts[p + 1]):
            if category[i] >= 0:
                counts[category[i]] = 0
    return out


@_jit
def stage_states(starts, stage, path_position, is_allowed):
    """Return what is known of a person's way through the stages after each event.

    Parameters
    ----------
    starts
        Where each person's events start, (n_persons + 1,).
    stage
        Stage code after each event, (n_events,).
    path_position
        Place of each stage on the designed path, -1 for none, (n_stages,).
    is_allowed
        Whether the design lets the second stage follow the first, (n_stages, n_stages).

    Returns
    -------
    ndarray
        (n_events, 7) int32: index of the visit's first event; stages one and two visits before (-1: none); visits,
        regressions, re-entries and detours so far, the present one included.
    """
    out = np.empty((len(stage), 7), np.int32)
    seen = np.zeros(len(path_position), np.bool_)
    for p in range(len(starts) - 1):
        entry, before, before_that, visits, regressions, reentries, detours = 0, -1, -1, 0, 0, 0, 0
        now = -1
        for i in range(starts[p], starts[p + 1]):
            s = stage[i]
            if s != now:
                if now >= 0:
                    regressions += 0 <= path_position[s] < path_position[now]
                    reentries += seen[s]
                    detours += not is_allowed[now, s]
                before_that, before, now = before, now, s
                entry, visits = i, visits + 1
                seen[s] = True
            out[i, 0], out[i, 1], out[i, 2] = entry, before, before_that
            out[i, 3], out[i, 4], out[i, 5], out[i, 6] = visits, regressions, reentries, detours
        for i in range(starts[p], starts[p + 1]):
            seen[stage[i]] = False
    return out


@_jit
def window_sums(first, end, cutoff, time, category, weight, windows, n_categories):
    """Sum `weight` by category over the events of the last `windows[w]` microseconds before each point's cut-off.

    Events of category -1 count nowhere. Returns (n_points, n_windows, n_categories) int64; windows are half-open,
    `cutoff - window <= time < cutoff`.
    """
    n_windows = len(windows)
    out = np.zeros((len(first), n_windows, n_categories), np.int64)
    sums = np.zeros((n_windows, n_categories), np.int64)
    low = np.zeros(n_windows, np.int64)
    i = np.int64(0)
    for p in range(len(first)):
        if p == 0 or first[p] != first[p - 1] or end[p] < end[p - 1]:
            i = first[p]
            low[:] = i
            sums[:] = 0
        while i < end[p]:
            if category[i] >= 0:
                for w in range(n_windows):
                    sums[w, category[i]] += weight[i]
            i += 1
        for w in range(n_windows):
            while low[w] < i and time[low[w]] < cutoff[p] - windows[w]:
                if category[low[w]] >= 0:
                    sums[w, category[low[w]]] -= weight[low[w]]
                low[w] += 1
            for c in range(n_categories):
                out[p, w, c] = sums[w, c]
    return out


@_jit
def decayed_counts(first, end, cutoff, time, category, half_life, n_categories):
    """Count events by category, each worth one half for every `half_life` microseconds that it is old.

    Returns (n_points, n_categories) float64.
    """
    out = np.zeros((len(first), n_categories))
    level = np.zeros(n_categories)
    last = np.zeros(n_categories, np.int64)
    i = np.int64(0)
    for p in range(len(first)):
        if p == 0 or first[p] != first[p - 1] or end[p] < end[p - 1]:
            i = first[p]
            level[:] = 0.0
        while i < end[p]:
            c = category[i]
            if c >= 0:
                level[c] = level[c] * 2.0 ** (-(time[i] - last[c]) / half_life) + 1.0 if level[c] > 0.0 else 1.0
                last[c] = time[i]
            i += 1
        for c in range(n_categories):
            if level[c] > 0.0:
                out[p, c] = level[c] * 2.0 ** (-(cutoff[p] - last[c]) / half_life)
    return out


@_jit
def days_since(first, end, cutoff, time, category, n_categories):
    """Return the days since the first and since the last event of each category.

    Returns (n_points, n_categories, 2) float64; NaN where there was none.
    """
    out = np.full((len(first), n_categories, 2), np.nan)
    earliest = np.zeros(n_categories, np.int64)
    latest = np.zeros(n_categories, np.int64)
    seen = np.zeros(n_categories, np.bool_)
    i = np.int64(0)
    for p in range(len(first)):
        if p == 0 or first[p] != first[p - 1] or end[p] < end[p - 1]:
            i = first[p]
            seen[:] = False
        while i < end[p]:
            c = category[i]
            if c >= 0:
                if not seen[c]:
                    earliest[c], seen[c] = time[i], True
                latest[c] = time[i]
            i += 1
        for c in range(n_categories):
            if seen[c]:
                out[p, c, 0] = (cutoff[p] - earliest[c]) / DAY
                out[p, c, 1] = (cutoff[p] - latest[c]) / DAY
    return out


@_jit
def gap_states(starts, time, counts):
    """Return the gaps between the counted events so far, after each event.

    Returns (n_events, 3) float64: mean, standard deviation (of the population) and last gap, in days; NaN before the
    second counted event.

    References
    ----------
    Welford (1962), Note on a method for calculating corrected sums of squares: equal gaps have no spread at all.
    """
    out = np.full((len(time), 3), np.nan)
    for p in range(len(starts) - 1):
        n, previous, mean, squares, gap = 0, np.int64(0), 0.0, 0.0, 0.0
        for i in range(starts[p], starts[p + 1]):
            if counts[i]:
                if n > 0:
                    gap = (time[i] - previous) / DAY
                    off = gap - mean
                    mean += off / n
                    squares += off * (gap - mean)
                n, previous = n + 1, time[i]
            if n > 1:
                out[i, 0] = mean
                out[i, 1] = np.sqrt(squares / (n - 1))
                out[i, 2] = gap
    return out


@_jit
def running_means(starts, value):
    """Return the mean of a person's values so far after each event; NaN values are left out, NaN before the first."""
    out = np.full(len(value), np.nan)
    for p in range(len(starts) - 1):
        n, total = 0, 0.0
        for i in range(starts[p], starts[p + 1]):
            if not np.isnan(value[i]):
                n, total = n + 1, total + value[i]
            if n:
                out[i] = total / n
    return out


def main() -> None:
    """Compile every kernel for the types the features use."""
    one, code = np.zeros(1, np.int64), np.zeros(1, np.int32)
    starts = np.array([0, 1])
    group_order(code, 1)
    join(code, code, code)
    roots(code)
    first_links(code, code, np.zeros(1, np.int8), one, code, np.zeros(1, np.bool_), 1)
    count_so_far(starts, code, 1)
    stage_states(starts, code, code, np.ones((1, 1), np.bool_))
    window_sums(one, one + 1, one, one, code, one, np.array([EVER]), 1)
    decayed_counts(one, one + 1, one, one, code, 1.0, 1)
    days_since(one, one + 1, one, one, code, 1)
    gap_states(starts, one, np.ones(1, np.bool_))
    running_means(starts, np.zeros(1))


if __name__ == "__main__":
    main()

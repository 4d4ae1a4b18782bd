"""What functions of the user's own, and the population, ask of prediction points.

A point sees the events `first[p] <= i < end[p]`, its person's own up to its cut-off. Points of one person follow each
other in the order of `end`.
"""

import numpy as np

from waymark.kernels.jit import DAY, NEVER, at, jit


@jit
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


@jit
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


@jit
def activity_before(starts, group, end, time, kind, is_own, is_wanted):
    """Return when each point's person last acted, NEVER if not yet, and whether a wanted kind of activity was among it.

    `starts` is where each person's events start, `group` the person of each point; `kind` is the kind of each event,
    and `is_own` and `is_wanted` say which kinds are the customer's own, and wanted.
    """
    latest, has_wanted = np.empty(len(end), np.int64), np.empty(len(end), np.bool_)
    now, wanted, i = NEVER, False, np.int64(0)
    for p in range(len(end)):
        if p == 0 or group[p] != group[p - 1] or end[p] < end[p - 1]:
            now, wanted, i = NEVER, False, starts[group[p]]
        while i < end[p]:
            of = at(kind[at(i)])
            now = time[at(i)] if is_own[of] else now
            wanted |= is_own[of] & is_wanted[of]
            i += 1
        latest[p], has_wanted[p] = now, wanted
    return latest, has_wanted

"""Sums by class of a track, over windows and so far, at the points of persons.

A number that is read out is the sum of a class in a window, or that divided by the sum so far of a class. Class
`n_classes` stands for all classes together then, and `n_classes + 1` for how many of them occurred; window `n_windows`
for so far.
"""

import numpy as np

from waymark.kernels.jit import at, jit


@jit
def window_starts(people, windows):
    """Return where the events of each window begin, for each point.

    `windows` are (n_windows,) int64 microseconds, half-open: `cutoff - window <= time < cutoff`. Returns
    (n_windows + 1, n_points) uint32; the last are the person's first events.
    """
    starts, time, point_starts, ends, cutoffs, _ = people
    out = np.empty((len(windows) + 1, len(ends)), np.uint32)
    for w in range(len(windows)):
        begins, window = out[w], windows[w]
        for g in range(len(starts) - 1):
            low = starts[g]
            for p in range(point_starts[g], point_starts[g + 1]):
                edge = cutoffs[at(p)] - window
                while low < ends[at(p)] and time[at(low)] < edge:
                    low += 1
                begins[at(p)] = low
    for g in range(len(starts) - 1):
        out[-1, point_starts[g] : point_starts[g + 1]] = starts[g]
    return out


@jit
def tally_once(people, begins, classes, n_classes, weight, numbers, out):
    """Read out sums at the one point that each person has.

    Parameters
    ----------
    people
        See the package.
    begins
        `window_starts`: events are added up from each window's to the next smaller one's.
    classes, n_classes
        The class of each event, (n_events,) int32; `n_classes` is none.
    weight
        What each event adds, (n_events,) int64; one, where it is empty.
    numbers
        For each number its class, its window, the class it is divided by or -1, and its row of `out`: int64 arrays.
    out
        (n_rows, n_all_points) float32.
    """
    starts, _, _, ends, _, first_point = people
    above, window, below, column = numbers
    n, has_weight = len(begins), len(weight) > 0
    sums = np.zeros((n_classes + 2) * n, np.int64)
    for g in range(len(starts) - 1):
        sums[:] = 0
        for w in range(n):
            end = np.int64(begins[w - 1, g]) if w > 0 else ends[g]
            for k in range(begins[w, g], end):
                i = at(k)
                sums[at(classes[i] * n + w)] += weight[i] if has_weight else 1
        total, distinct = 0, 0
        for c in range(n_classes):
            for k in range(c * n, c * n + n - 1):
                sums[k + 1] += sums[k]
            total += sums[c * n + n - 1]
            distinct += sums[c * n + n - 1] > 0
        sums[n_classes * n + n - 1], sums[(n_classes + 1) * n + n - 1] = total, distinct
        for r in range(len(column)):
            total = sums[above[r] * n + window[r]]
            whole = sums[below[r] * n + n - 1] if below[r] >= 0 else 1
            out[column[r], first_point + g] = total / whole if whole > 0 else np.nan


@jit
def running_sums(classes, n_classes, weight, asks_total, out):
    """Write the sums of each class, and of all, over the events before each place: (n_classes + 1, n_events + 1).

    They run on through all persons: what lies between two places is their difference. `out` is int32 for counts, int64
    for weights; the sums of all classes are left empty where nobody asks for them.
    """
    out[:, 0] = 0
    for c in range(n_classes):
        total = out[c, 0]
        if len(weight):
            for i in range(len(classes)):
                total += weight[i] if classes[i] == c else 0
                out[c, i + 1] = total
        else:
            for i in range(len(classes)):
                total += classes[i] == c
                out[c, i + 1] = total
    if asks_total:
        out[n_classes] = 0
        for c in range(n_classes):
            out[n_classes] += out[c]


@jit
def tally_rolling(people, begins, sums, numbers, out):
    """Read out sums at many points of each person: `sums` are `running_sums`, the other parameters as above."""
    _, _, _, ends, _, first_point = people
    above, window, below, column = numbers
    n, n_classes = len(ends), len(sums) - 1
    for r in range(len(column)):
        begin, to = begins[window[r]], out[column[r], first_point : first_point + n]
        if above[r] > n_classes:
            for p in range(n):
                to[p] = 0
                for c in range(n_classes):
                    to[p] += sums[c, at(ends[p])] > sums[c, begin[p]]
        elif below[r] < 0:
            part = sums[above[r]]
            for p in range(n):
                to[p] = part[at(ends[p])] - part[begin[p]]
        else:
            part, whole, ever = sums[above[r]], sums[below[r]], begins[-1]
            for p in range(n):
                total = whole[at(ends[p])] - whole[ever[p]]
                to[p] = (part[at(ends[p])] - part[begin[p]]) / total if total > 0 else np.nan

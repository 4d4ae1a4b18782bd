"""The rhythm of a person's activities."""

import math

import numpy as np

from waymark.kernels.jit import DAY, at, jit

MEAN_GAP, SD_GAP, LAST_GAP, LAST_OVER_MEAN, N_NUMBERS = range(5)
LAST, FIRST, MEAN, N_BASES = range(4)  # when the latest and the first were, and the mean gap in days as it is


@jit
def rhythm(people, activity, rows, out, base_rows, bases):
    """Read out the rhythm of the events whose class `activity` is 0: number k, such as `MEAN_GAP`, into row `rows[k]`.

    Base k, such as `LAST`, goes to the row `base_rows[k]` of `bases`. NaN where there are too few. Gaps are added up
    less the first gap, in whole microseconds: a steady rhythm has no spread at all.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37(3): shifts.
    """
    starts, time, point_starts, ends, _, first_point = people
    for g in range(len(starts) - 1):
        n, first, last, gap, first_gap, squares = -1, np.int64(0), np.int64(0), np.int64(0), np.int64(0), 0.0
        i = starts[g]
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                if activity[at(i)] == 0:
                    n += 1  # gaps so far
                    first = time[at(i)] if n == 0 else first
                    gap = time[at(i)] - last if n > 0 else 0
                    first_gap = gap if n == 1 else first_gap
                    off = np.float64(gap - first_gap) if n > 1 else 0.0
                    squares += off * off
                    last = time[at(i)]
                i += 1
            mean, spread = np.nan, np.nan
            if n > 0:
                off = np.float64(last - first - n * first_gap)  # sum of the gaps less the first one
                mean = (last - first) / n / DAY
                spread = math.sqrt(max(squares - off * off / n, 0.0) / n) / DAY
            to = at(first_point + p)
            out[rows[MEAN_GAP], to] = mean
            out[rows[SD_GAP], to] = spread
            out[rows[LAST_GAP], to] = gap / DAY if n > 0 else np.nan
            out[rows[LAST_OVER_MEAN], to] = gap / DAY / mean if mean > 0.0 else np.nan
            bases[base_rows[LAST], at(p)] = last if n >= 0 else np.nan
            bases[base_rows[FIRST], at(p)] = first if n >= 0 else np.nan
            bases[base_rows[MEAN], at(p)] = mean

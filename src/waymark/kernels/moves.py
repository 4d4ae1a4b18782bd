"""Numbers that hang on the clock besides the events, worked out from what the events leave behind: their bases."""

import math

import numpy as np

from waymark.kernels.jit import DAY, jit

DAYS, OVER, FADES, WEEKDAY, HOUR = range(5)
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, and Monday is 0


@jit
def work_out(cutoffs, bases, numbers, out, first_point):
    """Write numbers at points, asked for at `cutoffs`, int64 microseconds.

    Parameters
    ----------
    bases
        (n_bases, n_points) float64, which holds microseconds exactly; NaN where there is none.
    numbers
        For each number what it is, two rows of `bases`, microseconds, and its row of `out`: int64 arrays. It is the
        `DAYS` since the first base; these `OVER` the second one, NaN where that is not above 0; the first base, as it
        was at the second one, which `FADES` by one half in those microseconds; or the cut-off's `WEEKDAY` or `HOUR`.
    out
        (n_rows, n_all_points) float32; the first of the points is at `first_point`.
    """
    what, one, two, scale, column = numbers
    left, moment, half_life = np.empty(len(cutoffs)), -1, np.int64(0)
    for r in range(len(column)):
        to = out[column[r], first_point : first_point + len(cutoffs)]
        first, second = bases[one[r]], bases[two[r]]
        if what[r] == DAYS:
            for p in range(len(cutoffs)):
                to[p] = (cutoffs[p] - first[p]) / DAY
        elif what[r] == OVER:
            for p in range(len(cutoffs)):
                to[p] = (cutoffs[p] - first[p]) / DAY / second[p] if second[p] > 0.0 else np.nan
        elif what[r] == FADES:
            if two[r] != moment or scale[r] != half_life:  # numbers that fade alike follow each other
                moment, half_life = two[r], scale[r]
                for p in range(len(cutoffs)):
                    left[p] = math.exp2((second[p] - cutoffs[p]) / half_life)
            for p in range(len(cutoffs)):
                to[p] = first[p] * left[p]
        elif what[r] == WEEKDAY:
            for p in range(len(cutoffs)):
                to[p] = (cutoffs[p] // DAY + _EPOCH_WEEKDAY) % 7
        else:
            for p in range(len(cutoffs)):
                to[p] = cutoffs[p] % DAY / (DAY // 24)

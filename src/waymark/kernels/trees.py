"""Boosted trees at one row in many periods: what tells periods apart is only where a clock stands."""

import numpy as np

from waymark.kernels.jit import jit

CATEGORICAL, DEFAULT_LEFT, NAN_IS_MISSING = 1, 2, 8  # bits of the kind of a split, as LightGBM has them


@jit
def roll(forest, x, silence_column, starts, out):
    """Add up what the trees say of each row in each period.

    A split on the clock sends the periods before some moment one way and the others the other; all other splits send
    all of them one way. So a tree is walked once for each part of the periods that it tells apart, not for each period.

    Parameters
    ----------
    forest
        As `forest.Forest` holds it. Two more features than `x` has columns: when the period starts, and the silence so
        far, both ascending with the period.
    x
        (n, n_features) float32.
    silence_column
        The column of `x` that the silence so far starts from; -1 for none.
    starts
        When each period starts, (n_periods,) float32, ascending.
    out
        (n, n_periods) float64, added to.
    """
    roots, feature, threshold, kind, left, right, leaf, first_bits, n_bits, bits = forest
    n_features, n_periods = x.shape[1], len(starts)
    todo, begins, ends = np.empty((3, len(feature) + 1), np.int32)
    silence = np.empty(n_periods, np.float32)
    for i in range(len(x)):
        since = x[i, silence_column] if silence_column >= 0 else np.float32(np.nan)
        for k in range(n_periods):
            silence[k] = since + starts[k]
        for t in range(len(roots)):
            todo[0], begins[0], ends[0], n = roots[t], 0, n_periods, 1
            while n > 0:
                n -= 1
                node, begin, end = todo[n], begins[n], ends[n]
                while node >= 0:
                    f = feature[node]
                    if f == n_features or (f > n_features and since == since):
                        clock = starts if f == n_features else silence
                        cut = begin
                        while cut < end and np.float64(clock[cut]) <= threshold[node]:
                            cut += 1
                        if cut == begin:
                            node = right[node]
                        else:
                            if cut < end:
                                todo[n], begins[n], ends[n] = right[node], cut, end
                                n += 1
                            end = cut
                            node = left[node]
                        continue
                    value = np.float64(x[i, f]) if f < n_features else np.nan
                    if kind[node] & CATEGORICAL:
                        is_left = False
                        if value >= 0:
                            code = int(value)
                            word = code // 32
                            is_left = word < n_bits[node] and (bits[first_bits[node] + word] >> (code % 32)) & 1 == 1
                    elif value != value and kind[node] & NAN_IS_MISSING:
                        is_left = kind[node] & DEFAULT_LEFT != 0
                    else:
                        is_left = (0.0 if value != value else value) <= threshold[node]
                    node = left[node] if is_left else right[node]
                for k in range(begin, end):
                    out[i, k] += leaf[-node - 1]

"""Two sorted lists put together, and the rows of two tables in that order."""

import numpy as np

from waymark.kernels.jit import at as place
from waymark.kernels.jit import jit


@jit
def merged(data, offsets, at, data_too, offsets_too):
    """Return the order of two lists of sorted texts put together: places of the first list, then those of the second.

    Parameters
    ----------
    data, offsets
        The texts of the first list: the bytes of all, uint8, and where each begins, (n_texts + 1,) int32.
    at
        Those of its places that count, ascending int32.
    data_too, offsets_too
        The texts of the second list, none of which is one of those.

    Returns
    -------
    ndarray
        (n_texts,) int32; the places of the second list go on after all of the first.
    """
    n, m, n_before = len(at), len(offsets_too) - 1, len(offsets) - 1
    out = np.empty(n + m, np.int32)
    i, j = 0, 0
    for k in range(n + m):
        is_second = i == n
        if i < n and j < m:
            a, a_end = np.int64(offsets[at[i]]), np.int64(offsets[at[i] + 1])
            b, b_end = np.int64(offsets_too[j]), np.int64(offsets_too[j + 1])
            while a < a_end and b < b_end and data[a] == data_too[b]:
                a, b = a + 1, b + 1
            if a < a_end and b < b_end:
                is_second = data_too[b] < data[a]
            else:
                is_second = b == b_end
        if is_second:
            out[k], j = n_before + j, j + 1
        else:
            out[k], i = at[i], i + 1
    return out


@jit
def gather(one, two, order, out):
    """Write the numbers at some places, int32, of two arrays, of which the second goes on after the first."""
    n = len(one)
    for k in range(len(order)):
        i = order[k]
        out[k] = one[place(i)] if i < n else two[place(i - n)]

"""Components of identifiers."""

import numpy as np

from waymark.kernels.jit import jit


@jit
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


@jit
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


@jit
def roots(parents):
    """Return the root of each id's component."""
    out = np.empty_like(parents)
    for i in range(len(parents)):
        # A root is the smallest id of its component, so whoever is met on the way up has been answered before.
        out[i] = i if parents[i] == i else out[parents[i]]
    return out

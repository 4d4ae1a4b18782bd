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
def roots(parents):
    """Return the root of each id's component."""
    out = np.empty_like(parents)
    for i in range(len(parents)):
        # A root is the smallest id of its component, so whoever is met on the way up has been answered before.
        out[i] = i if parents[i] == i else out[parents[i]]
    return out

"""Shapley values of a function of few columns, over all orders in which they can come into play."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np


def attribute(value: Callable[[np.ndarray], np.ndarray], own: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Say how far each column moves a function from its value at a typical row to that of each row.

    Parameters
    ----------
    value
        Takes rows like `own`, returns a number each.
    own
        (n, n_columns).
    typical
        (n_columns,): what stands in a column that is not in play.

    Returns
    -------
    (n, n_columns) : together, value(own) - value(typical).

    References
    ----------
    Shapley (1953), A value for n-person games.
    """
    n_columns, known = own.shape[1], {}

    def at(in_play: frozenset[int]) -> np.ndarray:
        if in_play not in known:
            known[in_play] = value(np.where([j in in_play for j in range(n_columns)], own, typical))
        return known[in_play]

    orders = list(permutations(range(n_columns)))
    parts = np.zeros(own.shape)
    for order in orders:
        for place, j in enumerate(order):
            before = frozenset(order[:place])
            parts[:, j] += (at(before | {j}) - at(before)) / len(orders)
    return parts

"""The periods after a cut-off over which the return of a person is followed, and the curve of silence over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

# Returns are the likelier the shorter the silence: periods are short first, and each later one is longer by half or so.
_GRID = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365, 545, 730, 1095, 1460, 2190, 2920, 3650)


# What is told of the day of return, of those who return within the longest horizon: column -> quantile.
RETURNS = {"return_days": 0.5, "return_days_low": 0.1, "return_days_high": 0.9}


class Horizons(NamedTuple):
    """The horizons of a forecast of silence, in days."""

    judged: int  # the one of the labels, by which models are judged
    every: tuple[int, ...]  # ascending, the judged one among them


def lay_edges(horizons_days: Iterable[int]) -> tuple[int, ...]:
    """Return where periods end, in days after the cut-off, ascending: each horizon is one of the ends."""
    horizons = set(horizons_days)
    return tuple(sorted(horizons | {d for d in _GRID if d < max(horizons)}))


def silent_within(targets: pd.DataFrame, days: float) -> tuple[np.ndarray, np.ndarray]:
    """Say of rows of `schema.TARGETS` who was silent for so many days, and of which rows that is known: both bool."""
    is_silent = ~(targets["return_days"] < days).to_numpy(bool)
    return is_silent, (targets["observed_days"] >= days).to_numpy(bool)


class PersonPeriods(NamedTuple):
    """Rows of one prediction point in one period each: only periods watched to their end, and none after a return."""

    point: np.ndarray  # int64, ascending
    period: np.ndarray  # int64, from 0
    has_returned: np.ndarray  # bool: in this period


def n_periods(return_days: np.ndarray, observed_days: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """Return how many rows `expand` makes of each point."""
    watched = np.searchsorted(edges, observed_days, side="right")
    return np.minimum(watched, np.searchsorted(edges, return_days, side="right") + 1)


def expand(return_days: np.ndarray, observed_days: np.ndarray, edges: Sequence[int]) -> PersonPeriods:
    """Follow each prediction point until it returned, or as long as it was watched.

    A period that was watched only in part is left out whatever happened in it: were it kept for those who returned in
    that part alone, returns would be overstated.

    Parameters
    ----------
    return_days, observed_days
        As in `schema.TARGETS`; NaN for no return.
    edges
        Where periods end, in days, as `lay_edges` returns them.

    References
    ----------
    Singer, Willett (1993), It's about time: using discrete-time survival analysis to study duration and the timing of
    events, section "The person-period data set".
    """
    n = n_periods(return_days, observed_days, edges)
    point = np.repeat(np.arange(len(n)), n)
    period = np.arange(len(point)) - np.repeat(np.cumsum(n) - n, n)
    return PersonPeriods(point, period, period == np.searchsorted(edges, return_days, side="right")[point])


@dataclass(frozen=True)
class Curve:
    """How likely persons are to be still silent so many days after the cut-off."""

    edges: tuple[int, ...]  # days
    log_silent: np.ndarray  # (n_persons, n_edges): log of the probability at each edge, descending along a row

    def silent(self, days: Sequence[float]) -> np.ndarray:
        """Return the probability of silence for so many days, (n_persons, n_days): between edges at a constant rate."""
        longest = self.edges[-1]
        if min(days) < 0 or max(days) > longest:
            raise ValueError(f"days {list(days)} are not all within 0 and {longest}, the longest horizon of the curve")
        ends, logs = np.array([0, *self.edges]), self._from_the_start
        after = np.clip(np.searchsorted(ends, days, side="left"), 1, len(ends) - 1)
        share = (np.asarray(days, float) - ends[after - 1]) / (ends[after] - ends[after - 1])
        return np.exp(logs[:, after - 1] * (1 - share) + logs[:, after] * share)

    def return_days(self, quantiles: Sequence[float]) -> np.ndarray:
        """Return quantiles of the day of return of those who return within the longest horizon, (n_persons, n)."""
        ends, logs = np.array([0, *self.edges], float), self._from_the_start
        out = np.empty((len(logs), len(quantiles)))
        rows = np.arange(len(logs))
        for j, quantile in enumerate(quantiles):
            aim = np.log1p(quantile * np.expm1(logs[:, -1]))
            after = np.clip((logs > aim[:, None]).sum(axis=1), 1, len(ends) - 1)
            before, here = logs[rows, after - 1], logs[rows, after]
            share = (before - aim) / np.maximum(before - here, np.finfo(float).tiny)
            out[:, j] = ends[after - 1] + np.clip(share, 0, 1) * (ends[after] - ends[after - 1])
        return out

    def returned(self, days: np.ndarray, within: float) -> np.ndarray:
        """Return how likely each person is to return by a day of their own, given a return `within` so many: (n,)."""
        ends, logs = np.array([0, *self.edges], float), self._from_the_start
        after, rows = np.clip(np.searchsorted(ends, days, side="left"), 1, len(ends) - 1), np.arange(len(logs))
        share = (days - ends[after - 1]) / (ends[after] - ends[after - 1])
        still = logs[rows, after - 1] * (1 - share) + logs[rows, after] * share
        return np.expm1(still) / np.minimum(self.silent([within])[:, 0] - 1, -np.finfo(float).tiny)

    @property
    def _from_the_start(self) -> np.ndarray:
        return np.column_stack([np.zeros(len(self.log_silent)), self.log_silent])

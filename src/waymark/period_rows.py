"""Rows of points in periods, as the trees of a hazard are grown from them: which, of whom, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from lightgbm import Sequence as Batches

from waymark.inputs import select
from waymark.on_disk import Fill
from waymark.periods import expand, n_periods

_SMOOTHING = 1.0  # rows that each period is thought to have had besides, with the rate of return of the one before


class Points(NamedTuple):
    """Prediction points of a fit, whose features are read when they are asked for."""

    X: pd.DataFrame
    return_days: np.ndarray  # as in `schema.TARGETS`
    observed_days: np.ndarray
    person: np.ndarray  # position in `names`
    names: np.ndarray
    days: np.ndarray | None  # when each was
    fill: Fill  # adds features to rows of X, where those are on disk

    def only(self, at: np.ndarray) -> Points:
        """Return some points: where they are, or a bool each."""
        days = None if self.days is None else self.days[at]
        told = self.return_days[at], self.observed_days[at], self.person[at]
        return Points(self.X.iloc[at], *told, self.names, days, self.fill)

    def with_columns(self, columns: Sequence[str], at: np.ndarray) -> pd.DataFrame:
        """Return the points at some positions with `columns`."""
        return self.fill(self.X.iloc[at], columns)

    def histories(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return a few columns of all points."""
        return select(self.fill(self.X, columns), columns)

    def draw(self, edges: np.ndarray, max_rows: int) -> np.ndarray:
        """Say whose points are used: of persons with more than `max_rows` rows together, some by a hash of the name."""
        n = n_periods(self.return_days, self.observed_days, edges).sum()
        if n <= max_rows:
            return np.ones(len(self.person), bool)
        # A key of its own: of those who were drawn by a hash before (`features.draw`), the same key would draw all.
        draw = pd.util.hash_array(self.names, hash_key="who trains trees") / 2.0**64
        return (draw < max_rows / n)[self.person]


def points_of(X: pd.DataFrame, y: pd.DataFrame, groups: Sequence | None, days: np.ndarray | None, fill: Fill) -> Points:
    """Return the points of a fit; without `groups`, each is a person's of its own."""
    person, names = (np.arange(len(X)),) * 2 if groups is None else pd.factorize(pd.Series(groups), sort=True)
    told = y["return_days"].to_numpy(float), y["observed_days"].to_numpy(float)
    names = names if groups is None else np.asarray(names, object)
    return Points(X, *told, person, names, None if days is None else np.asarray(days, float), fill)


class PeriodRows(NamedTuple):
    """Rows of points in periods."""

    used: np.ndarray  # positions of the points that have rows, those of persons held out last
    point: np.ndarray  # of each row the place of its point in `used`
    period: np.ndarray
    has_returned: np.ndarray  # bool
    weight: np.ndarray
    person: np.ndarray
    is_judge: np.ndarray  # bool: the person is held out, to say when to stop

    @property
    def at(self) -> np.ndarray:
        """Position of the point of each row."""
        return self.used[self.point]


class Clock(NamedTuple):
    """What rows in periods hold besides the features of their points, for who reads those elsewhere."""

    point: np.ndarray  # of each row the place of its point among the rows that are read
    start: np.ndarray  # when its period starts: float32
    silence: int  # which feature is the silence at the cut-off; -1 for none


def lay_rows(
    points: Points,
    edges: np.ndarray,
    max_rows: int,
    person_power: float,
    hold_out: Callable[[np.ndarray], np.ndarray],
) -> PeriodRows:
    """Follow the points through the periods.

    Parameters
    ----------
    points, edges
        As `periods.expand` takes what was seen of them.
    max_rows
        Some persons are drawn where there would be more.
    person_power
        Each point of a person with n points weighs n ** -person_power, on average 1 a row.
    hold_out
        Says, given the person of each point, whose are held out.
    """
    is_out = hold_out(points.person)
    # The rows that say when to stop come last: both parts are views of one matrix.
    used = np.concatenate([np.flatnonzero(~is_out), np.flatnonzero(is_out)])
    used = used[points.draw(edges, max_rows)[used]]
    rows = expand(points.return_days[used], points.observed_days[used], edges)
    person = points.person[used][rows.point]
    weight = np.bincount(points.person)[person] ** -person_power
    weight /= weight.mean()
    return PeriodRows(used, *rows, weight, person, is_out[used][rows.point])


def everybody(rows: PeriodRows, edges: np.ndarray) -> np.ndarray:
    """Return the log-odds of return in each period, (n_periods,).

    A period that hardly anybody was watched through goes on at the daily rate of the one before.
    """
    days = np.diff(edges, prepend=0)
    n, returned = (np.bincount(rows.period, w, len(days)) for w in (rows.weight, rows.weight * rows.has_returned))
    silent = np.empty(len(days))  # the probability of no return
    expected = 0.5
    surest = 1 - 0.5 / (n.max() + 1)  # or rates would shrink to nothing where nobody ever returned
    for k in range(len(days)):
        silent[k] = (n[k] - returned[k] + _SMOOTHING * expected) / (n[k] + _SMOOTHING)
        if k + 1 < len(days):
            expected = min(silent[k] ** (days[k + 1] / days[k]), surest)
    return np.log1p(-silent) - np.log(silent)


class InPeriods(Batches):
    """Rows of points in periods, made as LightGBM asks for them: all together they are as many times the features."""

    batch_size = 1 << 14

    def __init__(self, x: np.ndarray, at: np.ndarray, clock: np.ndarray) -> None:
        """Put the rows of `x` at some positions before a `clock` each."""
        self.x, self.at, self.clock = x, at, clock

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.at)

    def __getitem__(self, i: int | slice) -> np.ndarray:
        """Return rows, or one row as the wide numbers that LightGBM samples."""
        if isinstance(i, slice):
            return np.column_stack([self.x[self.at[i]], self.clock[i]])
        return np.concatenate([self.x[self.at[i]], self.clock[i]], dtype=float)

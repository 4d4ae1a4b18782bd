"""Where the trees of a hazard may start from: what BG/NBD says of each person's return, period by period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from waymark.bgnbd import BGNBD
from waymark.calibration import Line, fit_line
from waymark.inputs import select
from waymark.shapley import attribute

_STEPS = 15
_PRIOR = 1.0  # rows that each period is thought to have had besides, just as the line says


class Rhythm:
    """BG/NBD's log-odds of return in each period, on one line for all periods and a shift for each.

    Parameters
    ----------
    model
        Fitted; its four parameters come from histories, not from labels.
    line
        What becomes of its log-odds.
    shifts
        (n_periods,): what is added in each period; 0 where nobody was watched.
    """

    def __init__(self, model: BGNBD, line: Line, shifts: np.ndarray) -> None:
        """Keep the arguments."""
        self.model = model
        self.intercept, self.slope = line
        self.shifts = shifts

    def starts(self, X: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
        """Return the log-odds of return in each period, (n, n_ends); NaN for those who never were active."""
        return self.intercept + self.slope * self.model.scores(X, ends) + self.shifts[: len(ends)]

    def attribute(
        self, X: pd.DataFrame, ends: np.ndarray, everybody: np.ndarray, weight: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Say how far each column of the history moved the start from that of everybody.

        Shapley values over the columns, those out of play at their typical values; what the typical history itself
        moves, and all for those who never were active, counts for how often they came.

        Parameters
        ----------
        X, ends
            As `starts` takes them.
        everybody
            (n_ends,): the log-odds of everybody.
        weight
            (n, n_ends): how far each period counts.

        Returns
        -------
        dict
            Column -> (n,); together they are the weighted sum of `starts` less `everybody`.
        """
        columns = self.model.feature_names_in_.tolist()
        own = select(X, columns).to_numpy(float)

        def moved(rows: np.ndarray) -> np.ndarray:
            starts = self.starts(pd.DataFrame(rows, columns=columns), ends)
            return (weight * (starts - everybody)).sum(axis=1)

        typical = self.model.typical_
        parts = attribute(moved, own, typical)
        parts[:, 0] += moved(np.broadcast_to(typical, own.shape))
        return dict(zip(columns, np.where(own[:, :1] > 0, parts, 0.0).T, strict=True))


def fit_rhythm(
    columns: Sequence[str],
    X: pd.DataFrame,
    groups: Sequence,
    days: np.ndarray | None,
    ends: np.ndarray,
    point: np.ndarray,
    period: np.ndarray,
    has_returned: np.ndarray,
    weight: np.ndarray,
) -> Rhythm | None:
    """Fit BG/NBD to the histories of all persons, and the line to what was seen of them; None without a history.

    Parameters
    ----------
    columns
        As `BGNBD` takes them.
    X, groups, days
        The points, whose they are and when they were.
    ends
        Where periods end, in days.
    point, period, has_returned, weight
        Rows of `periods.PersonPeriods`, `point` being positions in X, and how much each counts.
    """
    if not (X[columns[0]].to_numpy(float) > 0).any():
        return None
    model = BGNBD(tuple(columns)).fit(X, np.full(len(X), "silent"), groups, days)
    log_odds = model.scores(X, ends)[point, period]
    is_known = ~np.isnan(log_odds)
    log_odds, period, y, weight = (v[is_known] for v in (log_odds, period, has_returned, weight))
    line = fit_line(log_odds, y, weight)
    shifts, base = np.zeros(len(ends)), line.intercept + line.slope * log_odds
    for _ in range(_STEPS):
        p = expit(base + shifts[period])
        slope = np.bincount(period, weight * (y - p), len(ends)) - _PRIOR * 0.25 * shifts
        shifts = shifts + slope / (np.bincount(period, weight * p * (1 - p), len(ends)) + _PRIOR * 0.25)
    return Rhythm(model, line, shifts)


def start_odds(everybody: np.ndarray, rhythm: Rhythm | None, X: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
    """Return the log-odds of return that trees start from, (n, n_ends): everybody's where `rhythm` says nothing."""
    if rhythm is None:
        return np.broadcast_to(everybody, (len(X), len(everybody)))
    own = rhythm.starts(X, ends)
    return np.where(np.isnan(own), everybody, own)

"""How well one feature alone, or many together, tell an outcome of persons they have not seen.

Every function takes `y`, whether it came to pass, and `half`, which half of the persons a row belongs to, both (rows,)
bool. What is learnt from one half is judged on the other; the result is the mean of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from waymark.catalogue import Feature
from waymark.metrics import auc
from waymark.models import make

_N_BINS = 32
_SMOOTHING = 5.0  # rows: the weight of the overall share against that of a bin
_MIN_CASES = 10
_MIN_ROWS = 30
_TREES = {"n_estimators": 40, "n_jobs": 1}


def can_be_judged(y: np.ndarray, half: np.ndarray) -> bool:
    """Say whether both outcomes are common enough, in both halves."""
    counts = [np.sum(y[half == h] == outcome) for h in (False, True) for outcome in (False, True)]
    return min(counts) >= _MIN_CASES


def standard_error(y: np.ndarray, half: np.ndarray) -> float:
    """Return a bound on the standard error of an AUC of this module where there is no skill.

    The error of each half is that of ranks without ties, and the halves may err together: what one learns by chance
    from the other, the other learns from it.

    References
    ----------
    Mann, Whitney (1947), On a test of whether one of two random variables is stochastically larger than the other.
    """
    errors = []
    for h in (False, True):
        n_1, n_0 = int(y[half == h].sum()), int((~y[half == h]).sum())
        errors.append(np.sqrt((n_1 + n_0 + 1) / (12 * n_1 * n_0)))
    return float(np.mean(errors))


def alone(values: np.ndarray, outcomes: Sequence[np.ndarray], half: np.ndarray) -> list[float]:
    """Return the AUC of one feature for each outcome `y`; it may tell by any of its values, not by their order only.

    Parameters
    ----------
    values
        (rows,) of the feature; NaN is a value, too.
    outcomes
        One `y` for each result.
    half
        As for the module.
    """
    bins = _bins(values)
    n_bins = int(bins.max(initial=0)) + 1

    def judged(y: np.ndarray) -> Callable[[bool], float]:
        def on(h: bool) -> float:
            learnt, tested = half != h, half == h
            n = np.bincount(bins[learnt], minlength=n_bins)
            hits = np.bincount(bins[learnt & y], minlength=n_bins)
            share = (hits + _SMOOTHING * y[learnt].mean()) / (n + _SMOOTHING)
            cells = np.concatenate([np.bincount(bins[tested & y], minlength=n_bins), n_bins * [0]])
            cells[n_bins:] = np.bincount(bins[tested & ~y], minlength=n_bins)
            truth = np.repeat([1, 0], n_bins)
            return auc(truth, np.column_stack([1 - share, share])[np.tile(np.arange(n_bins), 2)], cells)

        return on

    return [float(np.mean([on(False), on(True)])) for on in map(judged, outcomes)]


def share_told(values: np.ndarray, by: np.ndarray) -> float:
    """Return the share of the variance of one feature, in ranks, that another one tells, where both are known.

    Both are (rows,). A feature that does not vary is told by any, one that is hardly known together with the other by
    none.
    """
    known = ~(np.isnan(values) | np.isnan(by))
    if np.sum(known) < _MIN_ROWS:
        return 0.0
    ranks, bins = _bins(values[known]).astype(float), _bins(by[known])
    if ranks.var() == 0:
        return 1.0
    n = np.bincount(bins)
    means = np.bincount(bins, ranks) / np.maximum(n, 1)
    return float(means[bins].var() / ranks.var())


def _bins(values: np.ndarray) -> np.ndarray:
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) <= 2 * _N_BINS:
        return codes
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def together(rows: pd.DataFrame, catalogue: Sequence[Feature], y: np.ndarray, half: np.ndarray, seed: int) -> float:
    """Return the AUC of small boosted trees on the features of `catalogue`; 0.5 where there is none."""
    return mean_auc(y, forecast(rows, catalogue, y, half, seed)[0], half)


def forecast(
    rows: pd.DataFrame, catalogue: Sequence[Feature], y: np.ndarray, half: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what small boosted trees of the other half forecast, (rows,), and what each feature gave them.

    The second array holds shares of the trees' gain, in the order of `catalogue`; they add up to 1.
    """
    p, gain = np.full(len(rows), 0.5), np.zeros(len(catalogue))
    for h in (False, True) if catalogue else ():
        model = make("lightgbm", _TREES, catalogue, seed, target="churn").fit(rows[half != h], y[half != h])
        p[half == h] = model.predict_proba(rows[half == h])[:, 1]
        gain += model.trees_.feature_importance("gain")
    return p, gain / max(gain.sum(), np.finfo(float).tiny)


def mean_auc(y: np.ndarray, p: np.ndarray, half: np.ndarray) -> float:
    """Return the AUC of the forecasts `p`, the mean of both halves."""
    return float(
        np.mean([auc(y[half == h].astype(int), np.column_stack([1 - p, p])[half == h]) for h in (False, True)])
    )


def lead(y: np.ndarray, p: np.ndarray, q: np.ndarray, half: np.ndarray, person: np.ndarray) -> tuple[float, float]:
    """Return by how much the mean AUC of the forecasts `p` exceeds that of `q`, and the standard error of that.

    `person` says whose row it is: rows of one person err together.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
    characteristic curves. Obuchowski (1997), Nonparametric analysis of clustered ROC curve data: the sums by person.
    """
    leads, errors = [], np.zeros(len(y))
    for h in (False, True):
        rows = half == h
        gained = _placed(y[rows], p[rows]) - _placed(y[rows], q[rows])
        leads.append(gained[y[rows]].mean())
        errors[rows] = (gained - leads[-1]) / np.where(y[rows], y[rows].sum(), (~y[rows]).sum())
    by_person = np.bincount(pd.factorize(person)[0], errors)
    return float(np.mean(leads)), float(np.sqrt(np.sum(by_person**2)) / 2)


def _placed(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return, for each row, the share of the rows of the other outcome that `p` puts on the right side of it."""
    ranks = pd.Series(p)
    below = (ranks.rank() - ranks.groupby(y).rank()).to_numpy() / np.where(y, (~y).sum(), y.sum())
    return np.where(y, below, 1 - below)

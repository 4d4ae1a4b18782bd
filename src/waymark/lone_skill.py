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
    """Return the share of the variance of one feature, in ranks, that another one tells; both (rows,)."""
    ranks, bins = _bins(values).astype(float), _bins(by)
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
    if not catalogue:
        return 0.5
    found = []
    for h in (False, True):
        model = make("lightgbm", _TREES, catalogue, seed, target="churn").fit(rows[half != h], y[half != h])
        found.append(auc(y[half == h].astype(int), model.predict_proba(rows[half == h])))
    return float(np.mean(found))

"""How far each feature moved a forecast, in log-odds: what the features moved adds up to the forecast, exactly.

A forecast is seldom a sum. Each time something curved stands between a sum and a probability, what was moved before it
is scaled by the slope of the secant between the average case and the row, so that nothing is left over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit, logsumexp
from sklearn.base import ClassifierMixin

from waymark.attribution import read_apart, read_attribution
from waymark.baselines import BackOff
from waymark.bgnbd import BGNBD
from waymark.estimators import Boosting, Logistic
from waymark.hazard import SILENCE, Hazard
from waymark.inputs import select
from waymark.shapley import attribute

_TINY = 1e-12


class Explanation(NamedTuple):
    """Why some rows have the forecasts that they have.

    The log-odds of a row's outcome are `base` + the sum of its `parts`. Where no other outcome is possible, they are
    infinite, and nothing moved them.
    """

    base: np.ndarray  # (n,): the log-odds of an average case
    parts: np.ndarray  # (n, n_features), as in `feature_names_in_` of the model

    @property
    def log_odds(self) -> np.ndarray:
        """The log-odds of each row's outcome, (n,)."""
        return self.base + self.parts.sum(axis=1)


def explain(
    model: ClassifierMixin, X: pd.DataFrame, outcome: Sequence[str], is_possible: np.ndarray | None = None
) -> Explanation:
    """Say how far each feature moved the log-odds of one outcome against all others that are possible.

    Parameters
    ----------
    model
        A fitted model. Of one whose class is not known here, nothing is known to have moved anything.
    X
        Rows of `f_` columns.
    outcome
        The class explained, row by row.
    is_possible
        (n, n_classes) bool: the classes that share the probability of 1 in each row; all of them by default.

    References
    ----------
    Lundberg, Erion, Lee (2018), Consistent individualized feature attribution for tree ensembles: what moves a score.
    Sato (1976), The ideal log-change index number; Vartia (1976), Ideal log-change index numbers: the weights by which
    the scores of the other classes move the logarithm of their sum.
    """
    outcome = np.asarray(outcome, str)
    k = np.minimum(np.searchsorted(model.classes_, outcome), len(model.classes_) - 1)
    possible = np.ones((len(X), len(model.classes_)), bool) if is_possible is None else is_possible
    is_open = (model.classes_[k] == outcome) & (possible.sum(axis=1) > possible[np.arange(len(X)), k])
    found = Explanation(np.full(len(X), np.inf), np.zeros((len(X), model.n_features_in_)))
    rows = np.flatnonzero(is_open)
    if len(rows):
        of_class = _EXPLAINED.get(type(model), _unknown)
        base, parts = of_class(model, X.iloc[rows], k[rows], possible[rows])
        found.base[rows], found.parts[rows] = base, parts
    return found


def _unknown(model: ClassifierMixin, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    log_p = np.log(np.maximum(model.predict_proba(X), _TINY))
    return Explanation(_log_odds(log_p, k, possible), np.zeros((len(X), model.n_features_in_)))


def _of_trees(model: Boosting, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    trees, x = read_attribution(model.trees_), model.matrix(X)
    average = _one_a_class(trees.average[None])[0]
    scores = _one_a_class(model.trees_.predict(x, raw_score=True, num_threads=model.n_jobs).reshape(len(x), -1))
    starts = model.start_scores(X)
    if len(starts):
        average, scores = average + starts[0], scores + starts[-1]
    weight = _weights(average, scores, k, possible)
    parts, _ = trees.attribute(x, weight[:, -trees.n_classes :])
    for j, (before, after) in enumerate(pairwise(starts)):
        column = model.feature_names_in_.tolist().index(model.start_.feature_names_in_[j])
        parts[:, column] += (weight * (after - before)).sum(axis=1)
    return Explanation(_log_odds(np.broadcast_to(average, scores.shape), k, possible), parts)


def _of_line(model: Logistic, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    design, line = model.design(X), model.linear_.coef_
    average = _one_a_class((line @ model.means_ + model.linear_.intercept_)[None])[0]
    scores = _one_a_class(model.linear_.decision_function(design).reshape(len(X), -1))
    weight = _weights(average, scores, k, possible)
    adds_to = np.eye(model.n_features_in_)[model.origin]
    parts = np.zeros((len(X), model.n_features_in_))
    for w, coefficients in zip(weight.T[-len(line) :], line, strict=True):
        parts += w[:, None] * ((design * coefficients) @ adds_to - (model.means_ * coefficients) @ adds_to)
    return Explanation(_log_odds(np.broadcast_to(average, scores.shape), k, possible), parts)


def _of_table(model: BackOff, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    """Each column moved the forecast by what it added to those before it."""
    steps = [_log_odds(np.log(np.maximum(p, _TINY)), k, possible) for p in model.refine(X)]
    return Explanation(steps[0], np.diff(steps, axis=0).T.reshape(len(X), model.n_features_in_))


def _of_hazard(model: Hazard, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    """Silence is the product of no return in each period: its logarithm a sum over periods, of something curved.

    The period is given: an average case is the average of that period. What the silence until it starts moved counts
    for the silence so far.
    """
    n_periods, n_features = int(np.searchsorted(model.edges_, model.horizon_days)) + 1, model.n_features_in_
    still, moving = read_apart(model.trees_, (n_features, n_features + 1), (n_features,))
    x, average = model.matrix(X), model.start_[:n_periods] + still.average
    for period in range(n_periods):
        average[period] += moving.attribute(model.set_clock(x[:1], period), np.ones((1, 1)))[1][0, 0]
    scores, bend = model.raw_scores(X)[:, :n_periods], model.bend
    then, now = (-np.logaddexp(0, bend.of(s)).sum(axis=1) for s in (average[None], scores))
    of_sum = _slopes(
        lambda s: -np.logaddexp(0, bend.of(s)), lambda s: -expit(bend.of(s)) * bend.slope(s), average, scores
    )
    of_log = _slopes(_log_odds_of_log, lambda log_p: -1 / np.expm1(log_p), then, now)
    weight = of_sum * of_log[:, None] * np.where(k == 1, 1.0, -1.0)[:, None]
    parts, _ = still.attribute(x, weight.sum(axis=1, keepdims=True))
    for period in range(n_periods):
        moving.attribute(model.set_clock(x, period), weight[:, [period]], parts)
    parts[:, :n_features] += parts[:, -1:] * (model.feature_names_in_ == SILENCE)
    if model.rhythm_ is not None:
        moved = model.rhythm_.attribute(X, model.edges_[:n_periods], model.start_[:n_periods], weight)
        for column, part in moved.items():
            parts[:, model.feature_names_in_.tolist().index(column)] += part
    return Explanation(np.where(k == 1, 1.0, -1.0) * _log_odds_of_log(then), parts[:, :n_features])


def _of_histories(model: BGNBD, X: pd.DataFrame, k: np.ndarray, possible: np.ndarray) -> Explanation:
    """The average case is the typical history; whoever has none was moved by how often they came."""
    if model.typical_ is None:
        return _unknown(model, X, k, possible)
    columns, sign = model.feature_names_in_.tolist(), np.where(k == 1, 1.0, -1.0)

    def silent(histories: np.ndarray) -> np.ndarray:
        return sign * logit(
            np.clip(model.predict_proba(pd.DataFrame(histories, columns=columns))[:, 1], _TINY, 1 - _TINY)
        )

    own = select(X, columns).to_numpy(float)
    base, parts = silent(np.broadcast_to(model.typical_, own.shape)), attribute(silent, own, model.typical_)
    has_none = ~(own[:, 0] > 0)
    parts[has_none] = np.eye(len(columns))[0] * (silent(own) - base)[has_none, None]
    return Explanation(base, parts)


def _log_odds_of_log(log_p: np.ndarray) -> np.ndarray:
    return log_p - np.log(-np.expm1(log_p))


def _slopes(f: Callable, derivative: Callable, then: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return the slopes of the secants of f from `then` to `now`, and of the tangent where they are all but one."""
    apart = now - then
    is_near = np.abs(apart) <= 1e-8 * np.maximum(np.abs(then), np.abs(now))
    steps = np.where(is_near, 1.0, apart)
    return np.where(is_near, derivative(now), (f(now) - f(then)) / steps)


def _one_a_class(scores: np.ndarray) -> np.ndarray:
    """Return a score for each class: of two classes, models give the second's, and the first's is 0."""
    return scores if scores.shape[1] > 1 else np.column_stack([np.zeros(len(scores)), scores[:, 0]])


def _others(scores: np.ndarray, k: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Return the scores of the classes against which each row's is held; the others' are minus infinity."""
    others = np.where(possible, scores, -np.inf)
    others[np.arange(len(others)), k] = -np.inf
    return others


def _log_odds(scores: np.ndarray, k: np.ndarray, possible: np.ndarray) -> np.ndarray:
    return scores[np.arange(len(scores)), k] - logsumexp(_others(scores, k, possible), axis=1)


def _weights(average: np.ndarray, scores: np.ndarray, k: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Return how the scores of the classes move the log-odds of each row's, on the way there from `average`.

    1 for the class itself. For the others, less the mean of their two shares among themselves, on the average and in
    the row: the logarithmic mean, scaled to 1. With it, what they moved adds up.
    """
    then, now = (_others(np.broadcast_to(s, scores.shape), k, possible) for s in (average, scores))
    logs = [s - logsumexp(s, axis=1, keepdims=True) for s in (then, now)]
    with np.errstate(invalid="ignore"):  # of what is not possible, twice minus infinity
        high, apart = np.maximum(*logs), np.nan_to_num(np.abs(logs[1] - logs[0]))
    mean = np.exp(high) * np.where(apart < 1e-8, 1.0, -np.expm1(-apart) / np.maximum(apart, 1e-8))
    weight = -mean / mean.sum(axis=1, keepdims=True)
    weight[np.arange(len(weight)), k] = 1.0
    return weight


_Explain = Callable[[ClassifierMixin, pd.DataFrame, np.ndarray, np.ndarray], Explanation]
_EXPLAINED: dict[type, _Explain] = {
    Boosting: _of_trees,
    Hazard: _of_hazard,
    Logistic: _of_line,
    BackOff: _of_table,
    BGNBD: _of_histories,
}

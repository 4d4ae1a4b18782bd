"""The BG/NBD model of repeat purchases, as a classifier: what a churn model must beat where customers come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, digamma, expit, gammaln
from sklearn.base import BaseEstimator, ClassifierMixin

from waymark.inputs import labels, select
from waymark.periods import Curve, lay_edges

_SUREST, _TINY = 1e4, 1e-12
_BATCH = 1 << 16  # rows
_BOUND = 12.0  # of the logarithms of the parameters: beyond, the likelihood is flat to its last digits


class BGNBD(ClassifierMixin, BaseEstimator):
    """P(nothing more within the horizon) by the BG/NBD model: the classes are `active` and `silent`.

    A customer comes back at a rate of their own, Gamma(r, alpha) among customers, and leaves for good after each time
    with a probability of their own, Beta(a, b). The four are fitted by maximum likelihood to the history of each
    customer at their newest point: the labels do not enter, so that points whose horizon has not passed would do as
    well. Of those who have been active on no day so far the share that stayed silent is forecast.

    Parameters
    ----------
    columns
        Number of active days, days since the first of them, and days since the latest.
    horizon_days
        The horizon of the labels, and of `predict_proba`.
    horizons_days
        All horizons, in days; `curve` reaches to the longest.

    Attributes
    ----------
    r_, alpha_, a_, b_
        The parameters; alpha in days.
    log_likelihood_
        Of the histories, in days.
    typical_
        The history in the middle of those of the fit, in the terms of `columns`.

    References
    ----------
    Fader, Hardie, Lee (2005), "Counting your customers" the easy way: an alternative to the Pareto/NBD model, Marketing
    Science 24(2): the likelihood is equation 6. Fader, Hardie (2008), Computing P(alive) using the BG/NBD model.
    """

    # Also of a champion that was kept before it had these.
    horizons_days = ()
    typical_ = None

    def __init__(
        self,
        columns: tuple[str, str, str] = ("n", "since_first", "since_last"),
        horizon_days: int = 30,
        horizons_days: tuple[int, ...] = (30,),
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.horizon_days = horizon_days
        self.horizons_days = horizons_days

    def fit(self, X: pd.DataFrame, y: Sequence, groups: Sequence | None = None, times: Sequence | None = None) -> BGNBD:
        """Find the likeliest parameters; `groups` says whose row it is, `times` puts the rows of each in order."""
        self.feature_names_in_ = np.array(self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_ = np.array(["active", "silent"])
        is_silent = labels(y) == self.classes_[1]
        x, t_x, T = self.histories(X)
        self.none_so_far_ = float(is_silent[x < 0].mean() if (x < 0).any() else is_silent.mean())
        is_fitted = (x >= 0) & _newest(groups, times, len(x))
        # Customers with equal histories are one with a weight, and in one order whatever that of the rows.
        histories, n = np.unique(np.column_stack([x, t_x, T])[is_fitted], axis=0, return_counts=True)
        if not len(histories):
            raise ValueError("BG/NBD needs persons with an active day")
        x, t_x, T = histories.T
        unit = T.max() / 10 or 1.0  # of time, so that all four parameters are of about one size

        def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = log_likelihood(np.exp(logs), x, t_x / unit, T / unit)
            return -(n @ value) / n.sum(), -(slope @ n) * np.exp(logs) / n.sum()

        found = minimize(cost, np.zeros(4), jac=True, bounds=[(-_BOUND, _BOUND)] * 4, method="L-BFGS-B")
        self.r_, alpha, self.a_, self.b_ = (float(v) for v in np.exp(found.x))
        self.alpha_ = float(alpha * unit)
        value, _ = log_likelihood(self.parameters, x, t_x, T)
        self.log_likelihood_ = float(n @ value)
        every = select(X, self.feature_names_in_).to_numpy(float)
        self.typical_ = np.median(every[every[:, 0] > 0], axis=0)
        return self

    @property
    def parameters(self) -> np.ndarray:
        """r, alpha, a and b."""
        return np.array([self.r_, self.alpha_, self.a_, self.b_])

    def histories(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how often each came back (-1: never came), and the days from the first time to the last and to now."""
        n, since_first, since_last = select(X, self.feature_names_in_).to_numpy(float).T
        n = np.where(np.isnan(since_first) | np.isnan(since_last), 0.0, n)
        T = np.where(n > 0, since_first, 0.0)
        return n - 1, np.where(n > 1, np.maximum(since_first - since_last, 0.0), 0.0), T

    def scores(self, X: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
        """Return the log-odds of coming in each period, given that the person did not until it starts: (n, n_ends).

        Periods end so many days from now, ascending; the first starts now. NaN for who has been active on no day so
        far. What is all but certain is not quite: one in `_SUREST` is left.
        """
        out = np.empty((len(X), len(ends)))
        for i in range(0, len(X), _BATCH):  # some arrays of the size of the result are needed on the way
            out[i : i + _BATCH] = self._scores(X.iloc[i : i + _BATCH], ends)
        return out

    def _scores(self, X: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
        x, t_x, T = self.histories(X)
        r, alpha, _, _ = self.parameters
        alive = p_alive(self.parameters, np.maximum(x, 0), t_x, T)[:, None]
        quiet = np.exp(-(r + np.maximum(x, 0))[:, None] * np.log1p(np.append(0, ends) / (alpha + T)[:, None]))
        comes = alive * (quiet[:, :-1] - quiet[:, 1:])  # and not before
        stays = 1 - alive + alive * quiet[:, 1:]
        bound = np.log(_SUREST)
        with np.errstate(divide="ignore"):
            log_odds = np.clip(np.log(comes) - np.log(stays), -bound, bound)
        return np.where(x[:, None] < 0, np.nan, log_odds)

    def curve(self, X: pd.DataFrame) -> Curve:
        """Return the curve of silence of each row; of those who were active on no day so far, at one rate."""
        edges = lay_edges([*self.horizons_days, self.horizon_days])
        return Curve(edges, np.column_stack([np.log(np.maximum(self._silent(X, days), _TINY)) for days in edges]))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        p = self._silent(X, self.horizon_days)
        return np.column_stack([1 - p, p])

    def _silent(self, X: pd.DataFrame, days: int) -> np.ndarray:
        x, t_x, T = self.histories(X)
        none = self.none_so_far_ ** (days / self.horizon_days)
        return np.where(x < 0, none, p_none(self.parameters, np.maximum(x, 0), t_x, T, days))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _newest(groups: Sequence | None, times: Sequence | None, n: int) -> np.ndarray:
    """Say which row is the newest of each group; every one is, without groups.

    Not the rows of the newest night alone: who has left the population by then for being silent would be missing.
    """
    if groups is None:
        return np.ones(n, bool)
    group = pd.factorize(np.asarray(groups, object))[0]
    time = np.zeros(n) if times is None else np.asarray(times)
    order = np.lexsort((time, group))
    is_last = np.append(np.diff(group[order]) != 0, True)
    return np.isin(np.arange(n), order[is_last])


def log_likelihood(
    parameters: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood of each history, and its slopes in r, alpha, a and b: (histories,), (4, histories).

    `x` is how often a customer came back within `T` of the first time, the latest of them at `t_x`.
    """
    r, alpha, a, b = parameters
    has_returned = x > 0
    # A3 + A4 of the paper, each in logarithms: still here, or gone after the latest time.
    stays = -(r + x) * np.log(alpha + T)
    rest = np.where(has_returned, b + x - 1, 1.0)
    leaves = np.where(has_returned, np.log(a / rest) - (r + x) * np.log(alpha + t_x), -np.inf)
    both = np.logaddexp(stays, leaves)
    gone = np.exp(leaves - both)
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b) + both
    log_age = (1 - gone) * np.log(alpha + T) + gone * np.log(alpha + t_x)
    per_age = (1 - gone) / (alpha + T) + gone / (alpha + t_x)
    joint = digamma(a + b) - digamma(a + b + x)
    slopes = [
        digamma(r + x) - digamma(r) + np.log(alpha) - log_age,
        r / alpha - (r + x) * per_age,
        joint + gone / a,
        joint + digamma(b + x) - digamma(b) - gone / rest,
    ]
    return value, np.array(slopes)


def p_alive(parameters: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Return the probability that a customer has not left for good; who never came back cannot have."""
    r, alpha, a, b = parameters
    odds_gone = np.log(a / np.where(x > 0, b + x - 1, 1.0)) + (r + x) * (np.log(alpha + T) - np.log(alpha + t_x))
    return np.where(x > 0, expit(-odds_gone), 1.0)


def p_none(parameters: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray, horizon: float) -> np.ndarray:
    """Return the probability that a customer does not come within `horizon`: gone, or here and quiet for so long.

    The rate of one who is still here is Gamma(r + x, alpha + T), so that a quiet horizon has the probability
    ((alpha + T) / (alpha + T + horizon)) ** (r + x).
    """
    r, alpha, _, _ = parameters
    stirs = -np.expm1(-(r + x) * np.log1p(horizon / (alpha + T)))
    return 1 - p_alive(parameters, x, t_x, T) * stirs

"""Whether log-odds should be moved, and how, told by nights that the model has not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

_STEPS = 25
_SAMPLES = 200
_COVERAGE = 0.95


class Line(NamedTuple):
    """What becomes of log-odds: intercept + slope * log-odds."""

    intercept: float
    slope: float


def fit_line(log_odds: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Line:
    """Return the line that makes log-odds fit the outcomes `y` best, by Newton's method; all (n,).

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines, equation 2, without its priors for few outcomes.
    """
    x = np.column_stack([np.ones(len(log_odds)), log_odds])
    line = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        p = expit(x @ line)
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        line = line + np.linalg.solve(curvature, x.T @ (weight * (y - p)))
    return Line(*line.tolist())


class Bend(NamedTuple):
    """What becomes of the log-odds of a probability p: low * ln p - high * ln(1 - p) + shift.

    Neither factor is negative, so that order is kept. Where both are 1 and the shift is 0, all is as it was; where both
    are equal, log-odds move along a line.
    """

    low: float
    high: float
    shift: float

    def of(self, log_odds: np.ndarray) -> np.ndarray:
        """Return the log-odds that they become; of `UNBENT`, the same to the last digit."""
        if self == UNBENT:
            return log_odds
        return self.shift - self.low * np.logaddexp(0, -log_odds) + self.high * np.logaddexp(0, log_odds)

    def slope(self, log_odds: np.ndarray) -> np.ndarray:
        """Return how fast `of` rises there."""
        if self == UNBENT:
            return np.ones_like(log_odds)
        return self.low * expit(-log_odds) + self.high * expit(log_odds)


UNBENT = Bend(1.0, 1.0, 0.0)


def fit_bend(log_odds: np.ndarray, y: np.ndarray) -> Bend:
    """Return the bend that makes log-odds fit the outcomes `y` best, both (n,).

    References
    ----------
    Kull, Silva Filho, Flach (2017), Beta calibration: a well-founded and easily implemented improvement on logistic
    calibration for binary classifiers, section 4.
    """
    x = np.column_stack([-np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds), np.ones(len(log_odds))])

    def loss(bend: np.ndarray) -> tuple[float, np.ndarray]:
        found = x @ bend
        return _loss(found, y).mean(), (expit(found) - y) @ x / len(y)

    bounds = [(0, None), (0, None), (None, None)]
    found = minimize(loss, [1.0, 1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B")
    return Bend(*found.x.tolist())


def gain_of(
    before: np.ndarray,
    after: np.ndarray,
    y: np.ndarray,
    person: np.ndarray,
    seed: int,
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return by how much `after`, of two log-odds, has the lower log loss, and the least by luck: see `gain_over`."""
    return gain_over(_loss(before, y) - _loss(after, y), person, seed, weight)


def gain_over(
    gains: np.ndarray, person: np.ndarray, seed: int, weight: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the mean gain of rows, and the least that it is by the luck of who is there.

    The second is the lower end of a bootstrap interval over persons, with all of their rows.
    """
    codes, names = pd.factorize(person, sort=True)
    weight = np.ones(len(gains)) if weight is None else weight
    sums, n = np.bincount(codes, weight * gains, len(names)), np.bincount(codes, weight, len(names))
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(len(names), size=len(names)) for _ in range(_SAMPLES)]
    low = np.quantile([sums[d].sum() / n[d].sum() for d in drawn], (1 - _COVERAGE) / 2)
    return float(sums.sum() / n.sum()), float(low)


def fit_slope(log_p: np.ndarray, code: np.ndarray) -> float:
    """Return by what log-probabilities, (n, n_classes), are best multiplied for the classes `code` that came, (n,).

    It is one over the temperature, and between a quarter and four.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks, section 4.2.
    """
    found = minimize_scalar(lambda s: loss_at(log_p, code, s).mean(), bounds=(0.25, 4.0), method="bounded")
    return float(found.x)


def loss_at(log_p: np.ndarray, code: np.ndarray, slope: float) -> np.ndarray:
    """Return the log loss of each row where its log-probabilities are multiplied by `slope`, (n,)."""
    scores = slope * log_p
    return logsumexp(scores, axis=1) - scores[np.arange(len(code)), code]


def _loss(log_odds: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(y, -log_odds, log_odds))

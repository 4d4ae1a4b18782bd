"""Whether log-odds should be shifted and stretched, told by nights that the model has not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
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


def gain(line: Line, log_odds: np.ndarray, y: np.ndarray, person: np.ndarray, seed: int) -> tuple[float, float]:
    """Return by how much a line lowers the log loss of rows, and the least that it does by luck: see `gain_over`."""
    return gain_of(log_odds, line.intercept + line.slope * log_odds, y, person, seed)


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

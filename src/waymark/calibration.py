"""Whether the log-odds of a hazard should be shifted and stretched, told by nights that it has not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

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
    """Return by how much a line lowers the log loss of rows, and the least that it does by the luck of who is there.

    The second is the lower end of a bootstrap interval over persons, with all of their rows.
    """
    before, after = (_loss(s, y) for s in (log_odds, line.intercept + line.slope * log_odds))
    codes, names = pd.factorize(person, sort=True)
    gains, n = np.bincount(codes, before - after, len(names)), np.bincount(codes, minlength=len(names))
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(len(names), size=len(names)) for _ in range(_SAMPLES)]
    low = np.quantile([gains[d].sum() / n[d].sum() for d in drawn], (1 - _COVERAGE) / 2)
    return float(gains.sum() / n.sum()), float(low)


def _loss(log_odds: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(y, -log_odds, log_odds))

"""How silence goes on before and after the one horizon that a model knows: at the pace of all."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils.metaestimators import available_if

from waymark.periods import Curve, Horizons, expand, lay_edges

_SUREST = 1e-12  # nobody is surer than that to be silent, or not to be


class Paced:
    """What a classifier of silence within one horizon needs to tell the whole curve.

    The cumulative hazard of return of all persons, H, is each one's own up to a factor: that which makes the curve pass
    through what the classifier says. With p the probability of silence for h days, that for t days is
    p ** (H(t) / H(h)): it falls with t, and at h it is p.

    References
    ----------
    Cox (1972), Regression models and life-tables, equation 9: proportional hazards, here with one regressor.
    """

    def learn_pace(self, seen: pd.DataFrame, horizons: Horizons) -> Paced:
        """Learn how fast all return, from `return_days` and `observed_days` of points (as in `schema.TARGETS`)."""
        self.horizons_days = tuple(sorted({*horizons.every, horizons.judged}))
        self.edges_ = np.array(lay_edges(self.horizons_days))
        hazard = _cumulative_hazard(*(seen[c].to_numpy(float) for c in ("return_days", "observed_days")), self.edges_)
        self.pace_ = hazard / hazard[self.edges_ == horizons.judged]
        return self

    @available_if(lambda self: hasattr(self, "pace_"))
    def curve(self, X: pd.DataFrame) -> Curve:
        """Return the curve of silence of each row."""
        p = self.predict_proba(X)[:, self.classes_.tolist().index("silent")] if len(X) else np.zeros(0)
        return Curve(tuple(self.edges_.tolist()), np.outer(np.log(np.clip(p, _SUREST, 1 - _SUREST)), self.pace_))


def _cumulative_hazard(return_days: np.ndarray, observed_days: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of the share that is silent until each edge, rising from one to the next.

    A period that nobody was watched through goes on at the daily rate of the one before.
    """
    rows = expand(return_days, observed_days, edges)
    n, returned = (np.bincount(rows.period, w, len(edges)) for w in (None, rows.has_returned))
    days = np.diff(edges, prepend=0)
    daily = -np.log((n - returned + 0.5) / (n + 1)) / days  # as if half a row more had returned, and half not
    last = np.maximum.accumulate(np.where(n > 0, np.arange(len(edges)), 0))
    return np.cumsum(daily[last] * days)

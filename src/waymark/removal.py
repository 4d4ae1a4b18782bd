"""Whether reasons hold: without the reason that is named, does the forecast move as it says?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import ClassifierMixin

from waymark.catalogue import Feature
from waymark.explanations import Explanation
from waymark.reason_groups import group_of, in_groups

_EDGE = 1e-12  # of probabilities: log-odds beyond are not told apart


def remove_reasons(
    model: ClassifierMixin,
    X: pd.DataFrame,
    features: Sequence[Feature],
    explained: Explanation,
    outcome: Sequence[str],
    is_possible: np.ndarray,
    n_draws: int,
    seed: int,
    n_reasons: int = 3,
) -> pd.DataFrame:
    """Put other persons' features in the place of a reason's, and see where the forecast goes.

    Parameters
    ----------
    model, outcome, is_possible
        As `explain` takes them.
    X
        Rows of `f_` columns. Each is also a stranger to the others.
    features
        What the columns of `explained.parts` are, in their order.
    explained
        What is said to have moved each row.
    n_draws
        Strangers drawn for each reason; the forecast without it is the mean of theirs, in log-odds.
    seed
        Seed of the draw.
    n_reasons
        Reasons looked at, the strongest first.

    Returns
    -------
    pandas.DataFrame
        One row a reason that moved anything: `row` of X, `rank` from 1, `group`, `stated` (how far it is said to have
        moved the log-odds), `found` (how far the log-odds fall when it is removed).

    References
    ----------
    Covert, Lundberg, Lee (2021), Explaining by removing, section 4.1.2: features are removed by their marginal
    distribution.
    """
    rng = np.random.default_rng(seed)
    names, sums = in_groups(explained.parts, features)
    order = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :n_reasons]
    columns = {g: [f.column for f in features if group_of(f) == name] for g, name in enumerate(names)}
    now, found = _log_odds(model, X, outcome, is_possible), []
    for rank in range(order.shape[1]):
        g = order[:, rank]
        rows = np.flatnonzero(sums[np.arange(len(X)), g] != 0)
        changed = X.iloc[np.repeat(rows, n_draws)].reset_index(drop=True)
        strangers, of = rng.integers(0, len(X), len(changed)), np.repeat(g[rows], n_draws)
        for group in np.unique(of):
            at = np.flatnonzero(of == group)
            for column in columns[group]:
                values = changed[column].to_numpy(copy=True)
                values[at] = X[column].to_numpy()[strangers[at]]
                changed[column] = values
        asked = np.repeat(np.asarray(outcome)[rows], n_draws), np.repeat(is_possible[rows], n_draws, axis=0)
        without = _log_odds(model, changed, *asked).reshape(-1, n_draws).mean(axis=1)
        stated = sums[rows, g[rows]]
        told = {"row": rows, "rank": rank + 1, "group": np.array(names, object)[g[rows]], "stated": stated}
        found.append(pd.DataFrame({**told, "found": now[rows] - without}))
    return pd.concat(found, ignore_index=True)


def _log_odds(model: ClassifierMixin, X: pd.DataFrame, outcome: Sequence[str], is_possible: np.ndarray) -> np.ndarray:
    p = np.where(is_possible, model.predict_proba(X), 0.0)
    own = p[np.arange(len(p)), np.searchsorted(model.classes_, np.asarray(outcome, str))]
    return logit(np.clip(own / p.sum(axis=1), _EDGE, 1 - _EDGE))

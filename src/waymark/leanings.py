"""What a model leans on, over everybody: reason groups and features by how far they move its forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import ClassifierMixin

from waymark.catalogue import Feature
from waymark.explanations import explain
from waymark.forecast import SILENT, if_active, likeliest_next
from waymark.inputs import select
from waymark.reason_groups import WORDS, group_of, in_groups
from waymark.removal import remove_reasons

N_DRAWS = 50  # strangers whose features take the place of a reason's
_MOST_FEATURES = 15
_CLEAR = 0.3  # a rank correlation below says no direction


def tell_leanings(
    model: ClassifierMixin, features: Sequence[Feature], rows: pd.DataFrame, n_persons: int, seed: int
) -> dict[str, Any]:
    """Explain the forecasts of some persons, and see whether the reasons hold.

    Parameters
    ----------
    model
        A model of `churn`, explained for silence, or of `next_stage`, explained for what is likeliest to come next.
    features
        What the columns of the model are, in their order.
    rows
        Features with `person_id` and `stage`.
    n_persons
        At most so many are drawn, a row of each.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Plain values. `groups` and `features`: by their share of how far the log-odds are moved, all signs taken for
        one. `removal`: of the reasons of each rank, the share where the forecast, without the reason, moved as stated.
    """
    if not n_persons:
        return {"n_persons": 0, "groups": [], "features": [], "removal": []}
    drawn = _one_row_a_person(rows, n_persons, seed)
    x = select(drawn, model.feature_names_in_)
    possible = np.ones((len(x), len(model.classes_)), bool)
    if SILENT in model.classes_:
        outcome = np.full(len(x), SILENT, object)
    else:
        given = if_active(drawn["stage"], model.predict_proba(x), model.classes_.tolist())
        outcome, possible = likeliest_next(drawn["stage"], given, model.classes_)
        is_open = possible.any(axis=1)
        x, outcome, possible = x[is_open], outcome[is_open], possible[is_open]
    explained = explain(model, x, outcome, possible)
    if not explained.parts.any():
        return {"n_persons": len(x), "groups": [], "features": [], "removal": []}
    names, sums = in_groups(explained.parts, features)
    removed = remove_reasons(model, x, features, explained, outcome, possible, N_DRAWS, seed)
    return {
        "n_persons": len(x),
        "groups": [{"group": names[g], "words": WORDS[names[g]], "share": s} for g, s in _ranked(sums)],
        "features": [
            {"feature": features[j].name, "words": features[j].words, "group": group_of(features[j]), "share": share}
            | _direction(features[j], x[features[j].column].to_numpy(float), explained.parts[:, j], outcome)
            for j, share in _ranked(explained.parts)[:_MOST_FEATURES]
        ],
        "removal": [
            {"rank": int(rank), "n": len(of), "share": float((of["stated"] * of["found"] > 0).mean())}
            for rank, of in removed.groupby("rank")
        ],
    }


def _one_row_a_person(rows: pd.DataFrame, n_persons: int, seed: int) -> pd.DataFrame:
    mixed = rows.iloc[np.random.default_rng(seed).permutation(len(rows))]
    return mixed.drop_duplicates("person_id").head(n_persons).sort_index()


def _ranked(parts: np.ndarray) -> list[tuple[int, float]]:
    """Return the columns that moved anything, each with its share, the largest first."""
    size = np.abs(parts).mean(axis=0)
    shares = size / max(size.sum(), np.finfo(float).tiny)
    return [(int(i), float(shares[i])) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]


def _direction(feature: Feature, values: np.ndarray, parts: np.ndarray, outcome: np.ndarray) -> dict[str, str | None]:
    """Say of which outcome the feature moves the forecast most, and which of its values make that likelier.

    `likelier`: a category, `more`, `less`, or None where it is neither.
    """
    moved = pd.Series(np.abs(parts)).groupby(outcome).sum()
    most = str(moved.idxmax())
    own, part = values[outcome == most], parts[outcome == most]
    if feature.categories is not None:
        known = ~np.isnan(own)
        means = pd.Series(part[known]).groupby(own[known]).mean()
        return {"outcome": most, "likelier": feature.categories[int(means.idxmax())] if len(means) else None}
    known = np.isfinite(own)
    if len(np.unique(own[known])) < 2 or len(np.unique(part[known])) < 2:
        return {"outcome": most, "likelier": None}
    rank = spearmanr(own[known], part[known]).statistic
    return {"outcome": most, "likelier": None if abs(rank) < _CLEAR else "more" if rank > 0 else "less"}

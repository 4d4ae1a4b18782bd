"""Why forecasts are what they are: how far each group of features moved each, and the strongest in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from waymark.explanations import Explanation, explain
from waymark.forecast import SILENT, likeliest_next
from waymark.models import Model, features_of
from waymark.reason_groups import WORDS
from waymark.reasons import strongest
from waymark.recoding import inputs_of

N_REASONS = 3
_CHUNK = 20_000  # persons explained at a time; bounds memory


def explain_rows(
    features: pd.DataFrame, next_stages: pd.DataFrame, next_stage: Model, churn: Model, chunk: int = _CHUNK
) -> pd.DataFrame:
    """Say what moved the forecast of silence, and that of the likeliest next stage.

    Parameters
    ----------
    features
        Rows of `schema.FEATURES`.
    next_stages
        The probability of stay and of the next stages given activity, as `forecast.if_active` returns it.
    next_stage, churn
        The models and their cards.
    chunk
        Rows explained at a time.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.REASONS`: two of each row of `features`, in its order.
    """
    parts = [
        _explain(features.iloc[begin : begin + chunk], next_stages.iloc[begin : begin + chunk], next_stage, churn)
        for begin in range(0, max(len(features), 1), chunk)
    ]
    return pd.concat(parts, ignore_index=True)


def strongest_of_persons(rows: pd.DataFrame) -> np.ndarray:
    """Return the texts of each person's strongest reasons over both forecasts, (n_persons, N_REASONS).

    `rows` are as `explain_rows` returns them.
    """
    of_two = (len(rows) // 2, 2 * N_REASONS)
    points = rows[[f"points_{i + 1}" for i in range(N_REASONS)]].to_numpy().reshape(of_two)
    texts = rows[[f"reason_{i + 1}" for i in range(N_REASONS)]].to_numpy(object).reshape(of_two)
    # Of equals, silence comes first.
    order = np.argsort(-np.abs(points), axis=1, kind="stable")[:, :N_REASONS]
    return np.take_along_axis(texts, order, axis=1)


def _explain(features: pd.DataFrame, next_stages: pd.DataFrame, next_stage: Model, churn: Model) -> pd.DataFrame:
    silence = np.full(len(features), SILENT)
    of_silence, silent = _told(features, churn, silence)
    likeliest, possible = likeliest_next(features["stage"], next_stages, next_stage[0].classes_)
    _, follows = _told(features, next_stage, likeliest, possible, expit(-of_silence.log_odds))
    groups = [f"by_{name}" for name in WORDS if f"by_{name}" in {*silent, *follows}]
    both = {"churn": (silence, silent), "next_stage": (likeliest, follows)}
    told = [
        pd.DataFrame(
            {
                "person_id": features["person_id"].to_numpy(),
                "target": target,
                "outcome": outcome,
                **{column: why[column] for column in why if column not in groups},
                **{group: why.get(group, 0.0) for group in groups},
            }
        )
        for target, (outcome, why) in both.items()
    ]
    return pd.concat(told).sort_index(kind="stable")


def _told(
    features: pd.DataFrame,
    of: Model,
    outcome: np.ndarray,
    possible: np.ndarray | None = None,
    share: np.ndarray | float = 1.0,
) -> tuple[Explanation, dict[str, Any]]:
    """Explain an outcome; return the columns of `schema.REASONS` that say so as well."""
    model, card = of
    x = inputs_of(card, features)
    known = {f.column: f for f in features_of(card)}
    explained = explain(model, x, outcome, possible)
    told = [known[c] for c in model.feature_names_in_.tolist()]
    reasons = strongest(explained, x, told, outcome, share, N_REASONS)
    return explained, {
        "log_odds": explained.log_odds,
        "base": explained.base,
        **{f"reason_{i + 1}": pd.array(reasons.texts[:, i], "str") for i in range(N_REASONS)},
        **{f"points_{i + 1}": reasons.points[:, i] for i in range(N_REASONS)},
        **{f"by_{name}": moved for name, moved in reasons.moved.items()},
    }

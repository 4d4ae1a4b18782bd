"""Silence and next stage, joined into one coherent forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark.feature_groups import slugs
from waymark.targets import END, STAY

SILENT = "silent"


def combine(
    stage: pd.Series, p_silent: np.ndarray, p_next: np.ndarray, classes: list[str], horizon_days: int
) -> pd.DataFrame:
    """Join the probability of silence and those of the next stage given activity.

    Parameters
    ----------
    stage
        The present stage of each person.
    p_silent
        Probability of silence within the horizon, (n_persons,).
    p_next
        Probability of each of `classes` given activity, (n_persons, n_classes): stages, `stay` and perhaps `end`.
        The end of a case is a silence that lasts, and the present stage cannot come next, so both are left out and the
        others scaled up.
    classes
        What the columns of `p_next` stand for.
    horizon_days
        Names the column of silence.

    Returns
    -------
    pandas.DataFrame
        One row a person: `p_silent_<h>d`, `p_stay` and `p_next_<stage>`, which sum to 1, and `next_stage`, the
        likeliest of them.
    """
    given = np.array(p_next, float)
    columns = {c: i for i, c in enumerate(classes)}
    if END in columns:
        given[:, columns[END]] = 0.0
    present = stage.map(columns).to_numpy(float)
    there = ~np.isnan(present)
    given[np.flatnonzero(there), present[there].astype(int)] = 0.0
    total = given.sum(axis=1, keepdims=True)
    stays = np.array([c == STAY for c in classes], float)
    # Nothing left to go to: whoever is active stays.
    fallback = stays if stays.any() else (np.array(classes) != END) / max(len(classes), 1)
    given = np.where(total > 1e-12, given / np.where(total > 1e-12, total, 1.0), fallback)
    joint = given * (1.0 - p_silent)[:, None]
    stages = sorted(c for c in classes if c not in (STAY, END))
    out = {f"p_silent_{horizon_days}d": p_silent}
    out["p_stay"] = joint[:, columns[STAY]] if STAY in columns else np.zeros(len(stage))
    out |= {f"p_next_{slug}": joint[:, columns[s]] for s, slug in zip(stages, slugs(stages), strict=True)}
    likeliest = np.argmax(np.column_stack(list(out.values())), axis=1) if len(stage) else np.zeros(0, int)
    next_stage = np.array([SILENT, STAY, *stages], object)[likeliest]
    return pd.DataFrame({**out, "next_stage": pd.array(next_stage, "str")}, index=stage.index)

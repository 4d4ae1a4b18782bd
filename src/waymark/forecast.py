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
    stages = sorted(c for c in classes if c not in (STAY, END))
    given = np.zeros((len(stage), 1 + len(stages)))
    for i, outcome in enumerate((STAY, *stages)):
        if outcome in classes:
            given[:, i] = p_next[:, classes.index(outcome)]
    present = stage.map({s: i for i, s in enumerate(stages, start=1)}).to_numpy(float)
    there = np.flatnonzero(~np.isnan(present))
    given[there, present[there].astype(int)] = 0.0
    total = given.sum(axis=1)
    given[total <= 1e-12] = np.eye(1, 1 + len(stages))  # nothing left to go to: whoever is active stays
    given /= np.where(total <= 1e-12, 1.0, total)[:, None]
    joint = given * (1.0 - p_silent)[:, None]
    names = ["p_stay", *(f"p_next_{slug}" for slug in slugs(stages))]
    out = {f"p_silent_{horizon_days}d": p_silent, **dict(zip(names, joint.T, strict=True))}
    likeliest = np.column_stack(list(out.values())).argmax(axis=1)
    next_stage = np.array([SILENT, STAY, *stages], object)[likeliest]
    return pd.DataFrame({**out, "next_stage": pd.array(next_stage, "str")}, index=stage.index)

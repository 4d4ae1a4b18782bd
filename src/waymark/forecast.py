"""Silence and next stage, joined into one coherent forecast."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from waymark.catalogue import slugs
from waymark.targets import END, STAY

SILENT = "silent"


def next_columns(classes: Iterable[str]) -> dict[str, str]:
    """Return the columns of a forecast that hold the probability of a next stage, each with its stage."""
    stages = sorted(set(classes) - {STAY, END})
    return dict(zip((f"p_next_{slug}" for slug in slugs(stages)), stages, strict=True))


def if_active(stage: pd.Series, p_next: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return what a model of the next stage says of the outcomes that a forecast can name.

    The end of a case is a silence that lasts, and the present stage cannot come next, so both are left out and the
    others scaled up.

    Parameters
    ----------
    stage
        The present stage of each person.
    p_next
        Probability of each of `classes` given activity, (n_persons, n_classes): stages, `stay` and perhaps `end`.
    classes
        What the columns of `p_next` stand for.

    Returns
    -------
    pandas.DataFrame
        One row a person: the probability of `stay` and of each stage, by name, given activity. Each row sums to 1.
    """
    outcomes = [STAY, *next_columns(classes).values()]
    given = np.zeros((len(stage), len(outcomes)))
    for i, outcome in enumerate(outcomes):
        if outcome in classes:
            given[:, i] = p_next[:, classes.index(outcome)]
    present = stage.map({s: i for i, s in enumerate(outcomes) if i}).to_numpy(float)
    there = np.flatnonzero(~np.isnan(present))
    given[there, present[there].astype(int)] = 0.0
    total = given.sum(axis=1)
    given[total <= 1e-12] = np.eye(1, len(outcomes))  # nothing left to go to: whoever is active stays
    given /= np.where(total <= 1e-12, 1.0, total)[:, None]
    return pd.DataFrame(given, index=stage.index, columns=outcomes)


def combine(
    stage: pd.Series, p_silent: np.ndarray, p_next: np.ndarray, classes: list[str], horizon_days: int
) -> pd.DataFrame:
    """Join the probability of silence and those of the next stage given activity.

    Parameters
    ----------
    stage, p_next, classes
        As `if_active` takes them.
    p_silent
        Probability of silence within the horizon, (n_persons,).
    horizon_days
        Names the column of silence.

    Returns
    -------
    pandas.DataFrame
        One row a person: `p_silent_<h>d`, `p_stay` and the `next_columns`, which sum to 1, and `next_stage`, the
        likeliest of them.
    """
    given = if_active(stage, p_next, classes)
    joint = given.to_numpy() * (1.0 - p_silent)[:, None]
    names = ["p_stay", *next_columns(classes)]
    out = {f"p_silent_{horizon_days}d": p_silent, **dict(zip(names, joint.T, strict=True))}
    likeliest = np.column_stack(list(out.values())).argmax(axis=1)
    next_stage = np.array([SILENT, *given], object)[likeliest]
    return pd.DataFrame({**out, "next_stage": pd.array(next_stage, "str")}, index=stage.index)

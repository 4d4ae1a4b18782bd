"""Silence and next stage, joined into one coherent forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from waymark.catalogue import slugs
from waymark.errors import InputError
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


def likeliest_next(stage: pd.Series, given: pd.DataFrame, classes: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is likeliest to come next given activity, and which classes it shares that probability with.

    Parameters
    ----------
    stage, classes
        As `if_active` takes them.
    given
        What it returned.

    Returns
    -------
    outcome : (n_persons,) object
    is_possible : (n_persons, n_classes) bool
        None where one outcome has all of the probability.
    """
    classes = np.array(list(classes), object)
    is_possible = (classes != END) & (classes != stage.to_numpy(object)[:, None])
    outcome = np.array(given.columns, object)[given.to_numpy().argmax(axis=1)]
    return outcome, is_possible & (given.max(axis=1) < 1).to_numpy()[:, None]


def combine(
    stage: pd.Series, silent: Mapping[int, np.ndarray], p_next: np.ndarray, classes: list[str], horizon_days: int
) -> pd.DataFrame:
    """Join the probabilities of silence and those of the next stage given activity.

    Parameters
    ----------
    stage, p_next, classes
        As `if_active` takes them.
    silent
        Probability of silence for so many days, (n_persons,) each, by days.
    horizon_days
        The judged one of them: within it are the stages reached.

    Returns
    -------
    pandas.DataFrame
        One row a person: `p_silent_<days>d` of each horizon; `p_stay` and the `next_columns`, which sum to 1 with the
        silence of the judged horizon; and `next_stage`, the likeliest of these. `at_horizon` splits the others.
    """
    given = if_active(stage, p_next, classes)
    p_silent = silent[horizon_days]
    joint = given.to_numpy() * (1.0 - p_silent)[:, None]
    names = ["p_stay", *next_columns(classes)]
    likeliest = np.column_stack([p_silent, joint]).argmax(axis=1)
    next_stage = np.array([SILENT, *given], object)[likeliest]
    columns = {silent_column(days): silent[days] for days in sorted(silent)} | dict(zip(names, joint.T, strict=True))
    return pd.DataFrame({**columns, "next_stage": pd.array(next_stage, "str")}, index=stage.index)


def silent_column(days: int) -> str:
    """Return the column of silence for so many days."""
    return f"p_silent_{days}d"


def at_horizon(predictions: pd.DataFrame, days: int) -> pd.DataFrame:
    """Split each forecast at another of its horizons.

    What a person does first when active is taken to be the same whenever that is, as far as the forecast knows.

    Parameters
    ----------
    predictions
        Rows of `schema.PREDICTIONS`, or as `combine` returns them.
    days
        One of the horizons that have a column.

    Returns
    -------
    pandas.DataFrame
        `p_silent_<days>d`, `p_stay` and the `p_next_` columns: each row sums to 1.
    """
    column = silent_column(days)
    if column not in predictions:
        known = ", ".join(c for c in predictions if c.startswith("p_silent_"))
        raise InputError(f"the forecast has no {column}; there are {known}: see targets.horizons_days")
    active = predictions[["p_stay", *(c for c in predictions if c.startswith("p_next_"))]]
    total = active.sum(axis=1)
    given = active.div(total.where(total > 0), axis=0)
    given = given.fillna({"p_stay": 1.0}).fillna(0.0)  # nobody knows what whoever is sure to be silent would do
    out = given.mul(1.0 - predictions[column], axis=0)
    out.insert(0, column, predictions[column])
    return out

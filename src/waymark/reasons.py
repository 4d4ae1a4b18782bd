"""Why a model forecast what it did: contributions of features, and their words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import lightgbm
import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark.catalogue import Feature
from waymark.estimators import Boosting, Logistic
from waymark.hazard import SILENCE, Hazard

_CHUNK = 20_000  # rows explained at a time; bounds memory
_FIRST_PLURAL = re.compile(r"^(\w+?)(ies|s)\b")
_OUTCOMES = {"silent": "silence", "active": "activity", "stay": "staying", "end": "the end"}


def contributions(model: ClassifierMixin, X: pd.DataFrame, class_of_row: Sequence[str]) -> np.ndarray:
    """Say how far each feature moved each row's score for one class, in log-odds.

    Parameters
    ----------
    model
        A fitted model.
    X
        Rows of `f_` columns.
    class_of_row
        The class explained, row by row.

    Returns
    -------
    numpy.ndarray
        (rows, features), the features in the order of `model.feature_names_in_`. A row adds up to the class's score
        less the score of an average case. All zero for models that have no such parts, such as `BackOff`.

    References
    ----------
    Lundberg, Erion, Lee (2018), Consistent individualized feature attribution for tree ensembles, algorithm 2.
    """
    explain = {Boosting: _of_trees, Hazard: _of_hazard, Logistic: _of_line}.get(type(model))
    out = np.zeros((len(X), model.n_features_in_))
    if explain is None:
        return out
    class_of_row = np.asarray(class_of_row, dtype=str)
    for k, name in enumerate(model.classes_):
        rows = np.flatnonzero(class_of_row == name)
        if len(rows):
            out[rows] = explain(model, X.iloc[rows], k)
    return out


def _of_line(model: Logistic, X: pd.DataFrame, k: int) -> np.ndarray:
    coefficients = model.linear_.coef_
    # Two classes share one line: it points to the second.
    line = coefficients[k] if len(coefficients) > 1 else coefficients[0] * (1 if k == 1 else -1)
    adds_to = np.eye(model.n_features_in_)[model.origin]
    return (model.design(X) * line) @ adds_to - (model.means_ * line) @ adds_to


def _of_trees(model: Boosting, X: pd.DataFrame, k: int) -> np.ndarray:
    booster, sign = model.trees_, 1.0
    if len(model.classes_) > 2:
        booster = one_class(booster, k)
    elif k == 0:
        sign = -1.0  # two classes share one score: it points to the second
    x = model.matrix(X)
    parts = [
        booster.predict(x[i : i + _CHUNK], pred_contrib=True, num_threads=model.n_jobs)
        for i in range(0, len(x), _CHUNK)
    ]
    parts = sign * np.concatenate(parts)[:, :-1]
    if model.has_start:
        for column, step in zip(model.start_.feature_names_in_, model.start_steps(X, k), strict=True):
            parts[:, model.feature_names_in_.tolist().index(column)] += step
    return parts


def _of_hazard(model: Hazard, X: pd.DataFrame, k: int) -> np.ndarray:
    """Return how features moved the log-odds of return, or of none, in the period in the middle of the horizon.

    What the silence so far moved counts for the feature that it is at the cut-off; what the period itself moved is
    the same for all, and left out.
    """
    x = model.matrix(X, int(np.searchsorted(model.edges_, model.horizon_days / 2)))
    chunks = [x[i : i + _CHUNK] for i in range(0, len(x), _CHUNK)]
    parts = np.concatenate([model.trees_.predict(c, pred_contrib=True, num_threads=model.n_jobs) for c in chunks])
    of_features = parts[:, :-3] + parts[:, -2:-1] * (model.feature_names_in_ == SILENCE)
    return of_features if k == 0 else -of_features


def one_class(booster: lightgbm.Booster, k: int) -> lightgbm.Booster:
    """Return the trees of class `k` of a multiclass model as a model of one score.

    LightGBM explains all classes or none: for 20 classes that is 20 times the work that one forecast needs.
    """
    n = booster.num_model_per_iteration()
    text = booster.model_to_string()
    head, *trees = re.split(r"^Tree=\d+\n", text.partition("end of trees")[0], flags=re.MULTILINE)
    trees = [f"Tree={i}\n{tree}" for i, tree in enumerate(trees[k::n])]
    head = re.sub(r"^num_class=.*$", "num_class=1", head, flags=re.MULTILINE)
    head = re.sub(r"^num_tree_per_iteration=.*$", "num_tree_per_iteration=1", head, flags=re.MULTILINE)
    head = re.sub(r"^objective=.*$", "objective=regression", head, flags=re.MULTILINE)
    sizes = " ".join(str(len(tree.encode())) for tree in trees)
    head = re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", head, flags=re.MULTILINE)
    return lightgbm.Booster(model_str=f"{head}{''.join(trees)}end of trees\n")


def top_reasons(
    contributions: np.ndarray, X: pd.DataFrame, features: Sequence[Feature], outcomes: Sequence[str], n: int = 3
) -> np.ndarray:
    """Put the features that moved each row most into words.

    Parameters
    ----------
    contributions
        As `contributions` returns them.
    X
        The rows explained.
    features
        What the columns of `contributions` are, in their order.
    outcomes
        The class explained, row by row.

    Returns
    -------
    numpy.ndarray
        (rows, n) texts such as `4 visits in the last 30 days: purchase likelier`, the strongest first. Empty where
        fewer features moved the row.
    """
    out = np.full((len(X), n), "", dtype=object)
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :n]
    moved = np.take_along_axis(contributions, strongest, axis=1)
    words = [_OUTCOMES.get(o, o) for o in outcomes]
    verdict = np.array([[f": {w} less likely", f": {w} likelier"] for w in words], dtype=object)
    for j in np.unique(strongest[moved != 0]):
        rows, ranks = np.nonzero((strongest == j) & (moved != 0))
        facts = _facts(features[j], X[features[j].column].to_numpy()[rows])
        out[rows, ranks] = facts + verdict[rows, (moved[rows, ranks] > 0).astype(int)]
    return out


def _facts(feature: Feature, values: np.ndarray) -> np.ndarray:
    """Return a phrase a value; each distinct value is worded once."""
    distinct, codes = np.unique(values, return_inverse=True)
    return np.array([fact(feature, value) for value in distinct], dtype=object)[codes]


def fact(feature: Feature, value: float) -> str:
    """Say what a feature's value is: `4 visits in the last 30 days`, `the present stage is intent`."""
    value = float(value)
    if np.isnan(value):
        return f"{feature.words} unknown"
    if feature.categories is not None:
        return f"{feature.words} is {feature.categories[int(value)]}"
    if feature.unit == "count":
        return counted(value, feature.words)
    if feature.unit == "days":
        which = feature.words.removeprefix("days ")
        return f"{feature.words} is {span(value)}" if which == feature.words else f"{span(value)} {which}"
    if feature.unit == "cents":
        return f"{feature.words} is {value / 100:.2f}"
    if feature.unit == "share":
        return f"{feature.words} is {100 * value:.0f} %"
    if feature.unit == "ratio":
        return f"{feature.words} is {number(round(value, 2))}"
    if feature.unit == "hours":
        hour, minute = divmod(round(60 * value) % (24 * 60), 60)
        return f"{feature.words} is {hour:02}:{minute:02} UTC"
    return f"{feature.words} is {number(value)}"


def counted(value: float, words: str) -> str:
    """Put a number, to hundredths, before what it counts: `1 visit so far`; `words` begin with the plural."""
    n = number(round(value, 2))
    return f"{n} {_FIRST_PLURAL.sub(_singular, words) if n == '1' else words}"


def _singular(plural: re.Match) -> str:
    return plural[1] + ("y" if plural[2] == "ies" else "")


def span(days: float) -> str:
    """Write a time span in the largest unit of which there is one: `2.5 days`, `1 hour`, `27 seconds`."""
    for unit, per_day in (("days", 1), ("hours", 24), ("minutes", 24 * 60)):
        if float(number(days * per_day)) >= 1:
            return counted(days * per_day, unit)
    return counted(days * 24 * 60 * 60, "seconds")


def number(value: float) -> str:
    """Write a number to three digits, and whole ones without a point."""
    if value.is_integer() or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"

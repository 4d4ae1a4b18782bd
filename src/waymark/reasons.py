"""Reasons of a forecast: the few groups of features that moved it most, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from waymark.catalogue import Feature
from waymark.explanations import Explanation
from waymark.reason_groups import group_of, in_groups
from waymark.wording import facts

_OUTCOMES = {"silent": "silence", "active": "activity", "stay": "staying", "end": "the end"}


class Reasons(NamedTuple):
    """The strongest reasons of some rows, (n, n_reasons) each and the strongest first, and what all groups moved."""

    texts: np.ndarray  # object, empty where fewer groups moved the row
    groups: np.ndarray  # object: the reason group of each, empty likewise
    points: np.ndarray  # by how many percentage points each moved the forecast
    moved: dict[str, np.ndarray]  # of every reason group: by how much it moved the log-odds of each row, (n,)


def strongest(
    explained: Explanation,
    X: pd.DataFrame,
    features: Sequence[Feature],
    outcomes: Sequence[str],
    share: np.ndarray | float = 1.0,
    n: int = 3,
) -> Reasons:
    """Put the groups that moved each row most into words: `4 visits so far: purchase likelier (+12 points)`.

    The points are those of probability by which the forecast differs from what it were without the group. A group is
    told by its member that moved the forecast most the group's way.

    Parameters
    ----------
    explained
        As `explain` returns it.
    X
        The rows explained.
    features
        What the columns of `parts` are, in their order.
    outcomes
        The class explained, row by row.
    share
        The probability that the outcomes of each row share; what is told is this times their own.
    """
    names, sums = in_groups(explained.parts, features)
    log_odds = explained.log_odds[:, None]
    all_points = 100 * np.reshape(share, (-1, 1)) * (expit(log_odds) - expit(log_odds - sums))
    chosen = np.argsort(-np.abs(all_points), axis=1, kind="stable")[:, :n]
    points = np.zeros((len(X), n))
    points[:, : chosen.shape[1]] = np.take_along_axis(all_points, chosen, axis=1)
    endings = _endings(points, outcomes)
    texts, groups = (np.full((len(X), n), "", dtype=object) for _ in range(2))
    member_of = np.array([names.index(group_of(f)) for f in features], int)
    for g, name in enumerate(names):
        rows, ranks = np.nonzero((chosen == g) & (points[:, : chosen.shape[1]] != 0))
        members = np.flatnonzero(member_of == g)
        its_way = explained.parts[np.ix_(rows, members)] * np.sign(points[rows, ranks])[:, None]
        told = members[its_way.argmax(axis=1)] if len(rows) else members[:0]
        groups[rows, ranks] = name
        for j in np.unique(told):
            of_j = told == j
            values = facts(features[j], X[features[j].column].to_numpy()[rows[of_j]])
            texts[rows[of_j], ranks[of_j]] = values + endings[rows[of_j], ranks[of_j]]
    return Reasons(texts, groups, points, dict(zip(names, sums.T, strict=True)))


def _endings(points: np.ndarray, outcomes: Sequence[str]) -> np.ndarray:
    """Return which way, and how far, each reason moved the forecast, in words."""
    words = np.array([_OUTCOMES.get(o, o) for o in outcomes], dtype=object)[:, None]
    verdict = np.where(points > 0, " likelier (", " less likely (").astype(object)
    distinct, codes = np.unique(np.round(points, 1), return_inverse=True)
    written = np.array([_in_points(value) for value in distinct], dtype=object)[codes].reshape(points.shape)
    return ": " + words + verdict + written + ")"


def _in_points(points: float) -> str:
    """Write percentage points: whole ones from 1 on.

    Examples
    --------
    >>> _in_points(12.3), _in_points(-0.4), _in_points(1.2), _in_points(0.0)
    ('+12 points', '-0.4 points', '+1 point', 'less than 0.1 points')
    """
    if abs(points) < 0.1:
        return "less than 0.1 points"
    written = f"{points:+.0f}" if abs(points) >= 1 else f"{points:+.1f}"
    return f"{written} {'point' if written in ('+1', '-1') else 'points'}"

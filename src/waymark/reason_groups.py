"""The table of reason groups: what people would name together, and how it is called.

A forecast is explained by few groups, not by hundreds of features, many of which say nearly the same. Each feature
belongs to one group: the first of `REASON_GROUPS` that names its group of features and the beginning of its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from waymark.catalogue import Feature


@dataclass(frozen=True)
class ReasonGroup:
    """Features that are told of together."""

    name: str  # of a column of contributions, `by_<name>`
    words: str  # for people
    holds: tuple[tuple[str, str], ...]  # (group of features, how the feature's name begins)


REASON_GROUPS = (
    ReasonGroup(
        "known_for", "for how long the person is known", (("recency", "tenure"), ("active_days", "days_since_first"))
    ),
    ReasonGroup("moment", "when the forecast is made", (("calendar", "cutoff"),)),
    ReasonGroup(
        "recency", "how long ago the last activities were", (("recency", ""), ("active_days", "days_since_last"))
    ),
    ReasonGroup(
        "frequency",
        "how often, and how often lately",
        (("counts", ""), ("decays", ""), ("sessions", ""), ("active_days", "")),
    ),
    ReasonGroup("value", "how much money", (("values", ""),)),
    ReasonGroup("rhythm", "the person's own rhythm", (("gaps", ""), ("last_k", "event_gap"))),
    ReasonGroup("last", "what was done last", (("last_k", ""),)),
    ReasonGroup("journey", "where on the journey, and the way there", (("stage", ""), ("transitions", ""))),
    ReasonGroup("channel", "on which channels", (("channels", ""),)),
    ReasonGroup("habits", "on which days and at what time of day", (("calendar", ""),)),
    ReasonGroup("attributes", "what else is told of the events", (("attributes", ""),)),
    ReasonGroup("custom", "features of your own", (("custom", ""),)),
    ReasonGroup("other", "anything else", ()),
)
WORDS = {group.name: group.words for group in REASON_GROUPS}


def group_of(feature: Feature) -> str:
    """Return the name of the reason group that a feature belongs to.

    Examples
    --------
    >>> group_of(Feature("n_visits_30d", "counts", "visits in the last 30 days", "count"))
    'frequency'
    >>> group_of(Feature("event_gap_2_days", "last_k", "days between the latest event and the next", "days"))
    'rhythm'
    """
    for group in REASON_GROUPS:
        if any(feature.group == of and feature.name.startswith(begins) for of, begins in group.holds):
            return group.name
    return "other"


def in_groups(parts: np.ndarray, features: Sequence[Feature]) -> tuple[list[str], np.ndarray]:
    """Sum what features moved by reason group.

    Parameters
    ----------
    parts
        (n, n_features).
    features
        What the columns of `parts` are.

    Returns
    -------
    names : list of str
        The groups that some feature belongs to, in the order of `REASON_GROUPS`.
    sums : (n, n_groups)
    """
    of = [group_of(f) for f in features]
    names = [name for name in WORDS if name in of]
    adds_to = np.array([[name == g for name in names] for g in of], float).reshape(len(of), len(names))
    return names, parts @ adds_to

"""How good they are who forecast: the champions, each judged on test rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from waymark.champions import Reign
from waymark.promotion import CHAMPION

Judge = Callable[[pd.DataFrame], Mapping[str, Any]]  # rows of `schema.TARGETS` -> what `evaluate` finds of the champion


def judge_champion(
    reign: Reign,
    decided: Mapping[str, Any],
    candidate: str,
    evaluated: Mapping[str, Any],
    earlier: Mapping[str, Any],
    targets: pd.DataFrame,
    judge: Judge,
) -> dict[str, Any]:
    """Return what is known of the champion of one target, in the form of `evaluation.evaluate`.

    Parameters
    ----------
    reign
        Who forecasts.
    decided
        What `promotion.decide` found tonight. It says from which night on the test rows are new to the champion.
    candidate, evaluated
        The version of the model that was trained last, and what the step evaluate found of it: where it is champion,
        that is the answer.
    earlier
        What this returned last; it stays the answer while too few test rows are new to the same champion.
    targets
        Rows of `schema.TARGETS`.
    judge
        Judges the champion on the test rows of what it is given.

    Returns
    -------
    dict
        `champion`, its reign, and all that `evaluate` says of a target; or instead `missing`: why it is not judged.
    """
    who = {"champion": reign.told()}
    if reign.version == candidate:
        return who | dict(evaluated)
    if decided["champion"] != CHAMPION or CHAMPION not in decided["absent"]:
        is_new = targets["cutoff_time"] >= pd.Timestamp(decided["first_cutoff"])
        return who | dict(judge(targets[is_new | (targets["fold"] != "test")]))
    if earlier.get("champion", {}).get("version") == reign.version:
        return dict(earlier)
    return who | {"missing": decided["absent"][CHAMPION]}

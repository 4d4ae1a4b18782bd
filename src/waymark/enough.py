"""Whether there is enough to learn from and to judge by; if not, what is missing, in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark.errors import InputError

TO_LEARN, TO_JUDGE, PERSONS, OF_A_CLASS = 50, 20, 10, 5
_ADVICE = {
    "next_stage": "deliver more history, or see whether the rules in conf/journey/ name the event types there are",
    "churn": "deliver more history, or change targets.horizon_days (targets.horizons_days may keep longer ones)",
}


def not_modelled(targets: pd.DataFrame, end_of_case: str) -> dict[str, str]:
    """Return why targets cannot be modelled, by target; those that can be are left out.

    Parameters
    ----------
    targets
        Rows of `schema.TARGETS`.
    end_of_case
        `scored` judges rows whose truth is the end of a case; else they only train.
    """
    labels = {
        "next_stage": targets["next_stage"],
        "churn": targets["is_silent"].map({True: "silent", False: "active"}),
    }
    is_end = targets["next_stage"] == "end"
    unjudged = {"next_stage": is_end & (end_of_case != "scored"), "churn": is_end & False}
    found = {}
    for target, label in labels.items():
        is_known = targets[f"{target}_status"] == "mature"
        train = is_known & (targets["fold"] == "train")
        test = is_known & (targets["fold"] == "test") & ~unjudged[target]
        sides = (label[train], label[test], targets.loc[train, "person_id"], targets.loc[test, "person_id"])
        if missing := shortage(*(side.to_numpy(object) for side in sides)):
            found[target] = f"{missing}; {_ADVICE[target]}"
    return found


def check(targets: pd.DataFrame, end_of_case: str) -> list[str]:
    """Say which targets cannot be modelled, a sentence each; raise `InputError` where none can."""
    said = [f"{target} cannot be modelled: {why}" for target, why in not_modelled(targets, end_of_case).items()]
    if len(said) == len(_ADVICE):
        raise InputError(". ".join(said))
    return said


def shortage(train: np.ndarray, test: np.ndarray, train_persons: np.ndarray, test_persons: np.ndarray) -> str | None:
    """Say why nothing can be modelled, or return None where it can.

    Parameters
    ----------
    train, test
        The classes of the rows to learn from and of those to judge by.
    train_persons, test_persons
        Whose they are.
    """
    sides = (("to learn from", TO_LEARN, train, train_persons), ("to judge by", TO_JUDGE, test, test_persons))
    for what, least, y, persons in sides:
        if len(y) < least:
            return f"{len(y)} rows {what}, and at least {least} are needed"
        if (n := len(np.unique(persons.astype(str)))) < PERSONS:
            return f"the rows {what} are of {n} persons, and at least {PERSONS} are needed"
    names, counts = np.unique(train, return_counts=True)
    if len(names) < 2:
        return f"all {len(train)} rows to learn from are {names[0]!r}"
    if (n := len(train) - counts.max()) < OF_A_CLASS:
        rest = f"{n} of {len(train)} rows to learn from are anything but {names[counts.argmax()]!r}"
        return f"{rest}, and at least {OF_A_CLASS} are needed"
    return None

"""Whether there is enough to learn from and to judge by; if not, what is missing, in one sentence."""

from __future__ import annotations

import numpy as np

TO_LEARN, TO_JUDGE, PERSONS, OF_A_CLASS = 50, 20, 10, 5


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

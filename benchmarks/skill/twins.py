"""A bound for whatever looks at the sequence of activities alone, with any number of cases to learn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark.inputs import labels


def twins(rows: pd.DataFrame, test: pd.DataFrame, ours: ClassifierMixin) -> dict[str, float]:
    """Bound the accuracy of whatever looks at the sequence of stages alone, by test cases that share it so far.

    Two cases with the same sequence are each other's nearest neighbours, at no distance: how often what comes next in
    one is what comes next in the other bounds how often anybody can tell.

    Parameters
    ----------
    rows
        Every prediction point of the log, from which sequences are read.
    test
        Those of them that test, with `label`.
    ours
        The model that is set beside the bound.

    Returns
    -------
    dict
        `share` of test rows whose sequence another test case has; `alike`, how often two such cases go on alike;
        `at_most`, the bound; and the `accuracy` of ours on the same rows.

    References
    ----------
    Cover, Hart (1967), Nearest neighbor pattern classification, IEEE Transactions on Information Theory 13(1), theorem.
    """
    test = test.merge(sequences(rows), on=["person_id", "prefix_length"], validate="one_to_one")
    group, code = pd.factorize(test["sequence"])[0], pd.factorize(test["label"])[0]
    n, n_classes = np.bincount(group), code.max() + 1
    counts = np.bincount(group * n_classes + code, minlength=len(n) * n_classes).reshape(-1, n_classes)
    has_twin = n[group] > 1
    pairs = (counts * (counts - 1)).sum(axis=1) / np.maximum(n * (n - 1), 1)
    alike = float(pairs[group][has_twin].mean())
    test = test[has_twin]
    return {
        "share": float(has_twin.mean()),
        "alike": alike,
        "at_most": at_most(alike, n_classes),
        "accuracy": float((ours.predict(test) == labels(test["label"])).mean()),
    }


def at_most(alike: float, n_classes: int) -> float:
    """Return the best accuracy where two nearest neighbours are of one class so often.

    With error e of the best and K classes, neighbours differ at most 2 e - K / (K - 1) e^2 of the time.
    """
    most = (n_classes - 1) / n_classes
    return 1 - most * (1 - np.sqrt(max(0.0, 1 - (1 - alike) / most)))


def sequences(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a hash of the stages so far of each row: `person_id`, `prefix_length`, `sequence`."""
    rows = rows[["person_id", "prefix_length", "stage"]].sort_values(["person_id", "prefix_length"])
    is_first = ~rows["person_id"].duplicated().to_numpy()
    so_far, last = [], 0
    for begins, code in zip(is_first.tolist(), pd.factorize(rows["stage"])[0].tolist(), strict=True):
        last = hash((0 if begins else last, code))
        so_far.append(last)
    return rows.assign(sequence=so_far).drop(columns="stage")

"""What more data would give: our model of churn, learnt from a share of the persons, or of the nights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from skill.judging import test_rows, train
from skill.logs import Points
from waymark import metrics
from waymark.evaluation import aligned, rounded

SHARES = (0.25, 0.5)
CLASSES = ["active", "silent"]


def learning_curve(points: Points) -> list[dict[str, Any]]:
    """Judge the hazard, learnt from some of what it may learn from, on all test rows.

    Returns
    -------
    list
        For each share of persons (drawn by a hash of their names), and of nights (the newest ones): what it is `of`,
        the `share`, the training rows `n`, and `log_loss` and `auc`; at last all of it.
    """
    test = test_rows(points, "churn")
    y = (test["label"] == CLASSES[1]).to_numpy(int)
    out = []
    for of, share, truth in _parts(points.truth):
        model, card = train(replace(points, truth=truth), "churn", "hazard")
        p = aligned(model, test, CLASSES)
        found = {"log_loss": metrics.log_loss(y, p), "auc": metrics.auc(y, p)}
        out.append({"of": of, "share": share, "n": card["n_train_rows"], **found})
    return rounded(out)


def _parts(truth: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    trains = (truth["fold"] == "train").to_numpy(bool)
    draw = pd.util.hash_array(truth["person_id"].to_numpy(object), hash_key="whose are shares") / 2.0**64
    nights = np.sort(truth.loc[trains, "cutoff_time"].unique())
    for share in SHARES:
        yield "persons", share, truth[~trains | (draw < share)]
    for share in SHARES:
        first = nights[int(len(nights) * (1 - share))]
        yield "nights, the newest", share, truth[~trains | (truth["cutoff_time"] >= first).to_numpy(bool)]
    yield "all", 1.0, truth

"""What cannot be modelled is forecast for everybody alike: by the shares of its classes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from waymark import schema
from waymark.baselines import BackOff
from waymark.models import ACTIVE, SILENT, labelled
from waymark.periods import Horizons

STAY = "stay"  # the class of next_stage for who reached no other stage
_CLASSES = {"next_stage": (STAY,), "churn": (ACTIVE, SILENT)}  # that there may be whatever was seen


def train_shares(
    targets: pd.DataFrame, target: str, seed: int, why: str, horizons: Horizons | None = None
) -> tuple[BackOff, dict[str, Any]]:
    """Do as `models.train` does of a target that cannot be modelled.

    The shares are those among the training rows, as if one person more had been of each class to the same part: what
    has not been seen yet is not impossible.

    Parameters
    ----------
    targets
        Rows of `schema.TARGETS`.
    target
        `next_stage` or `churn`.
    seed
        That of the settings; nothing is drawn.
    why
        What is missing, as `enough.not_modelled` says. The card keeps it under `not_modelled`.
    horizons
        Those of silence.
    """
    trains = targets[targets["fold"] == "train"]
    rows = labelled(targets[list(schema.FEATURES.key)], trains, target)
    settings = {"smoothing": 1.0}
    model = BackOff(columns=(), **settings, classes=_CLASSES[target])
    model.fit(rows, rows["label"], groups=rows["person_id"])
    if target == "churn" and horizons is not None:
        model.learn_pace(trains, horizons)
    newest = rows["cutoff_time"].max() if len(rows) else targets["cutoff_time"].min()
    return model, {
        "target": target,
        "name": "most_frequent",
        "settings": settings,
        "seed": seed,
        "classes": model.classes_.tolist(),
        "columns": [],
        "catalogue": [],
        "n_train_rows": len(rows),
        "n_train_persons": int(rows["person_id"].nunique()),
        "trained_until": newest.isoformat(),
        "not_modelled": why,
    }

"""All models on the same training rows and the same test rows, compared by bootstrap over persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from skill.logs import Points
from waymark import metrics, models
from waymark.comparison import Comparison
from waymark.evaluation import aligned, rounded
from waymark.inputs import labels
from waymark.models import END

OTHER_FAMILIES = {"churn": ("lightgbm", "hazard"), "next_stage": ()}


def judge(points: Points, target: str) -> dict[str, Any]:
    """Train the configured model, other families and the baselines, and say how they forecast the test rows."""
    settings = points.settings
    chosen = settings.model.of(target)
    test = test_rows(points, target)
    names = dict.fromkeys([chosen.name, *OTHER_FAMILIES[target], *settings.evaluate.baselines[target]])
    trained = {name: train(points, target, name)[0] for name in names}
    known = np.unique(np.concatenate([m.classes_ for m in trained.values()])).tolist()
    classes = sorted({*known, *labels(test["label"]).tolist()})
    predictions = with_mean({name: aligned(model, test, classes) for name, model in trained.items()})
    y = np.searchsorted(classes, labels(test["label"]))
    n_train = int((points.truth["fold"] == "train").sum())
    return compare(target, y, predictions, test["person_id"], chosen.name, settings.evaluate.baselines[target], n_train)


def with_mean(predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add the mean, in log-odds, of the hazard and BG/NBD: a candidate, shown and not shipped."""
    if not {"hazard", "bg_nbd"} <= set(predictions):
        return dict(predictions)
    both = np.mean([logit(predictions[name][:, 1].clip(1e-6, 1 - 1e-6)) for name in ("hazard", "bg_nbd")], axis=0)
    return {**predictions, "hazard_with_bg_nbd": np.column_stack([expit(-both), expit(both)])}


def train(points: Points, target: str, name: str) -> tuple[Any, dict[str, Any]]:
    """Train one model, with the configured settings if it is the configured one."""
    cfg = points.settings
    chosen = cfg.model.of(target)
    of_model = chosen.settings if name == chosen.name else {}
    if name == "lightgbm" and target == "churn" and cfg.model.name == name:
        of_model = cfg.model.settings
    what = (points.rows, points.truth, points.catalogue, target, name, of_model)
    return models.train(*what, cfg.features.groups, cfg.seed, horizons=points.horizons)


def test_rows(points: Points, target: str) -> pd.DataFrame:
    """Return the mature test rows; those that end are left out where the end is not scored."""
    rows = models.labelled(points.rows, points.truth[points.truth["fold"] == "test"], target)
    is_scored = target == "churn" or points.settings.targets.end_of_case == "scored"
    return rows if is_scored else rows[rows["label"] != END]


def compare(
    target: str,
    y: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    persons: Sequence,
    ours: str,
    baselines: Sequence[str],
    n_train: int,
) -> dict[str, Any]:
    """Return the metrics of every model, and the differences of ours to the best baseline with their intervals."""
    judges = metrics.metrics_for(target)
    found = Comparison(y, predictions, persons, judges, n_bootstrap=400, coverage=0.95, seed=7)
    best = found.best([b for b in baselines if b != ours])
    shown = ("auc" if target == "churn" else "accuracy", "log_loss", "ece")
    return rounded(
        {
            "n_train": n_train,
            "n_test": len(y),
            "ours": ours,
            "best_baseline": best,
            "models": {name: {k: found.values[name][k] for k in shown} for name in predictions},
            "ece_noise": {name: metrics.calibration_noise(p, 10, 7) for name, p in predictions.items()},
            "interval": {k: v for k, v in found.of(ours).items() if k in shown},
            "difference": {k: v for k, v in found.between(ours, best).items() if k in shown},
        }
    )

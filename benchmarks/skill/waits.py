"""Days to the next event: mean absolute error, for which medians are right and means are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor, early_stopping

from skill.judging import train
from skill.logs import Points, read
from waymark.catalogue import in_groups
from waymark.evaluation import rounded
from waymark.metrics import interval

LONGEST = 3650  # days: no wait of these logs is longer, so that all are watched to their end
N_BOOTSTRAP = 400


def judge(logs: Path, source: str) -> dict[str, Any]:
    """Train trees on the absolute error, and set them beside the median of the last activity."""
    points = read(source, logs / "tax2017", targets={"horizons_days": [7, 30, 90, LONGEST]})
    rows = points.rows.merge(
        points.truth[["person_id", "cutoff_time", "prefix_length", "fold", "return_days"]],
        on=["person_id", "cutoff_time", "prefix_length"],
        validate="one_to_one",
    ).dropna(subset="return_days")
    fit, test = rows[rows["fold"] == "train"], rows[rows["fold"] == "test"]
    y = test["return_days"].to_numpy(float)
    by_stage = fit.groupby("stage")["return_days"].median()
    hazard, _ = train(points.at([7, 30, 90]), "churn", "hazard")
    waits = {
        "lightgbm_l1": _trees(points, fit).predict(_matrix(points, test)).clip(0),
        "hazard_median": hazard.curve(test).return_days([0.5])[:, 0],
        "median_by_activity": by_stage.reindex(test["stage"]).fillna(fit["return_days"].median()).to_numpy(),
        "median": np.full(len(test), fit["return_days"].median()),
    }
    errors = {name: np.abs(wait - y) for name, wait in waits.items()}
    ours, best = "lightgbm_l1", "median_by_activity"
    return rounded(
        {
            "n_train": len(fit),
            "n_test": len(test),
            "ours": ours,
            "best_baseline": best,
            "models": {name: {"mae": float(e.mean())} for name, e in errors.items()},
            "difference": {"mae": _difference(errors[ours] - errors[best], test["person_id"])},
        }
    )


def _columns(points: Points) -> list[str]:
    return [f.column for f in in_groups(points.catalogue, points.settings.features.groups)]


def _matrix(points: Points, rows: pd.DataFrame) -> np.ndarray:
    return rows[_columns(points)].to_numpy(np.float32)


def _trees(points: Points, fit: pd.DataFrame) -> LGBMRegressor:
    """Grow trees for as many rounds as a fifth of the cases, held out of training, bear; then on all."""
    persons = fit["person_id"].unique()
    out = np.random.default_rng(points.settings.seed).permutation(persons)[: len(persons) // 5]
    is_out = fit["person_id"].isin(out).to_numpy()
    categorical = [
        i
        for i, f in enumerate(in_groups(points.catalogue, points.settings.features.groups))
        if f.categories is not None
    ]
    fixed = {"objective": "l1", "num_leaves": 15, "min_child_samples": 40, "learning_rate": 0.05, "n_jobs": 1}
    fixed |= {"colsample_bytree": 0.5, "deterministic": True, "force_col_wise": True, "verbose": -1, "max_bin": 63}
    x, y = _matrix(points, fit), fit["return_days"].to_numpy(float)
    told = {"eval_X": x[is_out], "eval_y": y[is_out], "callbacks": [early_stopping(20, verbose=False)]}
    search = LGBMRegressor(n_estimators=400, **fixed)
    search.fit(x[~is_out], y[~is_out], categorical_feature=categorical, **told)
    return LGBMRegressor(n_estimators=search.best_iteration_, **fixed).fit(x, y, categorical_feature=categorical)


def _difference(error: np.ndarray, persons: pd.Series) -> dict[str, float]:
    """Return the mean of paired differences with its interval over samples of persons."""
    person = pd.factorize(persons)[0]
    sums, n = np.bincount(person, error), np.bincount(person)
    rng, out = np.random.default_rng(7), np.empty(N_BOOTSTRAP)
    for i in range(N_BOOTSTRAP):
        drawn = rng.integers(0, len(n), len(n))
        out[i] = sums[drawn].sum() / n[drawn].sum()
    low, high = interval(float(error.mean()), out, 0.95)
    return {"value": float(error.mean()), "low": low, "high": high}

"""Days to the next event: mean absolute error, for which medians are right and means are not.

Ours are the trees of the next stage, asked another question: in which of 24 spans of days the next event comes, as many
of training in each. The median of what they say is the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor, early_stopping
from sklearn.base import ClassifierMixin

from skill.ceilings import HELD_OUT, SHARES, drawn, others
from skill.judging import train
from skill.logs import Points, read
from waymark import models
from waymark.catalogue import in_groups
from waymark.evaluation import rounded
from waymark.metrics import interval

LONGEST = 3650  # days: no wait of these logs is longer, so that all are watched to their end
N_SPANS = 24
N_BOOTSTRAP = 400


class Spans:
    """Spans of days with as many waits in each, as far as ties allow."""

    def __init__(self, days: np.ndarray) -> None:
        """Cut the waits of training, (n,)."""
        ends = np.unique(np.quantile(days, np.linspace(0, 1, N_SPANS + 1)[1:-1]))
        self.ends = ends[ends < days.max()]
        code = np.searchsorted(self.ends, days)
        self.names = np.array([f"{k:02d}" for k in range(len(self.ends) + 1)])
        self.days = [np.sort(days[code == k]) for k in range(len(self.names))]

    def of(self, days: np.ndarray) -> np.ndarray:
        """Return the name of the span that each wait ends in."""
        return self.names[np.searchsorted(self.ends, days)]

    def median(self, p: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the median wait of each row: p (n, n_classes), the probability that it ends in each span."""
        until = np.cumsum(p, axis=1)
        k = np.minimum((until < 0.5).sum(axis=1), p.shape[1] - 1)
        own = p[np.arange(len(p)), k]
        part = (0.5 - (until[np.arange(len(p)), k] - own)) / own
        waits = [self.days[int(classes[i])] for i in k]
        return np.array([w[min(int(len(w) * at), len(w) - 1)] for w, at in zip(waits, part, strict=True)])


def judge(logs: Path, source: str) -> dict[str, Any]:
    """Set the medians of ours beside trees on the absolute error, and the median of the last activity."""
    points, fit, test = _rows(logs, source)
    y = test["return_days"].to_numpy(float)
    by_stage = fit.groupby("stage")["return_days"].median()
    hazard, _ = train(points.at([7, 30, 90]), "churn", "hazard")
    waits = {
        "lightgbm": _forecast(*_ours(points, fit), test),
        "lightgbm_l1": _trees(points, fit).predict(_matrix(points, test)).clip(0),
        "hazard_median": hazard.curve(test).return_days([0.5])[:, 0],
        "median_by_activity": by_stage.reindex(test["stage"]).fillna(fit["return_days"].median()).to_numpy(),
        "median": np.full(len(test), fit["return_days"].median()),
    }
    errors = {name: np.abs(wait - y) for name, wait in waits.items()}
    ours, best = "lightgbm", "median_by_activity"
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


def explore(logs: Path, source: str) -> dict[str, Any]:
    """Return the learning curve of ours, and how other families forecast the same rows: see `ceilings`."""
    points, fit, test = _rows(logs, source)
    begun = fit.groupby("person_id")["split_rank"].min()
    is_newest = (begun >= begun.quantile(1 - HELD_OUT)).reindex(fit["person_id"]).to_numpy()
    held_out, others_of = fit[is_newest], fit[~is_newest]
    curve = []
    for share in SHARES:
        few = others_of[drawn(others_of["person_id"], share / (1 - HELD_OUT))]
        model, spans = _ours(points, few)
        errors = {name: _error(model, spans, rows) for name, rows in (("held_out", held_out), ("test", test))}
        curve.append({"share": share, "n_persons": int(few["person_id"].nunique()), **errors})
    _, spans = _ours(points, fit)
    named = fit.assign(label=spans.of(fit["return_days"].to_numpy(float)))
    groups = points.settings.features.groups
    logistic = models.fit(models.make("logistic", {}, points.catalogue, points.settings.seed, groups), named)
    families = {name: _error(model, spans, test) for name, model in others(logistic, named)}
    return rounded({"target": "wait", "curve": curve, "families": families})


def _rows(logs: Path, source: str) -> tuple[Points, pd.DataFrame, pd.DataFrame]:
    """Return the points of a log, and those that train and test with the days until the next event."""
    points = read(source, logs / "tax2017", targets={"horizons_days": [7, 30, 90, LONGEST]})
    rows = points.rows.merge(
        points.truth[["person_id", "cutoff_time", "prefix_length", "fold", "split_rank", "return_days"]],
        on=["person_id", "cutoff_time", "prefix_length"],
        validate="one_to_one",
    ).dropna(subset="return_days")
    return points, rows[rows["fold"] == "train"], rows[rows["fold"] == "test"]


def _ours(points: Points, fit: pd.DataFrame) -> tuple[ClassifierMixin, Spans]:
    cfg = points.settings
    spans = Spans(fit["return_days"].to_numpy(float))
    settings = {**cfg.model.of("next_stage").settings, "start_order": 0}
    model = models.make("lightgbm", settings, points.catalogue, cfg.seed, cfg.features.groups)
    return models.fit(model, fit.assign(label=spans.of(fit["return_days"].to_numpy(float)))), spans


def _forecast(model: ClassifierMixin, spans: Spans, rows: pd.DataFrame) -> np.ndarray:
    return spans.median(model.predict_proba(rows), model.classes_)


def _error(model: ClassifierMixin, spans: Spans, rows: pd.DataFrame) -> dict[str, float]:
    return {"mae": float(np.abs(_forecast(model, spans, rows) - rows["return_days"]).mean())}


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

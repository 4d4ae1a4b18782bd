"""Days to the next event: mean absolute error, for which medians are right and means are not.

Ours are the trees of the next stage, asked another question: in which of 24 spans of days the next event comes, as many
of training in each. The median of what they say is the forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor, early_stopping
from sklearn.base import ClassifierMixin

from skill.judging import train
from skill.logs import Points, read
from waymark import models
from waymark.catalogue import in_groups
from waymark.estimators import Logistic
from waymark.evaluation import aligned, rounded
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

    def draw(self, span: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a wait of each span, (n,)."""
        waits, first = np.concatenate(self.days), np.cumsum([0, *(len(w) for w in self.days)])
        return waits[rng.integers(first[span], first[span + 1])]

    def median(self, p: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the median wait of each row: p (n, n_classes), the probability that it ends in each span."""
        until = np.cumsum(p, axis=1)
        k = np.minimum((until < 0.5).sum(axis=1), p.shape[1] - 1)
        own = p[np.arange(len(p)), k]
        part = (0.5 - (until[np.arange(len(p)), k] - own)) / own
        waits = [self.days[int(classes[i])] for i in k]
        return np.array([w[min(int(len(w) * at), len(w) - 1)] for w, at in zip(waits, part, strict=True)])


class Waits:
    """The days until the next event, asked of the points of a log, as `ceilings.Question` is."""

    target = "wait"

    def __init__(self, logs: Path, source: str) -> None:
        """Read the log."""
        self.points, fit, test = _rows(logs, source)
        self.spans = Spans(fit["return_days"].to_numpy(float))
        self.named, self.test = (
            rows.assign(label=self.spans.of(rows["return_days"].to_numpy(float))) for rows in (fit, test)
        )
        self.after = self.test
        self.begun = fit.groupby("person_id")["split_rank"].min()
        self.persons = pd.Series(self.begun.index)

    def ours(self, persons: Collection[str]) -> ClassifierMixin:
        """Train ours on some persons."""
        return models.fit(self.trees(), self.held_out(persons))

    def held_out(self, persons: Collection[str]) -> pd.DataFrame:
        """Return the rows of some persons."""
        return self.named[self.named["person_id"].isin(persons)]

    def logistic(self) -> Logistic:
        """Return a new logistic model of the features."""
        cfg = self.points.settings
        return models.make("logistic", {}, self.points.catalogue, cfg.seed, cfg.features.groups)

    def trees(self) -> ClassifierMixin:
        """Return new trees with the settings of ours."""
        return _ours(self.points)

    def forecast(self, model: ClassifierMixin, rows: pd.DataFrame, is_ours: bool) -> np.ndarray:
        """Return the probability of each span, (n, n_spans)."""
        return aligned(model, rows, self.spans.names)

    def judge(self, forecast: np.ndarray, rows: pd.DataFrame) -> dict[str, float]:
        """Return the mean absolute error of the medians."""
        return {"mae": float(np.abs(self.spans.median(forecast, self.spans.names) - rows["return_days"]).mean())}

    def draw(self, forecast: np.ndarray, rng: np.random.Generator) -> Callable[[], dict[str, float]]:
        """Draw the span of each row from its probabilities, and a wait from those of training in it."""
        median, until = self.spans.median(forecast, self.spans.names), np.cumsum(forecast, axis=1)[:, :-1]

        def once() -> dict[str, float]:
            span = (rng.random((len(until), 1)) > until).sum(axis=1)
            return {"mae": float(np.abs(self.spans.draw(span, rng) - median).mean())}

        return once


def judge(logs: Path, source: str) -> dict[str, Any]:
    """Set the medians of ours beside trees on the absolute error, and the median of the last activity."""
    asked = Waits(logs, source)
    points, fit, test = asked.points, asked.named, asked.test
    y = test["return_days"].to_numpy(float)
    by_stage = fit.groupby("stage")["return_days"].median()
    hazard, _ = train(points.at([7, 30, 90]), "churn", "hazard")
    waits = {
        "lightgbm": asked.spans.median(asked.forecast(asked.ours(asked.persons), test, True), asked.spans.names),
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


def _rows(logs: Path, source: str) -> tuple[Points, pd.DataFrame, pd.DataFrame]:
    """Return the points of a log, and those that train and test with the days until the next event."""
    points = read(source, logs / "tax2017", targets={"horizons_days": [7, 30, 90, LONGEST]})
    rows = points.rows.merge(
        points.truth[["person_id", "cutoff_time", "prefix_length", "fold", "split_rank", "return_days"]],
        on=["person_id", "cutoff_time", "prefix_length"],
        validate="one_to_one",
    ).dropna(subset="return_days")
    return points, rows[rows["fold"] == "train"], rows[rows["fold"] == "test"]


def _ours(points: Points) -> ClassifierMixin:
    cfg = points.settings
    settings = {**cfg.model.of("next_stage").settings, "start_order": 0}
    return models.make("lightgbm", settings, points.catalogue, cfg.seed, cfg.features.groups)


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

"""CDNOW, 39 weeks after 39 weeks: no label is known at the cut-off, so that only histories can be learnt from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skill.judging import compare, train, with_mean
from skill.logs import Points, describe, settings_of
from waymark import models
from waymark.bgnbd import BGNBD
from waymark.clock import TrainClock
from waymark.store.landing import ingest
from waymark.store.store import Store

CUTOFF, WEEKS = pd.Timestamp("1997-10-01", tz="UTC"), 39
FIRST_NIGHT = pd.Timestamp("1997-01-29", tz="UTC")
WATCHED = 180  # days: the longest horizon that a label is known of before the cut-off; recency is carried on from there


def judge_cdnow(logs: Path) -> dict[str, Any]:
    """Fit BG/NBD and the hazard to what happened before the cut-off, and recency to the same at earlier nights."""
    points = read_cdnow(logs)
    test = models.labelled(points.rows, points.truth[points.truth["fold"] == "test"], "churn")
    p = forecasts(points, test, WEEKS * 7)
    predictions = with_mean({name: np.column_stack([1 - silent, silent]) for name, silent in p.items()})
    y = (test["label"] == "silent").to_numpy(int)
    baselines = ["bg_nbd", "recency"]
    return compare("churn", y, predictions, test["person_id"], "hazard", baselines, len(points.rows) - len(test))


def read_cdnow(logs: Path) -> Points:
    """Describe the customers at every week before the cut-off, and at the cut-off."""
    settings = settings_of(
        "cdnow", logs / "cdnow", targets={"horizon_days": WEEKS * 7, "horizons_days": [30, 90, WATCHED, WEEKS * 7]}
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        ingest(logs / "cdnow", settings.source, settings.identity, root, 1)
        events = Store(root).events()
    nights = tuple(t.as_unit("us") for t in pd.date_range(FIRST_NIGHT, CUTOFF - pd.Timedelta(days=7), freq="7D"))
    end = (CUTOFF + pd.Timedelta(days=WEEKS * 7)).as_unit("us")
    return describe(events, TrainClock(end, nights, (CUTOFF.as_unit("us"),), ""), settings)


def forecasts(points: Points, test: pd.DataFrame, days: int) -> dict[str, np.ndarray]:
    """Return P(no purchase within `days`) by model."""
    hazard, _ = train(points, "churn", "hazard")
    bg_nbd = models.make("bg_nbd", {}, points.catalogue, 7, target="churn", horizons=points.horizons)
    assert isinstance(bg_nbd, BGNBD)
    known = test.assign(label="active")  # labels do not enter; all customers have bought
    by_history = bg_nbd.fit(known, known["label"], known["person_id"]).predict_proba(test)[:, 1]
    recency = test["f_days_since_last_activity"].to_numpy(float)
    return {
        "hazard": hazard.survival(test, [days])[:, 0],
        "bg_nbd": by_history,
        "recency": _by_recency(points, recency, days),
    }


def _by_recency(points: Points, recency: np.ndarray, days: int) -> np.ndarray:
    """Fit the logistic on recency to `WATCHED` days after earlier nights, and carry it on to `days` at one rate."""
    rows = models.labelled_at(points.rows, points.truth[points.truth["fold"] == "train"], WATCHED)
    model = models.fit(models.make("recency", {}, points.catalogue, 7, target="churn"), rows)
    p = model.predict_proba(pd.DataFrame({"f_days_since_last_activity": recency}))[:, 1]
    return p ** (days / WATCHED)

"""What training both targets and scoring cost, on made-up points: CPU seconds and the peak of memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import pandas as pd

from waymark import models
from waymark.catalogue import Feature
from waymark.periods import Horizons

N_FEATURES, N_NIGHTS = 60, 10
STAGES = ("browse", "cart", "order", "help")
HORIZONS = Horizons(30, (7, 30, 90))


def measure(n_points: int) -> dict[str, Any]:
    """Train on `n_points` points of a tenth as many persons, and score as many rows."""
    features, truth, catalogue = make(n_points)
    groups, found = ["made"], {}
    for target, name in (("next_stage", "lightgbm"), ("churn", "hazard")):
        begun = time.process_time()
        settings = {"start_order": 3} if name == "lightgbm" else {}
        model, _ = models.train(features, truth, catalogue, target, name, settings, groups, 7, horizons=HORIZONS)
        found[f"train {target} ({name})"] = time.process_time() - begun
        begun = time.process_time()
        model.predict_proba(features)
        found[f"score {target} ({name})"] = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"n_points": n_points, "n_features": N_FEATURES, "cpu_seconds": found, "peak_mb": peak}


def make(n_points: int) -> tuple[pd.DataFrame, pd.DataFrame, list[Feature]]:
    """Return features, targets and the catalogue: a third of the features tell something, the others nothing."""
    rng = np.random.default_rng(3)
    n_persons = max(n_points // N_NIGHTS, 1)
    x = rng.normal(size=(n_points, N_FEATURES)).astype(np.float32)
    stage = rng.integers(0, len(STAGES), n_points)
    x[:, 0], x[:, 1] = stage, np.exp(1.5 + x[:, 1])
    told = x[:, 2:20] @ rng.normal(0, 0.2, 18)
    names = ["stage", "days_since_last_activity", *(f"made_{k}" for k in range(2, N_FEATURES))]
    categories = [STAGES, *[None] * (N_FEATURES - 1)]
    catalogue = [Feature(n, "made", n, "number", c) for n, c in zip(names, categories, strict=True)]
    night = np.arange(n_points) // n_persons
    keys = pd.DataFrame(
        {
            "person_id": pd.array(np.char.mod("p%08d", np.arange(n_points) % n_persons), "str"),
            "cutoff_time": pd.Timestamp("2025-01-06", tz="UTC").as_unit("us") + pd.to_timedelta(7 * night, "D"),
            "prefix_length": np.int32(1),
        }
    )
    wait = rng.exponential(25 * np.exp(told))
    observed = np.full(n_points, 90.0)
    drawn = (rng.random(n_points) + 0.3 * told).clip(0, 0.999)
    truth = keys.assign(
        next_stage=np.where(wait >= HORIZONS.judged, None, np.array([*STAGES, "stay"])[(drawn * 5).astype(int)]),
        next_stage_status=np.where(wait >= HORIZONS.judged, "not_applicable", "mature"),
        is_silent=wait >= HORIZONS.judged,
        churn_status="mature",
        return_days=np.where(wait < observed, wait, np.nan),
        observed_days=observed,
        fold="train",
        split_rank=night,
    )
    features = pd.concat(
        [keys.assign(stage=np.array(STAGES)[stage]), pd.DataFrame(x, columns=[f.column for f in catalogue])], axis=1
    )
    return features, truth, catalogue

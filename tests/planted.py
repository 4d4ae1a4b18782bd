"""Features and targets in which it is known what moves what."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark.catalogue import Feature

STAGES = ("browse", "cart", "order")
TYPES = ("call", "click", "pay")
CATALOGUE = [
    Feature("days_since_last_activity", "recency", "days since the last activity", "days"),
    Feature("tenure_days", "recency", "days since the first activity", "days"),
    Feature("n_activities_ever", "counts", "activities so far", "count"),
    Feature("value_cents_ever", "values", "value so far", "cents"),
    Feature("stage", "stage", "the present stage", "category", STAGES),
    Feature("previous_stage", "stage", "the stage before", "category", STAGES),
    Feature("last_type_1", "last_k", "the latest event", "category", TYPES),
    Feature("last_type_2", "last_k", "the event 1 before the latest", "category", TYPES),
    Feature("noise", "noise", "noise", "number"),
]
GROUPS = ["recency", "counts", "values", "stage", "last_k", "noise"]


def tables(n_persons: int = 150, n_nights: int = 4, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return features and targets; the last night tests. All are watched for 90 days, and the horizon is 30.

    Long silence goes on, whatever else there is. Of those who come back, who pays goes on to `order`, who clicks to
    `cart`, and who calls stays or ends at the toss of a coin.
    """
    rng = np.random.default_rng(seed)
    n = n_persons * n_nights
    days = rng.exponential(20, n)
    last = rng.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "person_id": [f"p{i % n_persons:04d}" for i in range(n)],
            "cutoff_time": pd.Timestamp("2025-03-03", tz="UTC") + pd.to_timedelta(7 * (np.arange(n) // n_persons), "D"),
            "prefix_length": np.int32(1),
            "stage": np.array(STAGES)[rng.integers(0, 3, n)],
            "stage_since": pd.Timestamp("2025-01-01", tz="UTC"),
            "f_days_since_last_activity": days,
            "f_tenure_days": days + rng.exponential(100, n),
            "f_n_activities_ever": rng.poisson(5, n) + 1,
            "f_value_cents_ever": rng.poisson(3000, n),
            "f_previous_stage": np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 3, n)),
            "f_last_type_1": last,
            "f_last_type_2": np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 3, n)),
            "f_noise": rng.normal(size=n),
        }
    )
    frame.insert(5, "f_stage", frame["stage"].map(STAGES.index))
    numbers = [c for c in frame if c.startswith("f_")]
    frame[numbers] = frame[numbers].astype("float32")
    silent = rng.random(n) < 1 / (1 + np.exp((20 - days) / 4))
    coin = np.where(rng.random(n) < 0.5, "stay", "end")
    following = np.choose(last, [coin, "cart", "order"])
    later = np.random.default_rng(seed + 1)
    back = np.where(silent, 30 + later.exponential(60, n), 30 * later.random(n) ** 2)
    targets = frame[["person_id", "cutoff_time", "prefix_length"]].assign(
        next_stage=np.where(silent, None, following),
        next_stage_status=np.where(silent, "not_applicable", "mature"),
        is_silent=silent,
        churn_status="mature",
        return_days=np.where(back < 90, back, np.nan),
        observed_days=90.0,
        split_rank=np.arange(n) // n_persons,
        fold=np.where(np.arange(n) // n_persons == n_nights - 1, "test", "train"),
    )
    return frame, targets

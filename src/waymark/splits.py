"""Which prediction points train and which test, in the order of time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark.config import SplitConfig
from waymark.points import Points

TRAIN, TEST, EMBARGO = "train", "test", "embargo"


def cutoff_folds(cutoff_time: pd.Series, test_cutoffs: tuple[pd.Timestamp, ...]) -> np.ndarray:
    """Return the fold of each row by its night; the clock laid the nights so that no training label reaches a test."""
    return np.where(cutoff_time.isin(list(test_cutoffs)), TEST, TRAIN).astype(object)


def case_folds(points: Points, label_time: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Return the fold of each point by its case.

    Cases are ordered by their first event, or by their first sequence number; the first `train_fraction` of them train.
    Left out are test points with fewer events than `min_prefix` and, with `embargo`, training points whose label
    (`label_time`, int64 microseconds) was not known when the first test case began.
    """
    starts = points.grouped.starts[:-1]
    begun = points.grouped.time[starts]
    order = begun
    if split.order == "first_sequence" and len(starts):
        order = np.minimum.reduceat(points.log.sequence[points.grouped.index], starts)
    rank = np.empty(len(starts), np.int64)
    rank[np.lexsort((np.arange(len(starts)), order))] = np.arange(len(starts))
    is_test = rank >= int(len(starts) * split.train_fraction)
    fold = np.where(is_test[points.group], TEST, TRAIN).astype(object)
    fold[(fold == TEST) & (points.end - points.first < split.min_prefix)] = EMBARGO
    if split.embargo and is_test.any():
        fold[(fold == TRAIN) & (label_time >= begun[is_test].min())] = EMBARGO
    return fold

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


def rank_cases(points: Points, split: SplitConfig) -> np.ndarray:
    """Return the place of each case in the order of first events, or of first sequence numbers."""
    starts = points.grouped.starts[:-1]
    begun = points.grouped.time[starts]
    order = begun
    if split.order == "first_sequence" and len(starts):
        order = np.minimum.reduceat(points.log.sequence[points.grouped.index], starts)
    rank = np.empty(len(starts), np.int64)
    rank[np.lexsort((np.arange(len(starts)), order))] = np.arange(len(starts))
    return rank


def cases_that_test(points: Points, split: SplitConfig) -> tuple[np.ndarray, int]:
    """Return which cases test, and when the first of them begins (int64 microseconds).

    The first `train_fraction` of the cases train, in the order of `rank_cases`.
    """
    rank = rank_cases(points, split)
    begun = points.grouped.time[points.grouped.starts[:-1]]
    n_train = int(round(len(rank) * split.train_fraction, 6))  # 100 * 0.29 is a little less than 29
    is_test = rank >= n_train
    return is_test, int(begun[is_test].min(initial=np.iinfo(np.int64).max))


def case_folds(points: Points, label_time: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Return the fold of each point by its case.

    Points with fewer events than `min_prefix` are not used, nor, with `embargo`, training points whose label
    (`label_time`, int64 microseconds) was not known when the first test case began.
    """
    is_test, tests_begin = cases_that_test(points, split)
    fold = np.where(is_test[points.group], TEST, TRAIN).astype(object)
    fold[points.end - points.first < split.min_prefix] = EMBARGO
    if split.embargo:
        fold[(fold == TRAIN) & (label_time >= tests_begin)] = EMBARGO
    return fold

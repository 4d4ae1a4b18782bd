"""Which prediction points train and which test, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from waymark.config import SplitConfig
from waymark.ledger import ANONYMOUS
from waymark.points import Points

TRAIN, TEST, EMBARGO = "train", "test", "embargo"


def cutoff_folds(cutoff_time: pd.Series, test_cutoffs: tuple[pd.Timestamp, ...]) -> np.ndarray:
    """Return the fold of each row by its night; the clock laid the nights so that no training label reaches a test."""
    return np.where(cutoff_time.isin(list(test_cutoffs)), TEST, TRAIN).astype(object)


def keep_persons_apart(fold: np.ndarray, lot: np.ndarray, test_share: float) -> np.ndarray:
    """Return the folds with all rows of a lot (`lots.lots`) in one of them only; the other rows are not used."""
    return np.where((lot / 2.0**64 < test_share) == (fold == TEST), fold, EMBARGO).astype(object)


@dataclass(frozen=True)
class CaseSplit:
    """Which cases test, over all of them."""

    rank: pd.Series  # int64, the place of each case in the order of the split, by person id
    n_train: int  # the first so many train
    tests_begin: int  # when the first case that tests begins, int64 microseconds


def order_cases(points: Points, split: SplitConfig) -> pd.DataFrame:
    """Return `person_id` of each case, when it has `begun`, and the first time or sequence number that orders it."""
    starts = points.grouped.starts[:-1]
    begun = points.grouped.time[starts]
    order = begun
    if split.order == "first_sequence" and len(starts):
        order = np.minimum.reduceat(points.log.sequence[points.grouped.index], starts)
    names = points.log.identities.person_ids[points.grouped.persons]
    return pd.DataFrame({"person_id": pd.array(names, "str"), "order": order, "begun": begun})


def split_cases(cases: pd.DataFrame, split: SplitConfig) -> CaseSplit:
    """Let the first `train_fraction` of all cases (rows of `order_cases`) train, and the others test."""
    names = cases["person_id"].to_numpy(object)
    is_anonymous = cases["person_id"].str.startswith(ANONYMOUS).to_numpy(bool)
    ordered = np.lexsort((names, is_anonymous, cases["order"]))
    rank = np.empty(len(cases), np.int64)
    rank[ordered] = np.arange(len(cases))
    n_train = int(round(len(cases) * split.train_fraction, 6))  # 100 * 0.29 is a little less than 29
    begun = cases["begun"].to_numpy(np.int64)[rank >= n_train]
    return CaseSplit(pd.Series(rank, index=pd.Index(names)), n_train, int(begun.min(initial=np.iinfo(np.int64).max)))


def case_folds(points: Points, label_time: np.ndarray, split: SplitConfig, cases: CaseSplit) -> np.ndarray:
    """Return the fold of each point by its case.

    Points with fewer events than `min_prefix` are not used, nor, with `embargo`, training points whose label
    (`label_time`, int64 microseconds) was not known when the first test case began.
    """
    is_test = ranks_of(points, cases) >= cases.n_train
    fold = np.where(is_test[points.group], TEST, TRAIN).astype(object)
    fold[points.end - points.first < split.min_prefix] = EMBARGO
    if split.embargo:
        fold[(fold == TRAIN) & (label_time >= cases.tests_begin)] = EMBARGO
    return fold


def ranks_of(points: Points, cases: CaseSplit) -> np.ndarray:
    """Return the rank of each case of `points`, (n_groups,) int64."""
    return cases.rank.loc[points.log.identities.person_ids[points.grouped.persons]].to_numpy(np.int64)

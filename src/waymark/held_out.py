"""Rows held out in time: what may be learnt before a moment, and what is forecast from it.

One rule for searches and ablations, which look at training rows alone, and for backtests, which look at all: whatever
a model learns from was known when the first row that tests it was forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import evaluation, models, schema
from waymark.config import SplitConfig
from waymark.enough import shortage
from waymark.errors import InputError
from waymark.hazard import Hazard
from waymark.inputs import labels
from waymark.models import END

_KNOWN = "known_time"


@dataclass(frozen=True)
class Fold:
    """What is learnt before one origin, and what is tested from there on, as positions of rows."""

    origin: str  # the night; of cases, when the first of them began
    train: np.ndarray  # whose label was known
    test: np.ndarray
    before: np.ndarray  # whose forecast was made before, whatever is known of what came of it
    watched_until: pd.Timestamp | None  # when what came of them stops to be known; None: where the table says


def labelled(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    target: str,
    *,
    split: SplitConfig,
    horizon_days: int,
    with_test: bool,
) -> pd.DataFrame:
    """Return rows of `models.labelled` that train (or test as well, `with_test`), and when each label was known.

    Parameters
    ----------
    features, targets
        Rows of `schema.FEATURES` and `schema.TARGETS`, in any order.
    target
        `next_stage` or `churn`.
    split
        What kind of points they are.
    horizon_days
        Of the targets.
    with_test
        Whether the rows of the fold `test` are among them; those of `embargo` never are.

    Returns
    -------
    pandas.DataFrame
        With `known_time`, missing where nobody can say.
    """
    known = targets.assign(**{_KNOWN: _known_times(targets, target, split, horizon_days)})
    wanted = known[known["fold"].isin(["train", "test"] if with_test else ["train"])]
    rows = models.labelled(features, wanted, target)
    is_mature = (wanted[f"{target}_status"] == "mature").to_numpy(bool)
    times = wanted.loc[is_mature, [*schema.TARGETS.key, _KNOWN]].sort_values(list(schema.TARGETS.key))
    return rows.assign(**{_KNOWN: times[_KNOWN].array})


def _known_times(targets: pd.DataFrame, target: str, split: SplitConfig, horizon_days: int) -> pd.Series:
    """Return when each label could first be known.

    What comes next in a case is known when it comes. Of a case's latest point only an end is known to have a time: the
    horizon after it.
    """
    ended = targets["cutoff_time"] + pd.Timedelta(days=horizon_days)
    if split.kind == "cutoffs" or target == "churn":
        return ended
    in_order = targets.sort_values(["person_id", "prefix_length"])
    following = in_order["cutoff_time"].groupby(in_order["person_id"]).shift(-1).reindex(targets.index)
    return following.where(targets["next_stage"] != END, ended)


def folds(rows: pd.DataFrame, split: SplitConfig, n: int, min_train_nights: int) -> list[Fold]:
    """Lay `n` origins over the newer half of the nights, or of the cases.

    Of nights, those count that have `min_train_nights` before them whose labels were known, `split.gap_days` to spare;
    where the newer half of them are fewer than `n`, older ones are taken, and where all are, there are fewer folds.
    Each tests one night. Cases are dealt to `n` blocks of equal number in the order of the split; each is forecast from
    the cases before it, and with `split.embargo` from what was known of them when the first case of the block began.

    Parameters
    ----------
    rows
        As `labelled` returns them.

    Raises
    ------
    InputError
        There is no origin.
    """
    if split.kind == "cutoffs":
        return list(_nights(rows, split, n, min_train_nights))
    return list(_blocks(rows, split, n))


def _nights(rows: pd.DataFrame, split: SplitConfig, n: int, min_train_nights: int) -> Iterator[Fold]:
    night, known = rows["cutoff_time"], rows[_KNOWN] + pd.Timedelta(days=split.gap_days)
    all_known = known.groupby(night).max()
    able = [t for t in all_known.index if (all_known <= t).sum() >= min_train_nights]
    if not able:
        raise InputError(
            f"no night has {min_train_nights} training nights before it whose horizon had passed, of "
            f"{len(all_known)} nights; raise split.n_train, shorten targets.horizon_days or deliver more history"
        )
    start = max(min(len(able) // 2, len(able) - n), 0)
    for i in np.unique(np.linspace(start, len(able) - 1, n).round().astype(int)):
        yield Fold(
            f"{able[i]:%Y-%m-%d}",
            train=np.flatnonzero(known <= able[i]),
            test=np.flatnonzero(night == able[i]),
            before=np.flatnonzero(night < able[i]),
            watched_until=able[i] - pd.Timedelta(days=split.gap_days),
        )


def _blocks(rows: pd.DataFrame, split: SplitConfig, n: int) -> Iterator[Fold]:
    rank, known = rows["split_rank"].to_numpy(), rows[_KNOWN]
    cases = np.unique(rank)
    if len(cases) < 2 * n:
        raise InputError(f"{len(cases)} cases cannot be dealt to {n} blocks and those before them; bring more cases")
    edges = np.linspace(len(cases) // 2, len(cases), n + 1).round().astype(int)
    for first, last in zip(cases[edges[:-1]], [*cases[edges[1:-1]], cases[-1] + 1], strict=True):
        is_test, is_before = (rank >= first) & (rank < last), rank < first
        begun = rows["cutoff_time"][is_test].min()
        is_known = (known < begun).to_numpy(bool) if split.embargo else True
        yield Fold(
            f"{begun:%Y-%m-%d %H:%M}",
            train=np.flatnonzero(is_before & is_known),
            test=np.flatnonzero(is_test),
            before=np.flatnonzero(is_before & ((rows["cutoff_time"] < begun) if split.embargo else True)),
            watched_until=begun if split.embargo else None,
        )


def judged(rows: pd.DataFrame, found: Sequence[Fold], target: str, end_of_case: str) -> list[Fold]:
    """Return the folds without the test rows that are not judged: ends of cases, unless they are scored."""
    if target != "next_stage" or end_of_case == "scored":
        return list(found)
    is_end = (rows["label"] == END).to_numpy(bool)
    return [replace(f, test=f.test[~is_end[f.test]]) for f in found]


def check_enough(rows: pd.DataFrame, fold: Fold, target: str) -> None:
    """Raise `InputError` where a fold has not enough to learn from or to judge by."""
    if missing := shortage_of(rows, fold):
        raise InputError(f"{target}, held out from {fold.origin}: {missing}; bring more history")


def shortage_of(rows: pd.DataFrame, fold: Fold) -> str | None:
    """Say why nothing can be learnt from a fold or judged by it, or return None."""
    label, person = rows["label"].to_numpy(object), rows["person_id"].to_numpy(object)
    return shortage(label[fold.train], label[fold.test], person[fold.train], person[fold.test])


@dataclass(frozen=True)
class Exam:
    """The test rows of some folds one after the other: classes, truth, and whose they are."""

    classes: tuple[str, ...]
    y: np.ndarray  # positions in `classes`
    persons: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, found: Sequence[Fold]) -> Exam:
        """Return the exam that the test rows of `found` make; its classes are all that `rows` have."""
        test, truth = np.concatenate([f.test for f in found]), labels(rows["label"])
        classes = np.unique(truth)
        persons = rows["person_id"].to_numpy(object)[test]
        return cls(tuple(classes.tolist()), np.searchsorted(classes, truth[test]), persons)


def forecast(make: Callable[[], ClassifierMixin], rows: pd.DataFrame, fold: Fold, classes: Sequence[str]) -> np.ndarray:
    """Fit a new model to what a fold learns from; return the probabilities of `classes` for what it tests."""
    model = make()
    models.fit(model, watched(rows, fold, model.first_edge) if isinstance(model, Hazard) else rows.iloc[fold.train])
    return evaluation.aligned(model, rows.iloc[fold.test], classes)


def watched(rows: pd.DataFrame, fold: Fold, least_days: float) -> pd.DataFrame:
    """Return what a hazard learns from: all rows before the origin, each watched no longer than until then.

    Returns count by when they happened; of one that became known late, the days until then are not left out.
    """
    seen = rows.iloc[fold.before]
    if fold.watched_until is not None:
        days = (fold.watched_until - seen["cutoff_time"]) / pd.Timedelta(days=1)
        seen = seen.assign(
            observed_days=np.minimum(seen["observed_days"], days),
            return_days=seen["return_days"].where(seen["return_days"] < days),
        )
    return seen[seen["observed_days"] >= least_days]

"""The two learners, as scikit-learn estimators: boosted trees and a linear model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from lightgbm import Booster, Dataset, early_stopping, train
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from waymark.baselines import BackOff, prequential
from waymark.calibration import fit_slope, gain_over, loss_at
from waymark.forest import stretch
from waymark.inputs import labels, select
from waymark.pace import Paced


class Rows(NamedTuple):
    """Some rows of a fit, as LightGBM takes them."""

    at: np.ndarray  # positions in the fit
    codes: np.ndarray  # the class of each, from 0 and without gaps
    start: np.ndarray | None  # (rows, classes): the log of the probability that each starts from
    weight: np.ndarray | None

    def only(self, is_kept: np.ndarray) -> Rows:
        """Return those rows alone (bool, by row)."""
        start, weight = (None if v is None else v[is_kept] for v in (self.start, self.weight))
        return Rows(self.at[is_kept], self.codes[is_kept], start, weight)

    @property
    def scores(self) -> np.ndarray | None:
        """The score that LightGBM starts each from: one a class, or of two classes the log odds of the second."""
        return None if self.start is None else _scores(self.start)


class Task(NamedTuple):
    """Trees to be grown."""

    settings: dict[str, Any]  # of LightGBM
    categorical: list[int] | str  # positions of columns
    rows: Rows
    judges: Rows | None = None  # rows that tell when to stop, once their log loss has not fallen for `patience` rounds
    patience: int = 0


Grow = Callable[[Task], Booster]


class Boosting(Paced, ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees (LightGBM) that come out the same, byte for byte, on every run.

    Parameters
    ----------
    columns
        The features used; None uses every column of the fit.
    categorical
        Those that hold positions of categories; the trees split them by sets of categories. NaN is missing.
    start_columns
        Categories whose transition table (`BackOff`) the trees start from, the most telling first.
    start_order
        Use at most so many of them: as many as forecast groups best that the table has not seen. 0 starts from the
        shares of the classes. While the trees grow, a row starts from the table of the groups that began before its
        own: one that has seen the row would leave them nothing to learn.
    n_estimators
        Rounds of trees, one tree a class each; at most so many where they stop early.
    early_stopping_rounds
        Given `groups`, `fit` first grows trees without a fifth of the groups, until their log loss has not fallen for
        so many rounds; then that number of rounds from all rows. 0 grows all of them.
    calibration_share
        Share of the rows, the newest, on which it is tried whether the log-probabilities should be stretched: of trees
        grown from what came before them, on persons that those have not seen. That is done if it lowers the log loss of
        the newest half of the rows and the other half of those persons, proven by a bootstrap over persons. 0 leaves
        them as they are; `fit_by` does so, too.
    person_power
        Given `groups`, each row of a group with n rows in the fit has the weight n ** -person_power, on average 1: 0
        counts rows, 1 groups.
    learning_rate, num_leaves, max_depth, min_child_samples, colsample_bytree, subsample, \
subsample_freq, reg_alpha, reg_lambda, min_split_gain, max_bin, cat_smooth, cat_l2, path_smooth
        As LightGBM has them.
    n_jobs
        Threads. The trees are the same with any number. More than one pays on an idle machine only: on a busy one
        they wait for each other.
    random_state
        Seed of the column and row samples.
    """

    slope_ = 1.0  # also of a champion that was kept before there were slopes

    def __init__(
        self,
        columns: tuple[str, ...] | None = None,
        categorical: tuple[str, ...] = (),
        start_columns: tuple[str, ...] = (),
        start_order: int = 0,
        n_estimators: int = 200,
        early_stopping_rounds: int = 15,
        calibration_share: float = 0.0,
        person_power: float = 0.0,
        learning_rate: float = 0.1,
        num_leaves: int = 8,
        max_depth: int = -1,
        min_child_samples: int = 40,
        colsample_bytree: float = 0.3,
        subsample: float = 1.0,
        subsample_freq: int = 0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 10.0,
        min_split_gain: float = 0.0,
        max_bin: int = 63,
        cat_smooth: float = 10.0,
        cat_l2: float = 10.0,
        path_smooth: float = 0.0,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.categorical = categorical
        self.start_columns = start_columns
        self.start_order = start_order
        self.n_estimators = n_estimators
        self.early_stopping_rounds = early_stopping_rounds
        self.calibration_share = calibration_share
        self.person_power = person_power
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.max_depth = max_depth
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.subsample = subsample
        self.subsample_freq = subsample_freq
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.min_split_gain = min_split_gain
        self.max_bin = max_bin
        self.cat_smooth = cat_smooth
        self.cat_l2 = cat_l2
        self.path_smooth = path_smooth
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: pd.DataFrame,
        y: Sequence,
        sample_weight: np.ndarray | None = None,
        groups: Sequence | None = None,
        times: Sequence | None = None,
    ) -> Boosting:
        """Grow the trees; `groups` says whose row it is, `times` when it was."""
        self.columns_of(X)
        self.fit_by(partial(grow, partial(pieces, self.matrix(X))), X, y, sample_weight, groups, times)
        if self.calibration_share and groups is not None and times is not None:
            self.slope_ = self._find_slope(X, labels(y), sample_weight, np.asarray(groups, object), np.asarray(times))
            stretch(self.trees_, self.slope_)
        return self

    def fit_by(
        self,
        grow: Grow,
        X: pd.DataFrame,
        y: Sequence,
        sample_weight: np.ndarray | None = None,
        groups: Sequence | None = None,
        times: Sequence | None = None,
    ) -> Boosting:
        """Do as `fit` does where `grow` has the features of the rows; of them, X holds `start_columns` alone."""
        self.columns_of(X)
        self.classes_, codes = np.unique(labels(y), return_inverse=True)
        weight = self._weigh(sample_weight, groups)
        start = None
        if self.has_start:
            table = BackOff(self.start_columns, self.start_order).fit(X, y, weight, groups)
            starts = _log(prequential(table, X, y, groups, times, weight, self.random_state))
            losses = [-np.average(s[np.arange(len(codes)), codes], weights=weight) for s in starts]
            start = starts[np.argmin(losses)].copy()
            del starts  # several times the size
            self.start_ = BackOff(self.start_columns, int(np.argmin(losses))).fit(X, y, weight, groups)
        rows = Rows(np.arange(len(codes)), codes, start, weight)
        self.slope_ = 1.0
        self.n_rounds_, self.trees_ = self.grow_rows(grow, rows, None if groups is None else self.held_out(groups))
        return self

    def _weigh(self, sample_weight: np.ndarray | None, groups: Sequence | None) -> np.ndarray | None:
        """Return how much each row counts; None where all count the same."""
        weight = None if sample_weight is None else np.asarray(sample_weight, float)
        if groups is None or not self.person_power:
            return weight
        codes = pd.factorize(np.asarray(groups, object))[0]
        shares = np.bincount(codes)[codes] ** -float(self.person_power)
        shares /= shares.mean()
        return shares if weight is None else shares * weight

    def _find_slope(
        self, X: pd.DataFrame, y: np.ndarray, weight: np.ndarray | None, groups: np.ndarray, times: np.ndarray
    ) -> float:
        """Return by what the log-probabilities should be multiplied; 1 where no other slope is proven to serve them."""
        first, middle = np.quantile(
            times, [1 - self.calibration_share, 1 - self.calibration_share / 2], method="higher"
        )
        is_new, draw = times >= first, pd.util.hash_array(groups, hash_key="slope of persons")
        is_judge = np.isin(groups, np.unique(groups[is_new])) & (draw % 2 == 0)
        # Cases are new or old. Of persons who are both, those that judge teach nothing: nights in a row share labels.
        is_both = np.isin(groups, np.unique(groups[~is_new]))
        is_judge |= is_new & ~is_both
        teaches, told = ~is_new & ~is_judge, np.flatnonzero(is_new & is_judge)
        if not teaches.any() or len(np.unique(y[teaches])) < 2:
            return 1.0
        earlier = clone(self).set_params(calibration_share=0.0, n_estimators=self.n_rounds_, early_stopping_rounds=0)
        earlier.fit(
            X[teaches], y[teaches], None if weight is None else weight[teaches], groups[teaches], times[teaches]
        )
        told = told[np.isin(y[told], earlier.classes_)]
        log_p = _log(earlier.predict_proba(X.iloc[told]))
        code, is_half = np.searchsorted(earlier.classes_, y[told]), draw[told] // 2 % 2 == 0
        learns, proves = is_half & (times[told] <= middle), ~is_half & (times[told] > middle)
        if not learns.any() or not proves.any():
            return 1.0
        slope = fit_slope(log_p[learns], code[learns])
        lost = [loss_at(log_p[proves], code[proves], s) for s in (1.0, slope)]
        _, least = gain_over(lost[0] - lost[1], groups[told[proves]], self.random_state)
        return slope if least > 0 else 1.0

    def grow_rows(self, grow: Grow, rows: Rows, is_out: np.ndarray | None) -> tuple[int, Booster]:
        """Find the number of rounds on the rows held out, if any, and grow so many from all rows."""
        n = self.n_estimators
        if self.early_stopping_rounds and is_out is not None:
            n, _ = self.try_rows(grow, rows, is_out)
        return n, self.grow_all(grow, rows, n)

    def grow_all(self, grow: Grow, rows: Rows, n_rounds: int) -> Booster:
        """Grow so many rounds from all rows."""
        return grow(Task(self._settings(n_rounds), self._positions(), rows))

    def columns_of(self, X: pd.DataFrame) -> None:
        """Note the names of the features."""
        self.feature_names_in_ = np.array(X.columns if self.columns is None else self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)

    def _settings(self, n_rounds: int) -> dict[str, Any]:
        ours = ("columns", "categorical", "start_columns", "start_order", "early_stopping_rounds", "n_estimators")
        ours = (*ours, "calibration_share", "person_power")
        settings = {k: v for k, v in self.get_params().items() if k not in ours}
        return {"n_estimators": n_rounds, **settings, "deterministic": True, "force_col_wise": True, "verbose": -1}

    def _positions(self) -> list[int] | str:
        return [i for i, c in enumerate(self.feature_names_in_) if c in set(self.categorical)] or "auto"

    def held_out(self, groups: Sequence) -> np.ndarray:
        """Draw a fifth of the groups, and say which rows are theirs.

        Not the newest rows: where the same persons are seen night after night, those share their labels with the rows
        before them, and reward trees that know persons by heart.
        """
        codes, names = pd.factorize(np.asarray(groups, dtype=object), sort=True)
        drawn = np.random.default_rng(self.random_state).permutation(len(names))[: len(names) // 5]
        return np.isin(codes, drawn)

    def try_rows(self, grow: Grow, rows: Rows, is_out: np.ndarray) -> tuple[int, Booster | None]:
        """Return how many rounds serve the rows held out best, and the trees that said so; None without such rows."""
        known = np.unique(rows.codes[~is_out])
        is_judge = is_out & np.isin(rows.codes, known)
        if len(known) < 2 or not is_judge.any():
            return self.n_estimators, None
        # Without gaps: LightGBM 4.7 does not translate the classes of `eval_y`.
        start = None if rows.start is None else rows.start[:, known]
        rows = rows._replace(codes=np.searchsorted(known, rows.codes), start=start)
        task = Task(
            self._settings(self.n_estimators),
            self._positions(),
            rows.only(~is_out),
            rows.only(is_judge),
            self.early_stopping_rounds,
        )
        trees = grow(task)
        return trees.best_iteration, trees

    def matrix(self, X: pd.DataFrame) -> np.ndarray:
        """Return the columns of the fit as the plain array that the trees know."""
        return select(X, self.feature_names_in_).to_numpy(np.float32)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        score = self.trees_.predict(self.matrix(X), raw_score=True, num_threads=self.n_jobs)
        if self.has_start:
            score = score + self.slope_ * _scores(_log(self.start_.predict_proba(X)))
        if score.ndim == 2:
            return softmax(score, axis=1)
        return np.column_stack([expit(-score), expit(score)])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @property
    def has_start(self) -> bool:
        """Whether the trees start from a transition table."""
        return bool(self.start_order and self.start_columns)

    def start_scores(self, X: pd.DataFrame) -> list[np.ndarray]:
        """Return the logs that rows start from given the first 0, 1, ... columns of `start_`: (n, n_classes) each."""
        return [self.slope_ * _log(p) for p in self.start_.refine(X)] if self.has_start else []

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of the loss that splits on each feature took away."""
        gain = self.trees_.feature_importance("gain")
        return gain / max(gain.sum(), np.finfo(float).tiny)


def grow(take: Callable[[np.ndarray], list[np.ndarray] | Sequence], task: Task) -> Booster:
    """Grow trees here; `take` returns the features of rows at ascending positions, as LightGBM reads them."""
    settings = {k: v for k, v in task.settings.items() if k != "n_estimators"}
    n_classes = int(task.rows.codes.max()) + 1
    several = {"objective": "multiclass", "num_class": n_classes} if n_classes > 2 else {"objective": "binary"}

    def lay(rows: Rows, like: Dataset | None = None) -> Dataset:
        told = {"label": rows.codes, "weight": rows.weight, "init_score": rows.scores}
        return _Dataset(take(rows.at), reference=like, categorical_feature=task.categorical, **told)

    own = lay(task.rows)
    judged = {}
    if task.judges is not None:
        stop = early_stopping(task.patience, verbose=False)
        judged = {"valid_sets": [lay(task.judges, own)], "callbacks": [stop]}
    return train({**several, **settings}, own, task.settings["n_estimators"], **judged)


class _Dataset(Dataset):
    """Rows that are binned with all settings, however they come: LightGBM tells only some to rows in batches."""

    def get_params(self) -> dict[str, Any]:
        """Return all settings."""
        return dict(self.params)


def pieces(x: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    """Return rows of an array at ascending positions, as views of those that follow each other."""
    ends = np.flatnonzero(np.diff(at) != 1) + 1
    return [x[at[i] : at[j - 1] + 1] for i, j in pairwise([0, *ends.tolist(), len(at)])]


def _log(p: np.ndarray) -> np.ndarray:
    """Return logarithms for trees to start from: what was never seen is unlikely, not impossible."""
    return np.log(np.maximum(p, 1e-4))


def _scores(log_p: np.ndarray | None) -> np.ndarray | None:
    """Return log-probabilities of classes as LightGBM counts scores: one for two classes."""
    if log_p is None or log_p.shape[1] > 2:
        return log_p
    return log_p[:, 1] - log_p[:, 0]


class Logistic(Paced, ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression on signed logarithms and one-hot categories.

    A number x enters as sign(x) log(1 + |x|), standardised, a missing one as the median beside a flag. A category that
    the fit did not see, or a missing one, is none of the known ones.

    Parameters
    ----------
    columns
        The features used; None uses every column of the fit.
    categorical
        Those that hold positions of categories.
    C
        Inverse strength of the ridge penalty.
    max_iter
        Steps of the solver at most.
    """

    def __init__(
        self,
        columns: tuple[str, ...] | None = None,
        categorical: tuple[str, ...] = (),
        C: float = 1.0,
        max_iter: int = 300,
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.categorical = categorical
        self.C = C
        self.max_iter = max_iter

    def fit(self, X: pd.DataFrame, y: Sequence, sample_weight: np.ndarray | None = None) -> Logistic:
        """Learn the scales, the categories and the coefficients."""
        self.feature_names_in_ = np.array(X.columns if self.columns is None else self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        X = select(X, self.feature_names_in_)
        self.is_category_ = np.isin(self.feature_names_in_, list(self.categorical))
        x = _signed_log(X.to_numpy(float)[:, ~self.is_category_])
        self.medians_ = _medians(x)
        filled = np.where(np.isnan(x), self.medians_, x)
        self.has_missing_ = np.isnan(x).any(axis=0)
        self.centres_ = filled.mean(axis=0)
        self.scales_ = np.where(filled.std(axis=0) > 1e-9, filled.std(axis=0), 1.0)
        self.levels_ = [_levels(X[c].to_numpy()) for c in self.feature_names_in_[self.is_category_]]
        design = self.design(X)
        self.means_ = np.asarray(design.mean(axis=0)).ravel()
        self.linear_ = LogisticRegression(C=self.C, max_iter=self.max_iter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early only shrinks the coefficients more
            self.linear_.fit(design, labels(y), sample_weight=sample_weight)
        self.classes_ = labels(self.linear_.classes_)
        return self

    def design(self, X: pd.DataFrame) -> sparse.csr_array:
        """Return the matrix that the coefficients multiply; `origin` says which feature each column is of."""
        X = select(X, self.feature_names_in_)
        x = _signed_log(X.to_numpy(float)[:, ~self.is_category_])
        is_missing = np.isnan(x)
        numbers = (np.where(is_missing, self.medians_, x) - self.centres_) / self.scales_
        blocks = [numbers, is_missing[:, self.has_missing_].astype(float)]
        for column, levels in zip(self.feature_names_in_[self.is_category_], self.levels_, strict=True):
            blocks.append(sparse.csr_array(X[column].to_numpy()[:, None] == levels, dtype=float))
        return sparse.hstack([sparse.csr_array(b) for b in blocks], format="csr")

    @property
    def origin(self) -> np.ndarray:
        """Position in `feature_names_in_` of the feature behind each column of the design."""
        numbers = np.flatnonzero(~self.is_category_)
        lengths = [len(levels) for levels in self.levels_]
        categories = np.repeat(np.flatnonzero(self.is_category_), lengths)
        return np.concatenate([numbers, numbers[self.has_missing_], categories]).astype(int)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        return self.linear_.predict_proba(self.design(X))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _signed_log(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


def _medians(x: np.ndarray) -> np.ndarray:
    known = ~np.isnan(x)
    return np.array([np.median(x[known[:, j], j]) if known[:, j].any() else 0.0 for j in range(x.shape[1])])


def _levels(values: np.ndarray) -> np.ndarray:
    return np.unique(values[~np.isnan(values)])

"""How likely a silent person is to return in each period after the cut-off, by boosted trees; one curve from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from lightgbm import Booster
from sklearn.base import BaseEstimator, ClassifierMixin

from waymark.calibration import UNBENT, Bend
from waymark.estimators import Boosting, Grow, Rows, grow
from waymark.forest import plant
from waymark.hazard_trials import find_bend, try_starts
from waymark.inputs import select
from waymark.kernels.trees import roll
from waymark.on_disk import Fill, as_they_are
from waymark.period_rows import Clock, InPeriods, PeriodRows, Points, everybody, lay_rows, points_of
from waymark.periods import Curve, lay_edges
from waymark.rhythm import Rhythm, fit_rhythm, start_odds

GrowFor = Callable[[Sequence[str], pd.DataFrame, Clock], Grow]

SILENCE = "f_days_since_last_activity"
PERIOD_COLUMNS = ("period_start_days", "silence_days")  # the last columns of the matrix that the trees are given


class Hazard(ClassifierMixin, BaseEstimator):
    """Discrete-time hazard of return: boosted trees on rows of one prediction point in one period each.

    The features stay as they were at the cut-off, and the clock is rolled forward: to each row come the start of its
    period, and the silence so far when it starts. The trees start from the log-odds of return of everybody in that
    period, or from what BG/NBD says of each person (`Rhythm`) where that is proven to serve persons held out better.
    Points that were watched for a while only train as far as they were watched. The probability of silence is the
    product of those of no return, so that it falls with the horizon by construction.

    Parameters
    ----------
    columns, categorical
        As `Boosting` has them.
    horizon_days
        The horizon of `predict_proba`.
    horizons_days
        All horizons, in days; `curve` reaches to the longest. Periods end at each of them.
    history_columns
        Number of active days, days since the first of them and since the latest: what BG/NBD looks at. Without them
        the trees start from everybody's log-odds.
    start_share
        Share of the rows, the newest, on which it is tried whether the trees should start from BG/NBD, where that
        serves persons held out: it must lower the log loss of both, proven by a bootstrap over persons; see
        `hazard_trials`. 0: never.
    person_power
        Each point of a person with n points in the fit has the weight n ** -person_power: 0 counts points, 1 persons.
    max_rows
        Of persons with more rows than these together, some are drawn by a hash of their names.
    calibration_share
        Share of the rows, the newest, on which it is tried whether the log-odds of return should be bent (`Bend`): of a
        hazard that learnt only from what came before them, by the older half of them and one half of the persons. That
        is done if it lowers the log loss on the newer half and the others, proven by a bootstrap over persons. 0 leaves
        them as they are.
    n_estimators, early_stopping_rounds, learning_rate, num_leaves, min_child_samples, colsample_bytree, reg_lambda, \
max_bin, n_jobs, random_state
        As `Boosting` has them.

    References
    ----------
    Tutz, Schmid (2016), Modeling discrete time-to-event data, chapters 3 and 7.
    """

    bend_ = UNBENT  # also of a champion that was kept before there were bends: what moved it is in its trees

    def __init__(
        self,
        columns: tuple[str, ...] | None = None,
        categorical: tuple[str, ...] = (),
        horizon_days: int = 30,
        horizons_days: tuple[int, ...] = (30,),
        history_columns: tuple[str, ...] = (),
        start_share: float = 0.25,
        person_power: float = 0.5,
        max_rows: int = 2_000_000,
        calibration_share: float = 0.0,
        n_estimators: int = 200,
        early_stopping_rounds: int = 15,
        learning_rate: float = 0.1,
        num_leaves: int = 8,
        min_child_samples: int = 40,
        colsample_bytree: float = 0.3,
        reg_lambda: float = 10.0,
        max_bin: int = 63,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.categorical = categorical
        self.horizon_days = horizon_days
        self.horizons_days = horizons_days
        self.history_columns = history_columns
        self.start_share = start_share
        self.person_power = person_power
        self.max_rows = max_rows
        self.calibration_share = calibration_share
        self.n_estimators = n_estimators
        self.early_stopping_rounds = early_stopping_rounds
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: pd.DataFrame,
        y: pd.DataFrame,
        groups: Sequence | None = None,
        days: np.ndarray | None = None,
        fill: Fill = as_they_are,
        grow_for: GrowFor | None = None,
    ) -> Hazard:
        """Grow the trees.

        Parameters
        ----------
        X
            Rows of `f_` columns.
        y
            `return_days` and `observed_days` of each row, as in `schema.TARGETS`.
        groups
            Whose row each is; by default, each is a person's of its own.
        days
            When each row was, in days; calibration needs it, and BG/NBD to know the newest row of each person.
        fill
            Adds features to rows of X, where those are on disk.
        grow_for
            Returns what grows the trees of all rows elsewhere: see `growing.Together`. What is tried is tried here.
        """
        self._note(X)
        points = points_of(X, y, groups, days, fill)
        if groups is None or not self.early_stopping_rounds:
            self.grow_trees(points, n_rounds=self.n_estimators, grow_for=grow_for)
        else:
            self.grow_trees(points, *try_starts(self, points), grow_for)
        may_bend = self.calibration_share and groups is not None and days is not None
        self.bend_ = np.array(find_bend(self, points) if may_bend else UNBENT)
        return self

    def grow_trees(
        self,
        points: Points,
        from_rhythm: bool = False,
        n_rounds: int | None = None,
        grow_for: GrowFor | None = None,
    ) -> Hazard:
        """Grow so many rounds of trees; by default, as many as serve persons held out best."""
        self._note(points.X)
        rows = self.lay(points)
        self.start_ = everybody(rows, self.edges_)
        self.rhythm_ = self.rhythm_of(points, rows) if from_rhythm else None
        task = self.rows_from(self.rhythm_, points, rows)
        boosting = self.boosting()
        if grow_for is None:
            grow_here = partial(grow, self.reader(points, rows))
        else:
            names = self.feature_names_in_.tolist()
            clock = Clock(rows.point, self._starts[rows.period], names.index(SILENCE) if SILENCE in names else -1)
            grow_here = grow_for(names, points.X.iloc[rows.used], clock)
        if n_rounds is None and self.early_stopping_rounds:
            n_rounds, _ = boosting.try_rows(grow_here, task, rows.is_judge)
        self.n_rounds_ = self.n_estimators if n_rounds is None else n_rounds
        self.trees_ = boosting.grow_all(grow_here, task, self.n_rounds_)
        return self

    def _note(self, X: pd.DataFrame) -> None:
        """Set what no row teaches."""
        self.feature_names_in_ = np.array(X.columns if self.columns is None else self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_ = np.array(["active", "silent"])
        self.edges_ = np.array(self._edges)

    @property
    def _edges(self) -> tuple[int, ...]:
        return lay_edges([*self.horizons_days, self.horizon_days])

    @property
    def first_edge(self) -> int:
        """How many days a point must have been watched to be of use."""
        return self._edges[0]

    def boosting(self) -> Boosting:
        """Return what grows the trees from rows in periods."""
        ours = (
            "columns",
            "categorical",
            "horizon_days",
            "horizons_days",
            "history_columns",
            "start_share",
            "person_power",
            "max_rows",
            "calibration_share",
        )
        shared = {k: v for k, v in self.get_params().items() if k not in ours}
        boosting = Boosting(self.matrix_columns, tuple(self.categorical), **shared)
        boosting.columns_of(pd.DataFrame())
        return boosting

    def lay(self, points: Points) -> PeriodRows:
        """Return the rows that points have."""
        return lay_rows(points, self.edges_, self.max_rows, self.person_power, self.boosting().held_out)

    def rows_from(self, rhythm: Rhythm | None, points: Points, rows: PeriodRows) -> Rows:
        """Return rows as trees are given them that start from BG/NBD, or from everybody's log-odds."""
        start = everybody(rows, self.edges_)
        if rhythm is None:
            scores = start[rows.period]
        else:
            histories = points.histories(self.history_columns).iloc[rows.used]
            scores = start_odds(start, rhythm, histories, self.edges_)[rows.point, rows.period]
        log_p = -np.logaddexp(0, np.outer(scores, [1, -1]))  # of no return, and of return
        return Rows(np.arange(len(scores)), rows.has_returned.astype(np.int64), log_p, rows.weight)

    def rhythm_of(self, points: Points, rows: PeriodRows) -> Rhythm | None:
        """Fit BG/NBD to the histories of points, and what makes it the start of their rows; None without histories."""
        if not self.history_columns:
            return None
        told = rows.at, rows.period, rows.has_returned, rows.weight
        histories = points.histories(self.history_columns)
        return fit_rhythm(self.history_columns, histories, points.person, points.days, self.edges_, *told)

    def reader(self, points: Points, rows: PeriodRows) -> Callable[[np.ndarray], InPeriods]:
        """Return what has the matrix of some rows."""
        frame = points.with_columns(self.feature_names_in_.tolist(), rows.used)
        x = np.ascontiguousarray(select(frame, self.feature_names_in_).to_numpy(np.float32))
        start = self._starts[rows.period]
        clock = np.column_stack([start, self._since(x)[rows.point] + start])
        return lambda some: InPeriods(x, rows.point[some], clock[some])

    @property
    def all_columns(self) -> list[str]:
        """The features, and what BG/NBD looks at."""
        return list(dict.fromkeys([*self.feature_names_in_.tolist(), *self.history_columns]))

    def _since(self, x: np.ndarray) -> np.ndarray:
        """Return the silence at the cut-off of rows of features; NaN where it is no feature."""
        known = np.flatnonzero(self.feature_names_in_ == SILENCE)
        return x[:, known[0]] if len(known) else np.full(len(x), np.nan, np.float32)

    @property
    def matrix_columns(self) -> tuple[str, ...]:
        """What the columns of the matrix are that the trees are given: the features, then `PERIOD_COLUMNS`."""
        return (*self.feature_names_in_.tolist(), *PERIOD_COLUMNS)

    def set_clock(self, x: np.ndarray, period: np.ndarray | int) -> np.ndarray:
        """Set the clock of a matrix to the start of `period`, in place."""
        x[:, -2] = self._starts[period]
        x[:, -1] = self._since(x) + x[:, -2]
        return x

    @property
    def _starts(self) -> np.ndarray:
        return np.append(0, self.edges_[:-1]).astype(np.float32)

    def matrix(self, X: pd.DataFrame, period: int = 0) -> np.ndarray:
        """Return what the trees `trees_` are given of each row in a period, (n, n_features + 2) float32."""
        x = np.empty((len(X), self.n_features_in_ + 2), np.float32)
        x[:, :-2] = select(X, self.feature_names_in_).to_numpy(np.float32)
        return self.set_clock(x, period)

    def scores(self, X: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of return in each period, given silence until it starts: (n, n_periods)."""
        return self.bend.of(self.raw_scores(X))

    @property
    def bend(self) -> Bend:
        """What becomes of what the trees say."""
        return Bend(*self.bend_)

    def raw_scores(self, X: pd.DataFrame) -> np.ndarray:
        """Return `scores` as the trees and their start say, before calibration."""
        x = np.ascontiguousarray(select(X, self.feature_names_in_).to_numpy(np.float32))
        known = np.flatnonzero(self.feature_names_in_ == SILENCE)
        out = np.zeros((len(x), len(self.edges_)))
        roll(plant(self.trees_), x, int(known[0]) if len(known) else -1, self._starts, out)
        return out + self.starts(X)

    def starts(self, X: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of return that the trees start from in each period, (n, n_periods)."""
        return start_odds(self.start_, self.rhythm_, X, self.edges_)

    def curve(self, X: pd.DataFrame) -> Curve:
        """Return the curve of silence of each row."""
        return Curve(tuple(self.edges_.tolist()), -np.cumsum(np.logaddexp(0, self.scores(X)), axis=1))

    def survival(self, X: pd.DataFrame, days: Sequence[float]) -> np.ndarray:
        """Return the probability of silence for so many days, (n, n_days)."""
        return self.curve(X).silent(days)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of activity and of silence within `horizon_days`, (n, 2)."""
        silent = self.survival(X, [self.horizon_days])[:, 0]
        return np.column_stack([1 - silent, silent])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likelier class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of the loss that splits on each feature took away; the silence so far counts for its feature."""
        gain = self.trees_.feature_importance("gain")
        share = gain[:-2] + gain[-1] * (self.feature_names_in_ == SILENCE)
        return share / max(share.sum(), np.finfo(float).tiny)

    @property
    def booster_(self) -> Booster:
        """The trees: of a row of `matrix` they give the log-odds of return less those of everybody in that period."""
        return self.trees_

"""How likely a silent person is to return in each period after the cut-off, by boosted trees; one curve from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from lightgbm import Booster
from lightgbm import Sequence as Batches
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from waymark.calibration import Line, fit_line, gain, gain_of
from waymark.estimators import Boosting, Rows, grow
from waymark.forest import plant, stretch
from waymark.inputs import select
from waymark.kernels.trees import roll
from waymark.periods import Curve, PersonPeriods, expand, lay_edges, n_periods
from waymark.rhythm import Rhythm, fit_rhythm

SILENCE = "f_days_since_last_activity"
PERIOD_COLUMNS = ("period_start_days", "silence_days")  # the last columns of the matrix that the trees are given
_SMOOTHING = 1.0  # rows that each period is thought to have had besides, with the rate of return of the one before


class _Attempt(NamedTuple):
    """Trees that were tried from a start on persons held out."""

    start: Rhythm | None  # None: everybody's
    task: Rows
    n_rounds: int
    trees: Booster | None

    def scores(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the log-odds of return of some rows, `x` of the matrix."""
        return self.trees.predict(x, raw_score=True, num_threads=1) + self.task.scores[rows]


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
        serves persons held out: it must lower the log loss of both, proven by a bootstrap over persons. 0: never.
    person_power
        Each point of a person with n points in the fit has the weight n ** -person_power: 0 counts points, 1 persons.
    max_rows
        Of persons with more rows than these together, some are drawn by a hash of their names.
    calibration_share
        Share of the rows, the newest, on which it is tried whether the log-odds of return should be shifted and
        stretched: of a hazard that learnt only from what came before them, by the older half of them and one half of
        the persons. That is done if it lowers the log loss on the newer half and the others, proven by a bootstrap over
        persons. 0 leaves them as they are.
    n_estimators, early_stopping_rounds, learning_rate, num_leaves, min_child_samples, colsample_bytree, reg_lambda, \
max_bin, n_jobs, random_state
        As `Boosting` has them.

    References
    ----------
    Tutz, Schmid (2016), Modeling discrete time-to-event data, chapters 3 and 7.
    """

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
        self, X: pd.DataFrame, y: pd.DataFrame, groups: Sequence | None = None, days: np.ndarray | None = None
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
        """
        self._fit(X, y, groups, days, self.start_share > 0 and groups is not None and days is not None)
        line = None
        if self.calibration_share and groups is not None and days is not None:
            line = self._find_line(X, y, np.asarray(groups, object), days)
        self.line_ = None if line is None else np.array(line)
        if line is not None:
            self._stretch(line)
        return self

    def _fit(
        self,
        X: pd.DataFrame,
        y: pd.DataFrame,
        groups: Sequence | None,
        days: np.ndarray | None,
        may_choose: bool,
        from_rhythm: bool = False,
    ) -> Hazard:
        """Grow the trees from a start, or, if it `may_choose`, from the one that is proven."""
        self.feature_names_in_ = np.array(X.columns if self.columns is None else self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_ = np.array(["active", "silent"])
        self.edges_ = np.array(self._edges)
        person = np.arange(len(X)) if groups is None else pd.factorize(np.asarray(groups, object), sort=True)[0]
        times = y["return_days"].to_numpy(float), y["observed_days"].to_numpy(float)
        boosting = self._boosting()
        is_out = boosting.held_out(person)
        # The rows that say when to stop come last: both parts are views of one matrix.
        points = np.concatenate([np.flatnonzero(~is_out), np.flatnonzero(is_out)])
        points = points[self._drawn(person[points], n_periods(*times, self.edges_)[points], groups, points)]
        rows = expand(*(t[points] for t in times), self.edges_)
        at = points[rows.point]
        weight = np.bincount(person)[person[at]] ** -self.person_power
        weight /= weight.mean()
        self.start_ = self._start(rows.period, rows.has_returned, weight)
        rhythm = None
        if (may_choose or from_rhythm) and self.history_columns:
            rhythm = fit_rhythm(self.history_columns, X, groups, days, self.edges_, at, *rows[1:], weight)
        histories = select(X, self.history_columns).iloc[points]
        x = np.ascontiguousarray(select(X, self.feature_names_in_).to_numpy(np.float32))
        clock = self._clock(x, at, rows.period)
        grow_here = partial(grow, lambda some: InPeriods(x, at[some], clock[some]))
        is_judge = is_out[at]

        def attempt(start: Rhythm | None) -> _Attempt:
            self.rhythm_ = start
            scores = self.starts(histories)[rows.point, rows.period]
            log_p = -np.logaddexp(0, np.outer(scores, [1, -1]))  # of no return, and of return
            task = Rows(np.arange(len(at)), rows.has_returned.astype(np.int64), log_p, weight)
            if groups is None or not self.early_stopping_rounds:
                return _Attempt(start, task, self.n_estimators, None)
            return _Attempt(start, task, *boosting.try_rows(grow_here, task, is_judge))

        chosen = attempt(rhythm if from_rhythm else None)
        if may_choose and rhythm is not None and chosen.trees is not None:
            other = attempt(rhythm)
            judges = InPeriods(x, at[is_judge], clock[is_judge])[:]
            judged = rows.has_returned[is_judge], person[at[is_judge]], self.random_state, weight[is_judge]
            _, least = gain_of(*(a.scores(judges, is_judge) for a in (chosen, other)), *judged)
            if least > 0 and self._gains_in_time(X, y, np.asarray(groups, object), np.asarray(days, float)):
                chosen = other
        self.rhythm_, self.n_rounds_ = chosen.start, chosen.n_rounds
        self.trees_ = boosting.grow_all(grow_here, chosen.task, chosen.n_rounds)
        return self

    def _gains_in_time(self, X: pd.DataFrame, y: pd.DataFrame, groups: np.ndarray, days: np.ndarray) -> bool:
        """Say whether a start from BG/NBD is proven to serve the newest rows, learnt from what came before them."""
        held = _hold_out(y, days, days < np.quantile(days, 1 - self.start_share, method="higher"), self.edges_)
        if held is None:
            return False
        scores = [
            clone(self)
            ._fit(X[held.is_before], held.known, groups[held.is_before], days[held.is_before], False, from_rhythm)
            .scores(X.iloc[held.newer])[held.rows.point, held.rows.period]
            for from_rhythm in (False, True)
        ]
        whose = groups[held.newer[held.rows.point]]
        _, least = gain_of(*scores, held.rows.has_returned, whose, self.random_state)
        return least > 0

    def _find_line(self, X: pd.DataFrame, y: pd.DataFrame, groups: np.ndarray, days: np.ndarray) -> Line | None:
        """Return what should become of the log-odds of return, or None where nothing is proven to serve them."""
        first, middle = np.quantile(days, [1 - self.calibration_share, 1 - self.calibration_share / 2], method="higher")
        held = _hold_out(y, days, days < first, self.edges_)
        if held is None or not (days > middle).any():
            return None
        before = held.is_before
        from_rhythm = self.rhythm_ is not None
        earlier = clone(self)._fit(X[before], held.known, groups[before], days[before], False, from_rhythm)
        rows, at = held.rows, held.newer[held.rows.point]
        scores = earlier.scores(X.iloc[held.newer])[rows.point, rows.period]
        is_half = (pd.util.hash_array(groups[at], hash_key="whose line it is") & np.uint64(1)).astype(bool)
        learns, proves = is_half & (days[at] <= middle), ~is_half & (days[at] > middle)
        if not learns.any() or not proves.any():
            return None
        line = fit_line(scores[learns], rows.has_returned[learns], np.ones(learns.sum()))
        _, least = gain(line, scores[proves], rows.has_returned[proves], groups[at[proves]], self.random_state)
        return line if least > 0 else None

    def _stretch(self, line: Line) -> None:
        """Shift and stretch what the trees say."""
        self.start_ = line.intercept + line.slope * self.start_
        self.rhythm_ = None if self.rhythm_ is None else self.rhythm_.stretch(line)
        stretch(self.trees_, line.slope)

    @property
    def _edges(self) -> tuple[int, ...]:
        return lay_edges([*self.horizons_days, self.horizon_days])

    @property
    def first_edge(self) -> int:
        """How many days a point must have been watched to be of use."""
        return self._edges[0]

    def _boosting(self) -> Boosting:
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

    def _drawn(self, person: np.ndarray, n: np.ndarray, groups: Sequence | None, points: np.ndarray) -> np.ndarray:
        """Say which points are used: bool."""
        if n.sum() <= self.max_rows:
            return np.ones(len(points), bool)
        names = person if groups is None else np.asarray(groups, object)[points]
        draw = pd.util.hash_array(names) / 2.0**64
        return draw < self.max_rows / n.sum()

    def _start(self, period: np.ndarray, has_returned: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the log-odds of return in each period, (n_periods,).

        A period that hardly anybody was watched through goes on at the daily rate of the one before.
        """
        days = np.diff(self.edges_, prepend=0)
        n, returned = (np.bincount(period, w, len(days)) for w in (weight, weight * has_returned))
        silent = np.empty(len(days))  # the probability of no return
        expected = 0.5
        surest = 1 - 0.5 / (n.max() + 1)  # or rates would shrink to nothing where nobody ever returned
        for k in range(len(days)):
            silent[k] = (n[k] - returned[k] + _SMOOTHING * expected) / (n[k] + _SMOOTHING)
            if k + 1 < len(days):
                expected = min(silent[k] ** (days[k + 1] / days[k]), surest)
        return np.log1p(-silent) - np.log(silent)

    @property
    def matrix_columns(self) -> tuple[str, ...]:
        """What the columns of the matrix are that the trees are given: the features, then `PERIOD_COLUMNS`."""
        return (*self.feature_names_in_.tolist(), *PERIOD_COLUMNS)

    def _clock(self, x: np.ndarray, at: np.ndarray, period: np.ndarray) -> np.ndarray:
        """Return the `PERIOD_COLUMNS` of the points at some positions in `x`, each in a period: (n, 2) float32."""
        start = self._starts[period]
        known = np.flatnonzero(self.feature_names_in_ == SILENCE)
        return np.column_stack([start, x[at, known[0]] + start if len(known) else np.full_like(start, np.nan)])

    def set_clock(self, x: np.ndarray, period: np.ndarray | int) -> np.ndarray:
        """Set the clock of a matrix to the start of `period`, in place."""
        start = self._starts[period]
        known = np.flatnonzero(self.feature_names_in_ == SILENCE)
        x[:, -2] = start
        x[:, -1] = x[:, known[0]] + start if len(known) else np.nan
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
        x = np.ascontiguousarray(select(X, self.feature_names_in_).to_numpy(np.float32))
        known = np.flatnonzero(self.feature_names_in_ == SILENCE)
        out = np.zeros((len(x), len(self.edges_)))
        roll(plant(self.trees_), x, int(known[0]) if len(known) else -1, self._starts, out)
        return out + self.starts(X)

    def starts(self, X: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of return that the trees start from in each period, (n, n_periods)."""
        if self.rhythm_ is None:
            return np.broadcast_to(self.start_, (len(X), len(self.start_)))
        own = self.rhythm_.starts(X, self.edges_)
        return np.where(np.isnan(own), self.start_, own)

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


class _Held(NamedTuple):
    """Rows held out as the newest, and what was known before the first of them."""

    is_before: np.ndarray  # bool
    known: pd.DataFrame  # of the rows before: `return_days` and `observed_days`
    newer: np.ndarray  # positions of the others
    rows: PersonPeriods  # theirs


def _hold_out(y: pd.DataFrame, days: np.ndarray, is_before: np.ndarray, edges: np.ndarray) -> _Held | None:
    """Hold out the rows that are not `is_before`; None where nobody is known to have returned before, or after."""
    if is_before.all() or not is_before.any():
        return None
    # What the earlier rows were seen to do from the first of the newer ones on would be of their time.
    room = np.minimum(y["observed_days"].to_numpy(float), days[~is_before].min() - days)
    back = y["return_days"].where(y["return_days"] < room)
    known = pd.DataFrame({"return_days": back.to_numpy(float), "observed_days": room}, index=y.index)[is_before]
    newer = np.flatnonzero(~is_before)
    rows = expand(y["return_days"].to_numpy(float)[newer], y["observed_days"].to_numpy(float)[newer], edges)
    if known["return_days"].isna().all() or not rows.has_returned.any():
        return None
    return _Held(is_before, known, newer, rows)


class InPeriods(Batches):
    """Rows of points in periods, made as LightGBM asks for them: all together they are as many times the features."""

    batch_size = 1 << 14

    def __init__(self, x: np.ndarray, at: np.ndarray, clock: np.ndarray) -> None:
        """Put the rows of `x` at some positions before a `clock` each."""
        self.x, self.at, self.clock = x, at, clock

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.at)

    def __getitem__(self, i: int | slice) -> np.ndarray:
        """Return rows, or one row as the wide numbers that LightGBM samples."""
        if isinstance(i, slice):
            return np.column_stack([self.x[self.at[i]], self.clock[i]])
        return np.concatenate([self.x[self.at[i]], self.clock[i]], dtype=float)

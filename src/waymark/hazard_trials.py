"""What a hazard is tried with before it is grown: where its trees start from, how many, and how what they say is bent.

All on persons or nights that the trees do not know, of at most `TRIAL_ROWS` rows: what a trial costs is bounded. A
`hazard` here is one of `hazard.Hazard`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from lightgbm import Booster
from sklearn.base import ClassifierMixin, clone

from waymark.calibration import UNBENT, Bend, fit_bend, gain_of
from waymark.estimators import Rows, grow
from waymark.period_rows import PeriodRows, Points
from waymark.periods import PersonPeriods, expand
from waymark.rhythm import Rhythm

TRIAL_ROWS = 300_000  # of points in periods


class Trial(NamedTuple):
    """What came out."""

    from_rhythm: bool  # the trees should start from BG/NBD
    n_rounds: int | None  # of trees; None: all rows have to say


def try_starts(hazard: ClassifierMixin, points: Points) -> Trial:
    """Try from what the trees of a new hazard should start, and how many serve persons held out best.

    The rounds that some of the persons ask for are those of all of them where the trial has all. Where some do not ask
    to stop at all, neither do more of them.
    """
    is_drawn = points.draw(hazard.edges_, TRIAL_ROWS)
    some = points if is_drawn.all() else points.only(is_drawn)
    rows = hazard.lay(some)
    take, boosting = hazard.reader(some, rows), hazard.boosting()

    def attempt(rhythm: Rhythm | None) -> tuple[int, Booster | None, Rows]:
        task = hazard.rows_from(rhythm, some, rows)
        return *boosting.try_rows(lambda t: grow(take, t), task, rows.is_judge), task

    def scores(trees: Booster, task: Rows) -> np.ndarray:
        at = np.flatnonzero(rows.is_judge)
        return trees.predict(take(at)[:], raw_score=True, num_threads=1) + task.scores[at]

    n_rounds, trees, task = attempt(None)
    from_rhythm = False
    if trees is not None and hazard.start_share and some.days is not None:
        rhythm = hazard.rhythm_of(some, rows)
        if rhythm is not None:
            plain = scores(trees, task)
            n_started, trees, task = attempt(rhythm)
            from_rhythm = _is_proven(plain, scores(trees, task), rows, hazard.random_state)
            from_rhythm = from_rhythm and gains_in_time(hazard, some)
            n_rounds = n_started if from_rhythm else n_rounds
    may_stop = n_rounds + hazard.early_stopping_rounds <= hazard.n_estimators
    if some is not points:
        n_rounds = None if may_stop else hazard.n_estimators
    return Trial(from_rhythm, n_rounds)


def _is_proven(plain: np.ndarray, started: np.ndarray, rows: PeriodRows, seed: int) -> bool:
    judged = (v[rows.is_judge] for v in (rows.has_returned, rows.person))
    _, least = gain_of(plain, started, *judged, seed, rows.weight[rows.is_judge])
    return least > 0


def gains_in_time(hazard: ClassifierMixin, points: Points) -> bool:
    """Say whether a start from BG/NBD is proven to serve the newest points, learnt from what came before them."""
    first = np.quantile(points.days, 1 - hazard.start_share, method="higher")
    held = _hold_out(points, points.days < first, hazard.edges_)
    if held is None:
        return False
    newer = points.with_columns(hazard.all_columns, held.newer)
    scores = [
        clone(hazard).grow_trees(held.before, from_rhythm).scores(newer)[held.rows.point, held.rows.period]
        for from_rhythm in (False, True)
    ]
    whose = points.person[held.newer[held.rows.point]]
    _, least = gain_of(*scores, held.rows.has_returned, whose, hazard.random_state)
    return least > 0


def find_bend(hazard: ClassifierMixin, points: Points) -> Bend:
    """Return what should become of the log-odds of a hazard, `UNBENT` where nothing is proven to serve them."""
    points = points.only(points.draw(hazard.edges_, TRIAL_ROWS))
    days, share = points.days, hazard.calibration_share
    first, middle = np.quantile(days, [1 - share, 1 - share / 2], method="higher")
    held = _hold_out(points, days < first, hazard.edges_)
    if held is None or not (days > middle).any():
        return UNBENT
    earlier = clone(hazard).grow_trees(held.before, hazard.rhythm_ is not None)
    rows, at = held.rows, held.newer[held.rows.point]
    scores = earlier.scores(points.with_columns(hazard.all_columns, held.newer))[rows.point, rows.period]
    draw = pd.util.hash_array(points.names, hash_key="whose line it is") & np.uint64(1)
    is_half = draw.astype(bool)[points.person[at]]
    learns, proves = is_half & (days[at] <= middle), ~is_half & (days[at] > middle)
    if not learns.any() or not proves.any():
        return UNBENT
    bend = fit_bend(scores[learns], rows.has_returned[learns])
    judged = rows.has_returned[proves], points.person[at[proves]], hazard.random_state
    _, least = gain_of(scores[proves], bend.of(scores[proves]), *judged)
    return bend if least > 0 else UNBENT


class _Held(NamedTuple):
    """Points held out as the newest, and what was known before the first of them."""

    before: Points  # the others, as far as they were watched until then
    newer: np.ndarray  # positions
    rows: PersonPeriods  # of the newer ones


def _hold_out(points: Points, is_before: np.ndarray, edges: np.ndarray) -> _Held | None:
    """Hold out the points that are not `is_before`; None where nobody is known to have returned before, or after."""
    if is_before.all() or not is_before.any():
        return None
    # What the earlier points were seen to do from the first of the newer ones on would be of their time.
    room = np.minimum(points.observed_days, points.days[~is_before].min() - points.days)[is_before]
    before = points.only(is_before)
    back = np.where(before.return_days < room, before.return_days, np.nan)
    newer = np.flatnonzero(~is_before)
    rows = expand(points.return_days[newer], points.observed_days[newer], edges)
    if np.isnan(back).all() or not rows.has_returned.any():
        return None
    return _Held(before._replace(return_days=back, observed_days=room), newer, rows)

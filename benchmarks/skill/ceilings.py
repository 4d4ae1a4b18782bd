"""What the data hold: what more of them bring, what other families of models see in them, and bounds for all of these.

Nothing here is chosen by a row that tests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from skill.families import drawn, few, others
from skill.judging import test_rows, train
from skill.logs import Points
from skill.twins import twins
from waymark import metrics, models
from waymark.estimators import Logistic
from waymark.evaluation import aligned, rounded
from waymark.inputs import labels
from waymark.models import END

SHARES = (0.2, 0.4, 0.8)  # of the persons that train; another fifth of them is held out
MOST_LEARNT = 80_000  # rows; where more train, the shares are of some persons with so many
MOST_ASKED = 5_000  # test rows; of more, hindsight takes too long
HELD_OUT = 0.2
N_FOLDS = 5  # of the persons that test
N_DRAWS = 200
SHOWN = {"next_stage": ("accuracy", "log_loss", "ece"), "churn": ("auc", "log_loss", "ece")}

Judged = dict[str, float]


class Question(Protocol):
    """What is asked of a log: the rows, how ours learns from some of the persons, and how a forecast is judged."""

    target: str
    persons: pd.Series  # who trains
    begun: pd.Series | None  # when each of them began, where they follow one another; by person
    named: pd.DataFrame  # rows that train the other families, with `label`
    test: pd.DataFrame  # rows that test, with `label`
    after: pd.DataFrame  # the same, with those whose label is an answer but not judged

    def ours(self, persons: Collection[str]) -> ClassifierMixin:
        """Train ours on the rows of some of the persons that train."""

    def held_out(self, persons: Collection[str]) -> pd.DataFrame:
        """Return the rows of some of the persons that train, as those of `test` are; none where none has a label."""

    def logistic(self) -> Logistic:
        """Return a new logistic model of the features."""

    def trees(self) -> ClassifierMixin:
        """Return new trees with the settings of ours that read labels."""

    def forecast(self, model: ClassifierMixin, rows: pd.DataFrame, is_ours: bool) -> Any:
        """Return what a model says of some rows."""

    def judge(self, forecast: Any, rows: pd.DataFrame) -> Judged:
        """Say how good a forecast was."""

    def draw(self, forecast: Any, rng: np.random.Generator) -> Callable[[], Judged]:
        """Return what draws outcomes of the rows of `after` from a forecast, as if it were right, and judges it."""


def explore(question: Question) -> dict[str, Any]:
    """Return what more persons bring, what other families see, and what forecasts that are right would reach.

    Returns
    -------
    dict
        `curve`: ours learnt from ever more persons, judged on others who could have trained and on the test rows.
        `families`: others learnt from all persons, at most `MOST_ROWS` of their rows. `hindsight`: where no more than
        `MOST_ASKED` rows test, families learnt from the labels of other test persons, which nobody had. `right`: how
        the last of the curve would be judged, on average and 95 % of the time, if outcomes were drawn from its own
        forecasts. `twins`: see `twins`; for cases.
    """
    test = question.test
    curve, model = learning_curve(question)
    families = {
        name: question.judge(question.forecast(other, test, False), test)
        for name, other in others(question.logistic(), few(question.named))
    }
    found = {
        "target": question.target,
        "curve": curve,
        "families": families,
        "n_named": len(few(question.named)),
        "hindsight": hindsight(question) if len(test) <= MOST_ASKED else {},
        "right": right(question, question.forecast(model, question.after, True)),
    }
    if isinstance(question, Labels) and question.has_sequences:
        found["twins"] = twins(question.points.rows, test, model)
    return rounded(found)


def learning_curve(question: Question) -> tuple[list[dict[str, Any]], ClassifierMixin]:
    """Train ours on ever more persons, and judge it on held-out ones and on the test rows; return also the last."""
    persons, begun = question.persons, question.begun
    if begun is None:
        is_out = drawn(persons, HELD_OUT, "held out")
    else:
        is_out = (begun >= begun.quantile(1 - HELD_OUT)).reindex(persons).to_numpy()
    held_out = question.held_out(set(persons[is_out]))
    curve, most = [], min(1, MOST_LEARNT / len(question.named))
    for share in (most * share for share in SHARES):
        learn = persons[~is_out & drawn(persons, share / (1 - HELD_OUT), "among few")]
        model = question.ours(set(learn))
        judged = {
            name: question.judge(question.forecast(model, rows, True), rows)
            for name, rows in (("held_out", held_out), ("test", question.test))
            if len(rows)
        }
        curve.append({"share": share, "n_persons": len(learn), **judged})
    return curve, model


def hindsight(question: Question) -> dict[str, Judged]:
    """Judge families that learnt from the labels of other test persons: what the features could have told."""
    test, after = question.test, question.after
    forecasts: dict[str, Any] = {}
    for k in range(N_FOLDS):
        is_asked, is_other = _fold(test) == k, _fold(after) != k
        for name, model in _with_trees(question, few(after[is_other])):
            forecast = question.forecast(model, test[is_asked], True)
            whole = forecasts.setdefault(name, np.zeros((len(test), *forecast.shape[1:])))
            whole[is_asked] = forecast
    return {name: question.judge(forecast, test) for name, forecast in forecasts.items()}


def _fold(rows: pd.DataFrame) -> np.ndarray:
    return pd.util.hash_array(rows["person_id"].to_numpy(object), hash_key="which fold it is") % N_FOLDS


def _with_trees(question: Question, rows: pd.DataFrame) -> Iterator[tuple[str, ClassifierMixin]]:
    yield "trees like ours", models.fit(question.trees(), rows)
    yield from others(question.logistic(), rows)


def right(question: Question, forecast: Any) -> dict[str, Judged]:
    """Judge forecasts by outcomes drawn from themselves: the `mean`, and where 95 % of the draws lie, by metric.

    Not a bound for models that know more; but what lies within the interval, the labels of these rows cannot tell from
    the truth.
    """
    draw = question.draw(forecast, np.random.default_rng(7))
    judged = pd.DataFrame([draw() for _ in range(N_DRAWS)])
    low, high = (judged.quantile(q) for q in (0.025, 0.975))
    return {m: {"mean": judged[m].mean(), "low": low[m], "high": high[m]} for m in judged}


@dataclass(frozen=True)
class Labels:
    """The next stage, or silence, asked of the points of a log.

    `known_days` is the longest horizon that labels were known of before the test, where that is less than the judged
    one: other families learn silence within it, and their forecasts are carried on at one rate.
    """

    points: Points
    target: str
    known_days: float | None = None

    @property
    def has_sequences(self) -> bool:
        """Whether points are events of cases, whose twins can be found."""
        return self.target == "next_stage" and self.points.settings.features.points == "every_event"

    @cached_property
    def test(self) -> pd.DataFrame:
        """The rows that are judged."""
        return test_rows(self.points, self.target)

    @cached_property
    def after(self) -> pd.DataFrame:
        """The rows that are judged, and cases that end."""
        return models.labelled(self.points.rows, self.points.truth[self.points.truth["fold"] == "test"], self.target)

    @cached_property
    def persons(self) -> pd.Series:
        """Who trains."""
        truth = self.points.truth
        return pd.Series(truth.loc[truth["fold"] == "train", "person_id"].unique())

    @cached_property
    def named(self) -> pd.DataFrame:
        """The rows that train, with their labels."""
        truth = self.points.truth[self.points.truth["fold"] == "train"]
        if self.known_days is not None:
            return models.labelled_at(self.points.rows, truth, self.known_days)
        return models.labelled(self.points.rows, truth, self.target)

    @cached_property
    def begun(self) -> pd.Series | None:
        """The place of each case that trains in the order of cases."""
        truth = self.points.truth
        if self.points.settings.split.kind != "cases":
            return None
        return truth[truth["fold"] == "train"].groupby("person_id")["split_rank"].min()

    @cached_property
    def classes(self) -> list[str]:
        """Every label that there is."""
        return sorted({*labels(self.named["label"]).tolist(), *labels(self.after["label"]).tolist()})

    def ours(self, persons: Collection[str]) -> ClassifierMixin:
        """Train the configured model on some persons."""
        fewer = self._dealt(persons, "train", "other")
        return train(fewer, self.target, self.points.settings.model.of(self.target).name)[0]

    def held_out(self, persons: Collection[str]) -> pd.DataFrame:
        """Return the rows of some persons, as if they tested."""
        return test_rows(self._dealt(persons, "test", "other"), self.target)

    def _dealt(self, persons: Collection[str], mine: str, others: str) -> Points:
        """Deal the rows that train to `mine` of some persons, and `others`; rows that test test nothing now."""
        truth = self.points.truth
        fold = np.where(truth["person_id"].isin(persons), mine, others)
        return replace(self.points, truth=truth.assign(fold=np.where(truth["fold"] == "train", fold, "other")))

    def logistic(self) -> Logistic:
        """Return a new logistic model of the features."""
        return self._make("logistic", {})

    def trees(self) -> ClassifierMixin:
        """Return new trees with the settings of the next stage's, which are those of churn's but for the hazard."""
        return self._make("lightgbm", self.points.settings.model.of("next_stage").settings)

    def _make(self, name: str, settings: Mapping[str, Any]) -> ClassifierMixin:
        cfg = self.points.settings
        return models.make(name, settings, self.points.catalogue, cfg.seed, cfg.features.groups, self.target)

    def forecast(self, model: ClassifierMixin, rows: pd.DataFrame, is_ours: bool) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        p = aligned(model, rows, self.classes)
        if is_ours or self.known_days is None:
            return p
        silent = p[:, 1] ** (self.points.horizons.judged / self.known_days)
        return np.column_stack([1 - silent, silent])

    @cached_property
    def _judges(self) -> list[Any]:
        return [judge for judge in metrics.metrics_for(self.target) if judge.name in SHOWN[self.target]]

    def judge(self, forecast: np.ndarray, rows: pd.DataFrame) -> Judged:
        """Return the metrics of `SHOWN`."""
        y = np.searchsorted(self.classes, labels(rows["label"]))
        return {judge.name: float(judge(y, forecast)) for judge in self._judges}

    def draw(self, forecast: np.ndarray, rng: np.random.Generator) -> Callable[[], Judged]:
        """Draw a label of each row from its probabilities."""
        until = np.cumsum(forecast, axis=1)[:, :-1]
        is_left_out = np.isin(self.classes, [END]) & (len(self.after) != len(self.test))

        def once() -> Judged:
            y = (rng.random((len(until), 1)) > until).sum(axis=1)
            is_judged = ~is_left_out[y]
            return {judge.name: float(judge(y[is_judged], forecast[is_judged])) for judge in self._judges}

        return once

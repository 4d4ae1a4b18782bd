"""What the data hold: what more of them bring, what other families of models see in them, and a bound for all of these.

Nothing here is chosen by a test row: the families have the settings below on every log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from skill.judging import test_rows, train
from skill.logs import Points
from waymark import metrics, models
from waymark.estimators import Logistic
from waymark.evaluation import aligned, rounded
from waymark.inputs import labels

SHARES = (0.1, 0.2, 0.4, 0.8)  # of the persons that train; the newest fifth of them is held out
HELD_OUT = 0.2
FOREST = {"n_estimators": 200, "min_samples_leaf": 5, "n_jobs": 1, "random_state": 0}
FAMILIES: Mapping[str, Callable[[], ClassifierMixin]] = {
    "random forest": lambda: RandomForestClassifier(**FOREST),
    "extra trees": lambda: ExtraTreesClassifier(**FOREST),
    "50 nearest neighbours": lambda: KNeighborsClassifier(n_neighbors=50, weights="distance"),
    "small neural net": lambda: MLPClassifier((64,), alpha=1e-3, early_stopping=True, max_iter=60, random_state=0),
}
SHOWN = {"next_stage": ("accuracy", "log_loss"), "churn": ("auc", "log_loss")}


def explore(points: Points, target: str) -> dict[str, Any]:
    """Return the learning curve of ours, how other families forecast the test rows, and the bound of twins."""
    found = {"target": target, "curve": learning_curve(points, target), "families": families(points, target)}
    if target == "next_stage" and points.settings.features.points == "every_event":
        found["twins"] = twins(points)
    return rounded(found)


def learning_curve(points: Points, target: str) -> list[dict[str, Any]]:
    """Train ours on ever more persons; judge it on the newest that could have trained, and on the test rows."""
    truth, ours = points.truth, points.settings.model.of(target).name
    trains = truth["fold"] == "train"
    begun = truth[trains].groupby("person_id")["split_rank"].min()
    is_newest = (begun >= begun.quantile(1 - HELD_OUT)).reindex(truth["person_id"], fill_value=False).to_numpy()
    held_out = replace(points, truth=truth.assign(fold=np.where(trains & is_newest, "test", "other")))
    curve = []
    for share in SHARES:
        is_drawn = trains & ~is_newest & drawn(truth["person_id"], share / (1 - HELD_OUT))
        fewer = replace(points, truth=truth.assign(fold=np.where(trains & ~is_drawn, "other", truth["fold"])))
        model, card = train(fewer, target, ours)
        judged = {
            name: _judge(model, test_rows(p, target), target) for name, p in (("held_out", held_out), ("test", points))
        }
        curve.append({"share": share, "n_persons": card["n_train_persons"], **judged})
    return curve


def drawn(persons: pd.Series, share: float) -> np.ndarray:
    """Draw a share of the persons by a hash of their ids: bool, by row. Who is of a share is of a larger one, too."""
    return pd.util.hash_array(persons.to_numpy(object), hash_key="who is among few") / 2.0**64 < share


def families(points: Points, target: str) -> dict[str, dict[str, float]]:
    """Train other families on the same rows and features: numbers as signed logarithms, categories one-hot."""
    groups = points.settings.features.groups
    logistic = models.make("logistic", {}, points.catalogue, points.settings.seed, groups, target)
    rows = models.labelled(points.rows, points.truth[points.truth["fold"] == "train"], target)
    models.fit(logistic, rows)
    test = test_rows(points, target)
    return {name: _judge(model, test, target) for name, model in others(logistic, rows)}


def others(logistic: Logistic, rows: pd.DataFrame) -> Iterator[tuple[str, ClassifierMixin]]:
    """Yield the fitted `logistic` model and those of other families, fitted to the same `rows` of `models.labelled`."""
    yield "logistic", logistic
    x, y = logistic.design(rows).astype(np.float32).toarray(), labels(rows["label"])
    for name, make in FAMILIES.items():
        yield name, _Designed(logistic, make().fit(x, y))


class _Designed:
    """A classifier that reads frames as the logistic one does."""

    def __init__(self, reader: Logistic, model: ClassifierMixin) -> None:
        self.reader, self.model, self.classes_ = reader, model, model.classes_

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        p = self.model.predict_proba(self.reader.design(X).astype(np.float32).toarray())
        return (p + 1e-4) / (1 + 1e-4 * p.shape[1])  # what no neighbour did is unlikely, not impossible


def _judge(model: ClassifierMixin, rows: pd.DataFrame, target: str) -> dict[str, float]:
    label = labels(rows["label"])
    classes = sorted({*model.classes_.tolist(), *label.tolist()})
    y, p = np.searchsorted(classes, label), aligned(model, rows, classes)
    return {judge.name: float(judge(y, p)) for judge in metrics.metrics_for(target) if judge.name in SHOWN[target]}


def twins(points: Points) -> dict[str, float]:
    """Bound the accuracy of whatever looks at the sequence of stages alone, by test cases that share it so far.

    Two cases with the same sequence are each other's nearest neighbours, at no distance: how often what comes next in
    one is what comes next in the other bounds how often anybody can tell, with any number of cases to learn from.

    Returns
    -------
    dict
        `share` of test rows whose sequence another test case has; `alike`, how often two such cases go on alike;
        `at_most`, the bound; and the `accuracy` of ours on the same rows.

    References
    ----------
    Cover, Hart (1967), Nearest neighbor pattern classification, IEEE Transactions on Information Theory 13(1), theorem.
    """
    test = test_rows(points, "next_stage")
    key = ["person_id", "prefix_length"]
    test = test.merge(_sequences(points.rows), on=key, validate="one_to_one")
    group, code = pd.factorize(test["sequence"])[0], pd.factorize(test["label"])[0]
    n, n_classes = np.bincount(group), code.max() + 1
    counts = np.bincount(group * n_classes + code, minlength=len(n) * n_classes).reshape(-1, n_classes)
    has_twin = n[group] > 1
    pairs = (counts * (counts - 1)).sum(axis=1) / np.maximum(n * (n - 1), 1)
    alike = float(pairs[group][has_twin].mean())
    ours, _ = train(points, "next_stage", points.settings.model.of("next_stage").name)
    rows = test[has_twin]
    return {
        "share": float(has_twin.mean()),
        "alike": alike,
        "at_most": at_most(alike, n_classes),
        "accuracy": float((ours.predict(rows) == labels(rows["label"])).mean()),
    }


def at_most(alike: float, n_classes: int) -> float:
    """Return the best accuracy where two nearest neighbours are of one class so often.

    With error e of the best and K classes, neighbours differ at most 2 e - K / (K - 1) e^2 of the time.
    """
    most = (n_classes - 1) / n_classes
    return 1 - most * (1 - np.sqrt(max(0.0, 1 - (1 - alike) / most)))


def _sequences(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a hash of the stages so far of each row: `person_id`, `prefix_length`, `sequence`."""
    rows = rows[["person_id", "prefix_length", "stage"]].sort_values(["person_id", "prefix_length"])
    is_first = ~rows["person_id"].duplicated().to_numpy()
    so_far, last = [], 0
    for begins, code in zip(is_first.tolist(), pd.factorize(rows["stage"])[0].tolist(), strict=True):
        last = hash((0 if begins else last, code))
        so_far.append(last)
    return rows.assign(sequence=so_far).drop(columns="stage")

"""Other families of models, with the settings below on every log: nothing here is chosen by a row that tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from waymark import models
from waymark.estimators import Logistic
from waymark.inputs import labels

MOST_ROWS = 15_000  # of more, the families learn from those of some persons
FOREST = {"n_estimators": 100, "min_samples_leaf": 5, "n_jobs": 1, "random_state": 0}
FAMILIES: Mapping[str, Callable[[], ClassifierMixin]] = {
    "random forest": lambda: RandomForestClassifier(**FOREST),
    "extra trees": lambda: ExtraTreesClassifier(**FOREST),
    "50 nearest neighbours": lambda: KNeighborsClassifier(n_neighbors=50, weights="distance"),
    "small neural net": lambda: MLPClassifier((64,), alpha=1e-3, early_stopping=True, max_iter=60, random_state=0),
}


def others(logistic: Logistic, rows: pd.DataFrame) -> Iterator[tuple[str, ClassifierMixin]]:
    """Yield the families, fitted to `rows` of `models.labelled`: a new `logistic` model, then those that read as it."""
    yield "logistic", models.fit(logistic, rows)
    x, y = logistic.design(rows).astype(np.float32).toarray(), labels(rows["label"])
    for name, make in FAMILIES.items():
        yield name, _Designed(logistic, make().fit(x, y))


class _Designed:
    """A classifier that reads frames as the logistic one does: signed logarithms, and categories one-hot."""

    def __init__(self, reader: Logistic, model: ClassifierMixin) -> None:
        self.reader, self.model, self.classes_ = reader, model, model.classes_

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        p = self.model.predict_proba(self.reader.design(X).astype(np.float32).toarray())
        return (p + 1e-4) / (1 + 1e-4 * p.shape[1])  # what no neighbour did is unlikely, not impossible


def few(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of some persons where there are more than `MOST_ROWS`."""
    return rows if len(rows) <= MOST_ROWS else rows[drawn(rows["person_id"], MOST_ROWS / len(rows), "few")]


def drawn(persons: pd.Series, share: float, key: str) -> np.ndarray:
    """Draw a share of the persons by a hash of their ids: bool, by row. Who is of a share is of a larger one, too."""
    return pd.util.hash_array(persons.to_numpy(object), hash_key=f"{key:<16}") / 2.0**64 < share

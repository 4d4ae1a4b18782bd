"""What a model must beat: class shares and transition tables. The logistic ones are `estimators.Logistic`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from waymark.estimators import labels, select


class BackOff(ClassifierMixin, BaseEstimator):
    """Class shares by context, each context blended with the wider one it refines.

    The context of a row is the values of its first 0, 1, 2, ... columns. With n rows of class counts n_c in a
    context, P(c | context) = (n_c + s P(c | wider context)) / (n + s); the widest context blends with 1 / classes.
    A row is forecast by the longest of its contexts that the fit has seen.

    Parameters
    ----------
    columns
        Categories (positions, NaN is a value of its own), the most telling first. None: no context.
    order
        Use at most so many of them. A column that splits no context is left out.
    smoothing
        s, in rows. None: the number of distinct classes seen in the context (Witten-Bell).

    References
    ----------
    Witten, Bell (1991), The zero-frequency problem, IEEE Transactions on Information Theory 37(4), method C;
    Chen, Goodman (1999), An empirical study of smoothing techniques for language modeling.
    """

    def __init__(self, columns: tuple[str, ...] | None = None, order: int = 5, smoothing: float | None = None) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.order = order
        self.smoothing = smoothing

    def fit(self, X: pd.DataFrame, y: Sequence, sample_weight: np.ndarray | None = None) -> BackOff:
        """Count the classes of every context, from the widest to the longest."""
        self.feature_names_in_ = np.array((self.columns or ())[: self.order], dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_, codes = np.unique(labels(y), return_inverse=True)
        weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, float)
        values = _codes(X, self.feature_names_in_)
        self.sizes_ = values.max(axis=0, initial=0) + 1
        context = np.zeros(len(codes), np.int64)
        uniform = np.full((1, len(self.classes_)), 1 / len(self.classes_))
        self.keys_, self.tables_ = [np.zeros(1, np.int64)], [self._blend(context, codes, weight, uniform)]
        self.used_ = []
        for j in range(self.n_features_in_):
            keys, finer = np.unique(context * self.sizes_[j] + values[:, j], return_inverse=True)
            if len(keys) == len(self.keys_[-1]):
                continue
            wider = self.tables_[-1][keys // self.sizes_[j]]
            self.tables_.append(self._blend(finer, codes, weight, wider))
            self.keys_.append(keys)
            self.used_.append(j)
            context = finer
        return self

    def _blend(self, context: np.ndarray, codes: np.ndarray, weight: np.ndarray, wider: np.ndarray) -> np.ndarray:
        """Return P(class | context) as (contexts, classes), given that of the wider context of each."""
        n_classes = wider.shape[1]
        counts = np.bincount(context * n_classes + codes, weight, len(wider) * n_classes).reshape(-1, n_classes)
        if self.smoothing is None:
            pull = (counts > 0).sum(axis=1, keepdims=True).astype(float)
        else:
            pull = np.full((len(counts), 1), float(self.smoothing))
        return (counts + pull * wider) / (counts.sum(axis=1, keepdims=True) + pull)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        values = _codes(X, self.feature_names_in_)
        known = np.arange(len(X))  # rows whose context so far the fit has seen
        context = np.zeros(len(X), np.int64)
        p = np.repeat(self.tables_[0], len(X), axis=0)
        for keys, table, j in zip(self.keys_[1:], self.tables_[1:], self.used_, strict=True):
            wanted = context * self.sizes_[j] + values[known, j]
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            seen = (keys[at] == wanted) & (values[known, j] < self.sizes_[j])
            known, context = known[seen], at[seen]
            p[known] = table[context]
        return p

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _codes(X: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return categories as whole numbers from 1, with 0 for a missing one."""
    return np.nan_to_num(select(X, columns).to_numpy(float) + 1).astype(np.int64)

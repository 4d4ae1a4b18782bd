"""What a model must beat: class shares, what was last, and transition tables.

The logistic ones are `estimators.Logistic`, and BG/NBD is in `bgnbd`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from waymark.inputs import labels, select
from waymark.pace import Paced


class BackOff(Paced, ClassifierMixin, BaseEstimator):
    """Class shares by context, each context blended with the wider one it refines.

    The context of a row is the values of its first 0, 1, 2, ... columns. With n rows of class shares q_c in a
    context, P(c | context) = (n q_c + s P(c | wider context)) / (n + s); the widest context blends with 1 / classes.
    A row is forecast by the longest of its contexts that the fit has seen. Where the fit is told whose rows they are,
    n counts persons: the nights of one person are nearly copies, and a hundred of them prove no more than one.

    Parameters
    ----------
    columns
        Categories (positions, NaN is a value of its own), the most telling first. None: no context.
    order
        Use at most so many of them. A column that splits no context is left out.
    smoothing
        s, in rows. None: the number of distinct classes seen in the context (Witten-Bell).
    classes
        Classes that there may be, whether or not the rows of the fit have them.

    References
    ----------
    Witten, Bell (1991), The zero-frequency problem, IEEE Transactions on Information Theory 37(4), method C;
    Chen, Goodman (1999), An empirical study of smoothing techniques for language modeling.
    """

    def __init__(
        self,
        columns: tuple[str, ...] | None = None,
        order: int = 5,
        smoothing: float | None = None,
        classes: tuple[str, ...] = (),
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.order = order
        self.smoothing = smoothing
        self.classes = classes

    def fit(
        self,
        X: pd.DataFrame,
        y: Sequence,
        sample_weight: np.ndarray | None = None,
        groups: Sequence | None = None,
    ) -> BackOff:
        """Count the classes of every context, from the widest to the longest; `groups` says whose row it is."""
        self.feature_names_in_ = np.array((self.columns or ())[: self.order], dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        label = labels(y)
        self.classes_ = np.unique(np.append(label, labels(self.classes)) if self.classes else label)
        codes = np.searchsorted(self.classes_, label)
        weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, float)
        group = np.arange(len(codes)) if groups is None else pd.factorize(np.asarray(groups, object))[0]
        values = _codes(X, self.feature_names_in_)
        self.sizes_ = values.max(axis=0, initial=0) + 1
        context = np.zeros(len(codes), np.int64)
        uniform = np.full((1, len(self.classes_)), 1 / len(self.classes_))
        self.keys_, self.tables_ = [np.zeros(1, np.int64)], [self._blend(context, codes, weight, group, uniform)]
        self.used_ = []
        for j in range(self.n_features_in_):
            keys, finer = np.unique(context * self.sizes_[j] + values[:, j], return_inverse=True)
            if len(keys) == len(self.keys_[-1]):
                continue
            wider = self.tables_[-1][keys // self.sizes_[j]]
            self.tables_.append(self._blend(finer, codes, weight, group, wider))
            self.keys_.append(keys)
            self.used_.append(j)
            context = finer
        return self

    def _blend(
        self, context: np.ndarray, codes: np.ndarray, weight: np.ndarray, group: np.ndarray, wider: np.ndarray
    ) -> np.ndarray:
        """Return P(class | context) as (contexts, classes), given that of the wider context of each."""
        n_classes = wider.shape[1]
        counts = np.bincount(context * n_classes + codes, weight, len(wider) * n_classes).reshape(-1, n_classes)
        total = counts.sum(axis=1, keepdims=True)
        n_groups, n_rows = group.max(initial=0) + 1, np.bincount(context, minlength=len(wider))
        groups = np.bincount(np.unique(context * n_groups + group) // n_groups, minlength=len(wider))
        evidence = total * (groups / np.maximum(n_rows, 1))[:, None]
        if self.smoothing is None:
            pull = (counts > 0).sum(axis=1, keepdims=True).astype(float)
        else:
            pull = np.full((len(counts), 1), float(self.smoothing))
        shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
        return (evidence * shares + pull * wider) / (evidence + pull)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        *_, p = self.refine(X)
        return p

    def refine(self, X: pd.DataFrame) -> Iterator[np.ndarray]:
        """Yield the probabilities given the first 0, 1, 2, ... of the columns; one array, refined in place."""
        values = _codes(X, self.feature_names_in_)
        known = np.arange(len(X))  # rows whose context so far the fit has seen
        context = np.zeros(len(X), np.int64)
        p = np.repeat(self.tables_[0], len(X), axis=0)
        yield p
        finer = dict(zip(self.used_, zip(self.keys_[1:], self.tables_[1:], strict=True), strict=True))
        for j in range(self.n_features_in_):
            if j in finer:
                keys, table = finer[j]
                wanted = context * self.sizes_[j] + values[known, j]
                at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
                seen = (keys[at] == wanted) & (values[known, j] < self.sizes_[j])
                known, context = known[seen], at[seen]
                p[known] = table[context]
            yield p

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class RepeatLast(ClassifierMixin, BaseEstimator):
    """What is, stays: one share of all rows for that, and those of the other classes where something else comes.

    Published comparisons of next activities call this "repeat last". Each share counts as if `smoothing` rows more had
    been of the class. A class that is the present one is no other: it has no probability.

    Parameters
    ----------
    columns
        The one that holds positions in `names`: what is.
    names
        What the positions mean; classes are called so.
    repeat
        The class of what stays.
    smoothing
        In rows.
    """

    def __init__(
        self,
        columns: tuple[str] = ("f_stage",),
        names: tuple[str, ...] = (),
        repeat: str = "stay",
        smoothing: float = 1.0,
    ) -> None:
        """Keep the arguments."""
        self.columns = columns
        self.names = names
        self.repeat = repeat
        self.smoothing = smoothing

    def fit(self, X: pd.DataFrame, y: Sequence, sample_weight: np.ndarray | None = None) -> RepeatLast:
        """Count the classes."""
        self.feature_names_in_ = np.array(self.columns, dtype=str)
        self.n_features_in_ = len(self.feature_names_in_)
        self.classes_, codes = np.unique(labels(y), return_inverse=True)
        counts = np.bincount(codes, sample_weight, len(self.classes_)) + self.smoothing
        self.shares_ = counts / counts.sum()
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, in the order of `classes_`."""
        present = np.array([*self.names, ""])[_codes(X, self.feature_names_in_)[:, 0] - 1]
        is_repeat = self.classes_ == self.repeat
        others = np.where(is_repeat | (self.classes_ == present[:, None]), 0.0, self.shares_)
        total = others.sum(axis=1, keepdims=True)
        # Where there is no other class, all is left to the repeat; without one, there is nothing to tell.
        alone = is_repeat if is_repeat.any() else self.shares_
        stays = self.shares_[is_repeat].sum()
        shared = others * (1 - stays) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, np.where(is_repeat, stays, shared), alone)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return the likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def prequential(
    model: BackOff,
    X: pd.DataFrame,
    y: Sequence,
    groups: Sequence | None,
    times: Sequence | None,
    sample_weight: np.ndarray | None,
    seed: int,
    n_blocks: int = 10,
) -> np.ndarray:
    """Return what tables like `model` say of each row, learnt from the groups that began before its own.

    Parameters
    ----------
    model
        Fitted to all the rows; says the settings and the classes.
    X, y, groups, times, sample_weight
        The rows, their classes, whose they are (None: each its own), when they were (None: in no order) and how much
        they count.
    seed
        Orders groups that began at one time.
    n_blocks
        The groups come in so many blocks of about equal size; each is forecast from those before it, the first from
        all the others.

    Returns
    -------
    numpy.ndarray
        (columns + 1, rows, classes of `model`): given the first 0, 1, 2, ... of the columns. 0 for a class that the
        table had not seen.

    References
    ----------
    Dawid (1984), Statistical theory: the prequential approach, Journal of the Royal Statistical Society A 147(2).
    """
    y = labels(y)
    group = np.arange(len(y)) if groups is None else pd.factorize(np.asarray(groups, object), sort=True)[0]
    time = np.zeros(len(y)) if times is None else pd.factorize(np.asarray(times), sort=True)[0]
    begun = pd.Series(time).groupby(group).min().to_numpy()
    rank = np.empty(len(begun), np.int64)
    rank[np.lexsort((np.random.default_rng(seed).permutation(len(begun)), begun))] = np.arange(len(begun))
    block = (rank * n_blocks // len(begun))[group]
    p = np.zeros((model.n_features_in_ + 1, len(y), len(model.classes_)))
    for k in np.unique(block):
        is_known = block < k if k > block.min() else block > k
        rows = np.flatnonzero(block == k)
        weight = None if sample_weight is None else sample_weight[is_known]
        table = clone(model).fit(X[is_known], y[is_known], weight, group[is_known])
        known = np.searchsorted(model.classes_, table.classes_)
        for j, refined in enumerate(table.refine(X.iloc[rows])):
            p[j][np.ix_(rows, known)] = refined
    return p


def _codes(X: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return categories as whole numbers from 1, with 0 for a missing one."""
    return np.nan_to_num(select(X, columns).to_numpy(float) + 1).astype(np.int64)

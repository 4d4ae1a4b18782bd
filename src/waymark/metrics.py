"""How good probabilities are: losses, ranks, calibration, and how sure we can be of the number.

Every metric is called as `metric(y, p)` or `metric(y, p, weights)`: `y` holds class positions, `p` one row of
probabilities a case, `weights` one weight a case. Where there are two classes the second is the positive one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

# A class that training never saw costs -log of this, not infinity.
FLOOR = 1e-6
_BLOCK = 25  # bootstrap replicates at a time; bounds memory
_DRAWS = 200  # of labels, to see what luck does

Array = np.ndarray


@dataclass(frozen=True)
class Sums:
    """A metric that is a function of weighted sums over cases, so that a replicate costs one product.

    `terms(y, p)` gives (cases, terms), `value(sums)` maps (..., terms) to (...).
    """

    name: str
    terms: Callable[[Array, Array], Array]
    value: Callable[[Array], Array]

    def __call__(self, y: Array, p: Array, weights: Array | None = None) -> float:
        """Return the value over cases."""
        terms = self.terms(y, p)
        return float(self.value(terms.sum(axis=0) if weights is None else np.asarray(weights, float) @ terms))

    def prepare(self, y: Array, p: Array, person: Array) -> Callable[[Array], Array]:
        """Return a function from person weights (replicates, persons) to values (replicates,)."""
        by_person = sparse.csr_array((np.ones(len(y)), (person, np.arange(len(y)))))
        sums = by_person @ self.terms(y, p)
        return lambda weights: self.value(weights @ sums)


@dataclass(frozen=True)
class Ranks:
    """A metric of the order in which two classes are put; ties count as ties.

    `value(positive, negative)` gets the weights of both classes at each distinct score, the highest score first.
    """

    name: str
    value: Callable[[Array, Array], float]

    def __call__(self, y: Array, p: Array, weights: Array | None = None) -> float:
        """Return the value over cases."""
        weights = np.ones(len(y)) if weights is None else np.asarray(weights, float)
        return float(self.prepare(y, p, np.arange(len(y)))(weights[None])[0])

    def prepare(self, y: Array, p: Array, person: Array) -> Callable[[Array], Array]:
        """Return a function from person weights (replicates, persons) to values (replicates,)."""
        order = np.argsort(-p[:, 1], kind="stable")
        starts = np.flatnonzero(np.diff(p[order, 1], prepend=np.inf))
        person, is_positive = person[order], y[order] == 1

        def values(weights: Array) -> Array:
            out = np.empty(len(weights))
            for i, weight in enumerate(weights):
                w = weight[person]
                positive = np.add.reduceat(w * is_positive, starts)
                out[i] = self.value(positive, np.add.reduceat(w, starts) - positive)
            return out

        return values


def _ratio(sums: Array) -> Array:
    return sums[..., 1] / sums[..., 0]


def _mean(of: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda y, p: np.column_stack([np.ones(len(y)), of(y, p)])


def _one_hot(y: Array, n: int) -> Array:
    return (y[:, None] == np.arange(n)).astype(float)


def _surprise(y: Array, p: Array) -> Array:
    return -np.log(np.clip(p[np.arange(len(y)), y], FLOOR, 1.0))


def _squared_error(y: Array, p: Array) -> Array:
    squares = ((p - _one_hot(y, p.shape[1])) ** 2).sum(axis=1)
    return squares / 2 if p.shape[1] == 2 else squares  # the customary scale of each


def _in_top(k: int) -> Callable[[Array, Array], Array]:
    def hit(y: Array, p: Array) -> Array:
        own = p[np.arange(len(y)), y][:, None]
        earlier = np.arange(p.shape[1]) < y[:, None]
        return ((p > own) | ((p == own) & earlier)).sum(axis=1) < k  # ties: the first class wins, as in argmax

    return hit


def _f1_terms(y: Array, p: Array) -> Array:
    truth, guess = _one_hot(y, p.shape[1]), _one_hot(p.argmax(axis=1), p.shape[1])
    return np.column_stack([truth * guess, truth + guess])


def _f1(sums: Array) -> Array:
    """Mean F1 over the classes that occur, as truth or as forecast."""
    hits, total = np.split(sums, 2, axis=-1)
    f1 = np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return f1.sum(axis=-1) / (total > 0).sum(axis=-1)


def _auc(positive: Array, negative: Array) -> float:
    pairs = positive.sum() * negative.sum()
    below = negative.sum() - np.cumsum(negative)
    return (positive * (below + negative / 2)).sum() / pairs if pairs > 0 else np.nan


def _average_precision(positive: Array, negative: Array) -> float:
    hits, shown = np.cumsum(positive), np.cumsum(positive + negative)
    precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
    return (positive * precision).sum() / positive.sum() if positive.sum() > 0 else np.nan


log_loss = Sums("log_loss", _mean(_surprise), _ratio)
brier = Sums("brier", _mean(_squared_error), _ratio)
accuracy = Sums("accuracy", _mean(_in_top(1)), _ratio)
top_3_accuracy = Sums("top_3_accuracy", _mean(_in_top(3)), _ratio)
macro_f1 = Sums("macro_f1", _f1_terms, _f1)
auc = Ranks("auc", _auc)
average_precision = Ranks("average_precision", _average_precision)


def calibration_bins(y: Array, p: Array, n_bins: int) -> tuple[Array, Array, Array]:
    """Return bin, forecast and outcome of each case.

    The forecast is the probability of the positive class, or of the likeliest one where there are more than two.
    Bins hold equally many cases, except that equal forecasts share a bin.
    """
    if p.shape[1] == 2:
        forecast, outcome = p[:, 1], y == 1
    else:
        forecast, outcome = p.max(axis=1), y == p.argmax(axis=1)
    first_rank = np.searchsorted(np.sort(forecast), forecast)
    return first_rank * n_bins // len(y), forecast, outcome.astype(float)


def calibration_error(n_bins: int = 10) -> Sums:
    """Return the expected calibration error: the mean distance of forecast and outcome over bins of equal mass.

    Weights weigh the cases within the bins; the bins stay those of the cases as they are.

    References
    ----------
    Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, equation 3.
    """

    def terms(y: Array, p: Array) -> Array:
        bins, forecast, outcome = calibration_bins(y, p, n_bins)
        return np.column_stack([np.ones(len(y)), _one_hot(bins, n_bins) * (forecast - outcome)[:, None]])

    return Sums("ece", terms, lambda sums: np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0])


def calibration_noise(p: Array, n_bins: int, seed: int) -> dict[str, float]:
    """Return the calibration error that forecasts have by luck alone where they are right: its `mean`, and `high`.

    Labels are drawn from the forecasts themselves, each row's by itself; `high` is above 95 % of the errors then. Rows
    of one person are seldom independent, so that with several rows a person luck may do more.

    References
    ----------
    Broecker, Smith (2007), Increasing the reliability of reliability diagrams, Weather and Forecasting 22(3):
    resampling from the forecasts, "consistency resampling".
    """
    bins, forecast, _ = calibration_bins(np.zeros(len(p), int), p, n_bins)
    order = np.argsort(bins, kind="stable")
    starts, forecast = np.flatnonzero(np.diff(bins[order], prepend=-1)), forecast[order]
    rng = np.random.default_rng(seed)
    errors = [
        np.abs(np.add.reduceat(forecast - (rng.random(len(p)) < forecast), starts)).sum() / len(p)
        for _ in range(_DRAWS)
    ]
    return {"mean": float(np.mean(errors)), "high": float(np.quantile(errors, 0.95))}


def _excess(y: Array, p: Array) -> Array:
    _, forecast, outcome = calibration_bins(y, p, 1)
    return forecast - outcome


# Calibration in the large: the mean forecast less the share that came true, of the classes of `calibration_bins`.
bias = Sums("bias", _mean(_excess), _ratio)


def calibration_table(y: Array, p: Array, n_bins: int) -> pd.DataFrame:
    """Return `bin`, mean `predicted`, share `observed` and `n` cases of every bin that has any."""
    bins, forecast, outcome = calibration_bins(y, p, n_bins)
    cases = pd.DataFrame({"bin": bins, "predicted": forecast, "observed": outcome, "n": 1})
    return cases.groupby("bin").agg({"predicted": "mean", "observed": "mean", "n": "sum"}).reset_index()


def metrics_for(target: str, n_bins: int = 10) -> list[Sums | Ranks]:
    """Return the metrics that judge a target."""
    own = [auc, average_precision] if target == "churn" else [top_3_accuracy]
    return [log_loss, brier, accuracy, macro_f1, *own, calibration_error(n_bins)]


def bootstrap(
    y: Array,
    predictions: Mapping[str, Array],
    persons: Sequence,
    metrics: Sequence[Sums | Ranks],
    n_replicates: int,
    seed: int,
) -> dict[str, dict[str, Array]]:
    """Recompute every metric on samples of persons, drawn with replacement, each with all of their cases.

    All models see the same samples, so that differences of their replicates are paired.

    Parameters
    ----------
    y, predictions
        Class positions, and one matrix of probabilities a model.
    persons
        Whose case it is.

    Returns
    -------
    dict
        Model -> metric -> replicates.
    """
    person, names = pd.factorize(np.asarray(persons, dtype=object), sort=True)
    ready = {m: {k.name: k.prepare(y, p, person) for k in metrics} for m, p in predictions.items()}
    out = {m: {k.name: np.empty(n_replicates) for k in metrics} for m in predictions}
    start = 0
    for weights in samples(len(names), n_replicates, seed):
        stop = start + len(weights)
        for model, of_model in ready.items():
            for metric, values in of_model.items():
                out[model][metric][start:stop] = values(weights)
        start = stop
    return out


def samples(n_persons: int, n_replicates: int, seed: int) -> Iterator[Array]:
    """Yield samples of persons, drawn with replacement: how often each was drawn, (some replicates, n_persons)."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_replicates, _BLOCK):
        drawn = [rng.integers(n_persons, size=n_persons) for _ in range(start, min(start + _BLOCK, n_replicates))]
        yield np.array([np.bincount(d, minlength=n_persons) for d in drawn], dtype=float)


def interval(value: float, replicates: Array, coverage: float) -> tuple[float, float]:
    """Return the bounds of a bootstrap interval: the spread of the replicates, moved to lie around `value`.

    The move takes out the bias of metrics that sampling noise only ever raises, such as calibration error.
    """
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return np.nan, np.nan
    low, middle, high = np.quantile(known, [(1 - coverage) / 2, 0.5, (1 + coverage) / 2])
    return value + low - middle, value + high - middle

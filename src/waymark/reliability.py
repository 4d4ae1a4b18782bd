"""Whether forecasts come true as often as they say: over all, by outcome, in groups, on each night, at horizons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import ClassifierMixin

from waymark import metrics, models
from waymark.bgnbd import BGNBD
from waymark.catalogue import Feature
from waymark.comparison import Comparison
from waymark.on_disk import Fill, as_they_are
from waymark.periods import RETURNS, Curve, Horizons
from waymark.recoding import inputs_of

_MOST_NIGHTS = 60  # of more, the months


def in_the_large(
    y: np.ndarray,
    p: np.ndarray,
    persons: Sequence,
    groups: Mapping[str, np.ndarray],
    *,
    n_bootstrap: int,
    coverage: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Set the mean forecast beside the share that came true, over all rows and in each group of them.

    Parameters
    ----------
    y, p
        As metrics take them. The forecast is that of `metrics.calibration_bins`.
    persons
        Whose row it is: samples are of persons.
    groups
        What rows are told apart by -> the group of each row.
    n_bootstrap, coverage, seed
        As `Comparison` takes them.

    Returns
    -------
    list
        For each group `by`, `value`, `n`, `predicted`, `observed` and `bias`, their difference, with its interval. The
        first is of all rows.
    """
    _, forecast, came_true = metrics.calibration_bins(y, p, 1)
    groups = {"all": np.full(len(y), "all", object), **groups}
    parts, labels = [], []
    for by, of_row in groups.items():
        codes, values = pd.factorize(of_row.astype(str), sort=True)
        parts.append(sparse.csr_array((np.ones(len(y)), (np.arange(len(y)), codes)), shape=(len(y), len(values))))
        labels += [(by, value) for value in values.tolist()]
    is_member = sparse.hstack(parts, format="csr")
    person, names = pd.factorize(np.asarray(persons, object), sort=True)
    of_person = sparse.csr_array((np.ones(len(y)), (person, np.arange(len(y)))), shape=(len(names), len(y)))
    n, predicted, observed = (
        of_person @ is_member.multiply(v[:, None]).tocsr() for v in (np.ones(len(y)), forecast, came_true)
    )
    gap = predicted - observed
    drawn = metrics.samples(len(names), n_bootstrap, seed)
    samples = np.vstack([_shares(weights @ gap, weights @ n) for weights in drawn])
    n, predicted, observed = (np.asarray(v.sum(axis=0)).ravel() for v in (n, predicted, observed))
    out = []
    for i, (by, value) in enumerate(labels):
        means = {"predicted": float(predicted[i] / n[i]), "observed": float(observed[i] / n[i])}
        bias = means["predicted"] - means["observed"]
        low, high = metrics.interval(bias, samples[:, i], coverage)
        bounded = {"value": bias, "low": low, "high": high}
        out.append({"by": by, "value": value, "n": round(float(n[i])), **means, "bias": bounded})
    return out


def of_each_outcome(
    y: np.ndarray,
    p: np.ndarray,
    classes: Sequence[str],
    persons: Sequence,
    *,
    n_bins: int,
    n_bootstrap: int,
    coverage: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Judge the probability of each outcome by itself, against that of all others together.

    Parameters
    ----------
    y, p, classes
        As metrics take them, and the names of the classes.
    persons, n_bins, n_bootstrap, coverage, seed
        As `in_the_large` and `metrics.calibration_error` take them.

    Returns
    -------
    list
        For each of `classes` `outcome`, `predicted` (the mean forecast), `observed`, `bias` and `ece` with intervals,
        `ece_noise`, and `bins`, rows of `metrics.calibration_table`.

    References
    ----------
    Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach (2019), Beyond temperature scaling, NeurIPS 32: classwise
    calibration, section 2.
    """
    judges, out = [metrics.bias, metrics.calibration_error(n_bins)], []
    for k, name in enumerate(classes):
        came, forecast = (y == k).astype(int), np.column_stack([1 - p[:, k], p[:, k]])
        compared = Comparison(
            came, {name: forecast}, persons, judges, n_bootstrap=n_bootstrap, coverage=coverage, seed=seed
        )
        found = {"outcome": name, "predicted": float(p[:, k].mean()), "observed": float(came.mean())}
        found |= compared.of(name) | {"ece_noise": metrics.calibration_noise(forecast, n_bins, seed)}
        out.append(found | {"bins": metrics.calibration_table(came, forecast, n_bins).to_dict("records")})
    return out


def _shares(sums: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(sums, n, out=np.full_like(sums, np.nan), where=n > 0)


def night_of(cutoff_time: pd.Series) -> np.ndarray:
    """Return the night of each row in words, or of many nights the month."""
    nights = cutoff_time.dt.strftime("%Y-%m-%d")
    return (nights if nights.nunique() <= _MOST_NIGHTS else cutoff_time.dt.strftime("%Y-%m")).to_numpy(object)


def at_every_horizon(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    churn: tuple[ClassifierMixin, Mapping[str, Any]],
    baselines: Sequence[str],
    horizons: Horizons,
    *,
    n_bootstrap: int,
    coverage: float,
    n_bins: int,
    seed: int,
    fill: Fill = as_they_are,
) -> list[dict[str, Any]]:
    """Judge a curve of silence at each horizon, on the test rows that were watched as long, beside the baselines.

    The baselines are fitted anew for each horizon, to the training rows that were watched as long. Where none was, only
    BG/NBD is: it learns from histories, and needs no label of anybody who has been active.

    Returns
    -------
    list
        For each horizon `days` and `n`, the rows judged; where there are both outcomes among them, also `models` (name
        -> metrics with intervals), `best_baseline`, the `difference` in log loss to it, and the model's `bias` and
        `ece_noise` (`metrics.calibration_noise`), and `returns` (`in_range`).
        Of a model without a curve there is none. `fill` adds features to rows of `features`, where those are on disk.
    """
    model, card = churn
    if not hasattr(model, "curve"):
        return []
    out = []
    for days in horizons.every:
        rows = models.labelled_at(features, targets, days)
        train, test = rows[rows["fold"] == "train"], rows[rows["fold"] == "test"]
        y = (test["label"] == models.SILENT).to_numpy().astype(int)
        found: dict[str, Any] = {"days": days, "n": len(test), "n_silent": int(y.sum())}
        out.append(found)
        if len(np.unique(y)) < 2:
            continue
        test = fill(test, models.columns_of([model]))
        curve = model.curve(inputs_of(card, test))
        p = {card["name"]: _both(curve.silent([days])[:, 0])}
        names, how_far = [name for name in baselines if name != card["name"]], Horizons(days, (days,))
        rivals = {n: models.make(n, {}, catalogue, seed, target="churn", horizons=how_far) for n in names}
        if train["label"].nunique() < 2:
            rivals = {n: rival for n, rival in rivals.items() if isinstance(rival, BGNBD)}
            train = models.training_rows(features, targets, "churn", model)
        needed = models.columns_of(rivals.values())
        train, test = fill(train, needed), fill(test, needed)
        p |= {name: models.fit(rival, train).predict_proba(test) for name, rival in rivals.items()}
        judges = [k for k in metrics.metrics_for("churn", n_bins) if k.name in ("log_loss", "brier", "auc", "ece")]
        how = {"n_bootstrap": n_bootstrap, "coverage": coverage, "seed": seed}
        compared = Comparison(y, p, test["person_id"], judges, **how)
        best = compared.best([name for name in p if name != card["name"]])
        [overall] = in_the_large(y, p[card["name"]], test["person_id"], {}, **how)
        found |= {
            "models": {name: compared.of(name) for name in p},
            "ece_noise": metrics.calibration_noise(p[card["name"]], n_bins, seed),
            "best_baseline": best,
            "difference": None if best is None else compared.between(card["name"], best)["log_loss"],
            **{key: overall[key] for key in ("predicted", "observed", "bias")},
            "returns": in_range(curve, test, days, **how),
        }
    return out


def in_range(
    curve: Curve, rows: pd.DataFrame, days: int, *, n_bootstrap: int, coverage: float, seed: int
) -> dict[str, Any]:
    """Say how many of those who returned within a horizon did so in the range of days that their forecast gives.

    Parameters
    ----------
    curve
        Of each row.
    rows
        Test rows that were watched for `days` at least, with `return_days`.
    days
        The horizon. The range is that of a return within it; the predictions tell the one of the longest horizon.
    n_bootstrap, coverage, seed
        As `Comparison` takes them.

    Returns
    -------
    dict
        `n` rows that returned, the share `inside`, with its interval, of whom `expected` should be, and the shares that
        came `sooner` and `later`.
    """
    low, high = RETURNS["return_days_low"], RETURNS["return_days_high"]
    has_returned = (rows["return_days"] < days).to_numpy(bool)
    own = rows.loc[has_returned, "return_days"].to_numpy(float)
    at = Curve(curve.edges, curve.log_silent[has_returned]).returned(own, days)
    is_inside = ((low <= at) & (at <= high)).astype(int)
    # Of forecasts that are sure of the second class, accuracy is its share.
    sure = {"inside": np.tile([0.0, 1.0], (len(own), 1))}
    how = {"n_bootstrap": n_bootstrap, "coverage": coverage, "seed": seed}
    compared = Comparison(is_inside, sure, rows.loc[has_returned, "person_id"], [metrics.accuracy], **how)
    shares = {"sooner": float((at < low).mean()), "later": float((at > high).mean())}
    return {"n": len(own), "inside": compared.of("inside")["accuracy"], "expected": high - low, **shares}


def _both(silent: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - silent, silent])

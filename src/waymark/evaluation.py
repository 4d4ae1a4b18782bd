"""Model and baselines, fitted on the same rows and judged on the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import metrics, models
from waymark.catalogue import Feature
from waymark.comparison import Comparison
from waymark.enough import PERSONS, not_modelled
from waymark.errors import InputError
from waymark.inputs import labels
from waymark.leanings import tell_leanings
from waymark.models import END
from waymark.on_disk import Fill, as_they_are
from waymark.periods import Horizons
from waymark.recoding import in_terms_of
from waymark.reliability import at_every_horizon, in_the_large, night_of, of_each_outcome
from waymark.shares import train_shares
from waymark.slices import groups_of

_DIGITS = 6  # what is written; sums may differ beyond from machine to machine
_MOST_CUTOFFS = 60  # listed one by one; of more, the first and the last
_MOST_FEATURES = 20


@dataclass(frozen=True)
class Trial:
    """The test rows of one target, and what each model says of them."""

    target: str
    model: str  # the name of the one that is judged; the others are baselines
    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]
    y: np.ndarray  # positions in `classes`
    predictions: Mapping[str, np.ndarray]
    n_bins: int

    @property
    def baselines(self) -> list[str]:
        """The names of the baselines."""
        return [name for name in self.predictions if name != self.model]


def evaluate(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    trained: Mapping[str, tuple[ClassifierMixin, Mapping[str, Any]]],
    *,
    baselines: Mapping[str, Sequence[str]],
    horizons: Horizons,
    end_of_case: str,
    n_bootstrap: int,
    interval: float,
    n_bins: int,
    n_explained: int,
    seed: int,
    fill: Fill = as_they_are,
) -> dict[str, Any]:
    """Judge the models of all targets against their baselines, on the test rows.

    Parameters
    ----------
    features, targets
        Rows of `schema.FEATURES` and `schema.TARGETS`. The models learnt from none of the test rows.
    catalogue
        What the features are.
    trained
        Target -> model and card, as `models.load` returns them; of one that learnt from other features, with the
        present ones in the card (`recoding.with_features`).
    baselines
        Target -> names of baselines. One that is the model itself is left out.
    horizons
        Those of baselines that have any.
    end_of_case
        `scored` judges rows whose truth is the end of a case; else they only train.
    n_bootstrap, interval
        Samples of persons, and the share of them that an interval covers.
    n_bins
        Bins of equal mass for calibration.
    n_explained
        Test persons whose forecasts are explained, to tell what the models lean on and whether reasons hold.
    seed
        Seed of the samples, and of the baselines that draw.
    fill
        Adds features to rows of `features`, where those are on disk.

    Returns
    -------
    dict
        Plain values for JSON; a number that does not exist is None. `targets` has what was found of each; of what
        cannot be modelled `not_modelled` says why.
    """
    lacking = not_modelled(targets, end_of_case)
    result = {}
    for target, (model, card) in trained.items():
        if target in lacking:
            continue
        rows = models.labelled(features, targets, target)
        others = {
            name: models.make(name, {}, catalogue, seed, target=target, horizons=horizons)
            for name in baselines.get(target, ())
        }
        told = [feature.column for feature in catalogue]
        trial = hold_trial(
            rows, target, model, card, others, end_of_case=end_of_case, n_bins=n_bins, fill=fill, columns=told
        )
        how = {"n_bootstrap": n_bootstrap, "coverage": interval, "seed": seed}
        judged = _judge(trial, n_bootstrap, interval, seed)
        result[target] = judged | {
            "reliability": reliable(trial, catalogue, **how),
            "outcomes": outcomes(trial, **how),
            "slices": slices(trial, catalogue, judged["best_baseline"], **how),
            "importance": importance(model, card),
            "reasons": tell_leanings(model, models.features_of(card), in_terms_of(card, trial.test), n_explained, seed),
        }
        if target == "churn":
            rivals = baselines.get(target, ())
            result[target]["horizons"] = at_every_horizon(
                features, targets, catalogue, (model, card), rivals, horizons, n_bins=n_bins, fill=fill, **how
            )
    return rounded({"targets": result, "not_modelled": {k: why for k, why in lacking.items() if k in trained}})


def check_current(targets: pd.DataFrame, trained: Mapping[str, tuple[ClassifierMixin, Mapping[str, Any]]]) -> None:
    """Raise `InputError` where a model was trained on other rows than those there are now."""
    for target, (model, card) in trained.items():
        if "not_modelled" in card:
            continue
        n = models.n_training_rows(targets, target, model)
        if n != card["n_train_rows"]:
            raise InputError(
                f"the {target} model was trained on {card['n_train_rows']} rows and there are {n} now; "
                "run `dvc repro -P`"
            )


def hold_trial(
    rows: pd.DataFrame,
    target: str,
    model: ClassifierMixin,
    card: Mapping[str, Any],
    others: Mapping[str, ClassifierMixin],
    *,
    end_of_case: str,
    n_bins: int,
    fill: Fill = as_they_are,
    columns: Sequence[str] = (),
) -> Trial:
    """Fit the baselines on the model's training rows, and let all forecast the test rows.

    Of features on disk `fill` adds to the training rows what the baselines need, and `columns` to the test rows.
    """
    train, test = rows[rows["fold"] == "train"], rows[rows["fold"] == "test"]
    if target == "next_stage" and end_of_case != "scored":
        test = test[test["label"] != END]
    classes = tuple(np.union1d(labels(train["label"]), labels(test["label"])).tolist())
    train, test = fill(train, models.columns_of(others.values())), fill(test, columns)
    fitted = {name: models.fit(other, train) for name, other in others.items() if name != card["name"]}
    predictions = {card["name"]: aligned(model, in_terms_of(card, test), classes)}
    predictions |= {name: aligned(m, test, classes) for name, m in fitted.items()}
    y = np.searchsorted(classes, labels(test["label"]))
    return Trial(target, card["name"], train, test, classes, y, predictions, n_bins)


def aligned(model: ClassifierMixin, X: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the probabilities of `classes`; one that the model does not know has none."""
    p = np.zeros((len(X), len(classes)))
    p[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(X)
    return p


def _judge(trial: Trial, n_bootstrap: int, coverage: float, seed: int) -> dict[str, Any]:
    judges = metrics.metrics_for(trial.target, trial.n_bins)
    compared = Comparison(
        trial.y,
        trial.predictions,
        trial.test["person_id"],
        judges,
        n_bootstrap=n_bootstrap,
        coverage=coverage,
        seed=seed,
    )
    judged = {
        name: {
            "role": "model" if name == trial.model else "baseline",
            "metrics": compared.of(name),
            "ece_noise": metrics.calibration_noise(p, trial.n_bins, seed),
        }
        for name, p in trial.predictions.items()
    }
    differences = {b: compared.between(trial.model, b) for b in trial.baselines}
    best = compared.best(trial.baselines)
    return {
        **_facts(trial),
        "models": judged,
        "differences": differences,
        "best_baseline": best,
        "verdict": verdict(trial.model, best, differences[best]["log_loss"] if best else None),
        "calibration": {
            name: metrics.calibration_table(trial.y, p, trial.n_bins).to_dict("records")
            for name, p in trial.predictions.items()
        },
    }


def _facts(trial: Trial) -> dict[str, Any]:
    times = [t.isoformat() for t in sorted(trial.test["cutoff_time"].unique())]
    shares = np.bincount(trial.y, minlength=len(trial.classes)) / len(trial.y)
    return {
        "n_train": len(trial.train),
        "n_test": len(trial.test),
        "n_test_persons": int(trial.test["person_id"].nunique()),
        "test_cutoffs": times if len(times) <= _MOST_CUTOFFS else [times[0], times[-1]],
        "classes": list(trial.classes),
        "base_rates": dict(zip(trial.classes, shares.tolist(), strict=True)),
    }


def verdict(model: str, baseline: str | None, difference: Mapping[str, float] | None) -> str:
    """Say in one sentence whether `model` beats its best baseline, by the difference in log loss of the two."""
    if baseline is None or difference is None:
        return f"{model} was compared with no baseline"
    low, high = difference["low"], difference["high"]
    gain = f"{-difference['value']:.3f} log loss [{-high:.3f}, {-low:.3f}]"
    if high < 0:
        return f"{model} beats the best baseline {baseline} by {gain}"
    if low > 0:
        loss = f"{difference['value']:.3f} log loss [{low:.3f}, {high:.3f}]"
        return f"the best baseline {baseline} beats {model} by {loss}"
    return f"no proven difference between {model} and the best baseline {baseline}: a gain of {gain}"


def reliable(
    trial: Trial, catalogue: Sequence[Feature], *, n_bootstrap: int, coverage: float, seed: int
) -> list[dict[str, Any]]:
    """Return what `in_the_large` says of the model: over all, in groups of the test rows, and on each night."""
    groups = _groups(trial, catalogue) | {"night": night_of(trial.test["cutoff_time"])}
    p, persons = trial.predictions[trial.model], trial.test["person_id"]
    return in_the_large(trial.y, p, persons, groups, n_bootstrap=n_bootstrap, coverage=coverage, seed=seed)


def outcomes(trial: Trial, *, n_bootstrap: int, coverage: float, seed: int) -> list[dict[str, Any]]:
    """Return what `of_each_outcome` says of the model, where there are more than two; of two, one tells the other.

    The end of a case is left out where it is not judged.
    """
    p, persons = trial.predictions[trial.model], trial.test["person_id"]
    how = {"n_bins": trial.n_bins, "n_bootstrap": n_bootstrap, "coverage": coverage, "seed": seed}
    found = of_each_outcome(trial.y, p, trial.classes, persons, **how) if len(trial.classes) > 2 else []
    return [o for o in found if o["outcome"] != END or o["observed"] > 0]


def slices(
    trial: Trial, catalogue: Sequence[Feature], best: str | None, *, n_bootstrap: int, coverage: float, seed: int
) -> list[dict[str, Any]]:
    """Judge the model in groups of the test rows: alone, and against the baseline `best` of all rows.

    `difference` is in log loss, model minus baseline, with its interval; None of fewer persons than `enough.PERSONS`.
    """
    judges, how = metrics.metrics_for(trial.target, trial.n_bins), {"n_bootstrap": n_bootstrap, "coverage": coverage}
    person, out = trial.test["person_id"].to_numpy(object), []
    for by, group in _groups(trial, catalogue).items():
        for value in np.unique(group.astype(str)).tolist():
            rows = np.flatnonzero(group == value)
            y, p = trial.y[rows], {name: trial.predictions[name][rows] for name in (trial.model, best) if name}
            n_persons = len(np.unique(person[rows].astype(str)))
            difference = None
            if best is not None and n_persons >= PERSONS:
                compared = Comparison(y, p, person[rows], [metrics.log_loss], **how, seed=seed)
                difference = compared.between(trial.model, best)["log_loss"]
            own = p[trial.model]
            found = {
                **{"by": by, "value": value, "n": len(rows), "n_persons": n_persons},
                "metrics": {k.name: k(y, own) for k in judges},
                "ece_noise": metrics.calibration_noise(own, trial.n_bins, seed),
                "difference": difference,
            }
            out.append(found)
    return out


def _groups(trial: Trial, catalogue: Sequence[Feature]) -> dict[str, np.ndarray]:
    """Return the groups of the test rows, also whether training has seen the person."""
    is_known = trial.test["person_id"].isin(trial.train["person_id"].unique())
    return groups_of(trial.test, catalogue) | {"person": np.where(is_known, "seen in training", "new")}


def train_best_baselines(
    evaluation: Mapping[str, Any],
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    horizons: Horizons,
    seed: int,
    fill: Fill = as_they_are,
) -> dict[str, tuple[ClassifierMixin, dict[str, Any]]]:
    """Return the best baseline of each target with its card, to be kept beside the model; none where none was judged.

    Of what is not modelled, the class shares. Parameters are those of `evaluate`, and what it returned.
    """
    best = {target: found["best_baseline"] for target, found in evaluation["targets"].items()}
    groups = [feature.group for feature in catalogue]
    return {
        target: models.train(features, targets, catalogue, target, name, {}, groups, seed, horizons=horizons, fill=fill)
        for target, name in best.items()
        if name is not None
    } | {t: train_shares(targets, t, seed, why, horizons) for t, why in evaluation["not_modelled"].items()}


def importance(model: ClassifierMixin, card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the features by their share of what training gained, where the model knows it."""
    shares = getattr(model, "feature_importances_", None)
    if shares is None:
        return []
    features = models.features_of(card)
    order = np.argsort(-shares, kind="stable")[:_MOST_FEATURES]
    return [{"feature": features[i].name, "words": features[i].words, "gain_share": float(shares[i])} for i in order]


def rounded(value: Any) -> Any:
    """Round the numbers of plain values for writing; what is not a number becomes None."""
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, _DIGITS) + 0.0  # no negative nought
    return value

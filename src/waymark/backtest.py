"""Every model and every baseline at several moments back in time, all on the same rows: which is the best, if any is.

As a command: `python src/run.py waymark.backtest`, or with `target=churn`. It looks at all rows, those of the test too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import arguments, config, held_out, metrics, models, tables, tracking, workbench
from waymark.catalogue import Feature
from waymark.comparison import Comparison
from waymark.console import progress, timed
from waymark.enough import PERSONS
from waymark.errors import InputError
from waymark.evaluation import rounded
from waymark.slices import groups_of

log = logging.getLogger(__name__)

UNPROVEN = "no proven difference"
_SHOWN = ("log_loss", "brier", "auc", "accuracy", "ece")
_LEAST_IN_SLICE = 20  # rows

Make = Callable[[], ClassifierMixin]
Entry = tuple[str, Make]  # its role (`model` or `baseline`), and what makes it


def candidates(
    catalogue: Sequence[Feature], target: str, found: Mapping[str, config.ModelConfig], settings: config.Settings
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return what is to be judged, and why some of it is not.

    Parameters
    ----------
    catalogue, target
        As `models.make` takes them.
    found
        Models by the name of their file.
    settings
        Name the baselines of `target`, which have their default settings, and say what all models need to know.

    Returns
    -------
    entries : dict
        Name -> role and maker. What two files make alike is judged once, under the plainer of their names; a baseline
        that a file makes alike is judged under the name of that.
    left_out : dict
        Name -> reason, in one sentence.
    """
    seed, groups, horizons = settings.seed, settings.features.groups, workbench.horizons(settings)
    estimators = {name: model.of(target) for name, model in found.items()}
    plain_first = sorted(estimators, key=lambda name: (name != estimators[name].name, name))
    asked = [(name, "model", estimators[name], groups) for name in plain_first]
    asked += [(b, "baseline", config.Estimator(name=b), None) for b in settings.evaluate.baselines.get(target, ())]
    entries: dict[str, Entry] = {}
    left_out: dict[str, str] = {}
    names: dict[str, str] = {}  # of what was made already, by its class and settings
    for name, role, one, used in asked:
        make = partial(models.make, one.name, one.settings, catalogue, seed, used, target, horizons)
        try:
            model = make()
        except InputError as error:
            left_out[name] = str(error)
            continue
        alike = names.get(same := f"{type(model)} {sorted(model.get_params().items())}")
        if alike is None:
            names[same] = f"{name} (default)" if name in entries else name
            entries[names[same]] = (role, make)
        elif role == "baseline":
            entries[alike] = (role, entries[alike][1])
        else:
            left_out[name] = f"of {target} it is the same model with the same settings as {alike}"
    return entries, left_out


def backtest(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    target: str,
    found: Mapping[str, config.ModelConfig],
    settings: config.Settings,
) -> dict[str, Any]:
    """Judge every model of `found` and every baseline of the settings at every origin.

    Parameters
    ----------
    features, targets
        Rows of `schema.FEATURES` and `schema.TARGETS`.
    catalogue
        What the features are.
    target
        `next_stage` or `churn`.
    found
        Models by name.

    Returns
    -------
    dict
        Plain values for JSON: `missing` (why there is nothing, or less than was asked for), `left_out` (what could not
        be modelled, where, and why), `origins`, and `pooled` over all of them, for what could be modelled at each.
    """
    split, asked = settings.split, settings.backtest
    entries, cannot = candidates(catalogue, target, found, settings)
    out: dict[str, Any] = {
        "missing": None,
        "left_out": [{"model": name, "origin": None, "reason": reason} for name, reason in cannot.items()],
        "origins": [],
        "pooled": None,
    }
    horizon = settings.targets.horizon_days
    rows = held_out.labelled(features, targets, target, split=split, horizon_days=horizon, with_test=True)
    try:
        folds = held_out.folds(rows, split, asked.n_origins, asked.min_train_nights)
    except InputError as error:
        return out | {"missing": str(error)}
    folds = held_out.judged(rows, folds, target, settings.targets.end_of_case)
    usable, predictions = [], dict[str, list[np.ndarray]]()
    classes = held_out.Exam.of(rows, folds).classes
    for fold in progress(folds, f"backtest {target}"):
        why_not = held_out.shortage_of(rows, fold)
        forecasts: dict[str, np.ndarray] = {}
        for name, (_, make) in entries.items() if why_not is None else ():
            try:
                forecasts[name] = held_out.forecast(make, rows, fold, classes)
            except InputError as error:
                out["left_out"].append({"model": name, "origin": fold.origin, "reason": str(error)})
        judged = _judge(rows, [fold], target, forecasts, settings)
        out["origins"].append(_facts(rows, fold) | {"missing": why_not} | judged)
        if forecasts:
            usable.append(fold)
            for name, p in forecasts.items():
                predictions.setdefault(name, []).append(p)
    if len(usable) < asked.n_origins:
        out["missing"] = (
            f"{len(usable)} of {asked.n_origins} origins: the others have too little before them; deliver more history "
            "or shorten targets.horizon_days"
        )
    whole = {name: np.concatenate(p) for name, p in predictions.items() if len(p) == len(usable)}
    if whole:
        pooled = _judge(rows, usable, target, whole, settings)
        for name, judged in pooled["models"].items():
            judged["role"] = entries[name][0]
        out["pooled"] = pooled | {
            "verdict": verdict(pooled),
            "slices": _slices(rows, usable, whole, pooled["best"], catalogue, settings),
            **_pooled_facts(rows, usable),
        }
    return rounded(out)


def _facts(rows: pd.DataFrame, fold: held_out.Fold) -> dict[str, Any]:
    person = rows["person_id"]
    return {
        "origin": fold.origin,
        "n_train": len(fold.train),
        "n_test": len(fold.test),
        "n_test_persons": int(person.iloc[fold.test].nunique()),
    }


def _pooled_facts(rows: pd.DataFrame, folds: Sequence[held_out.Fold]) -> dict[str, Any]:
    test = np.concatenate([f.test for f in folds])
    return {"n_test": len(test), "n_test_persons": int(rows["person_id"].iloc[test].nunique())}


def _judge(
    rows: pd.DataFrame,
    folds: Sequence[held_out.Fold],
    target: str,
    forecasts: Mapping[str, np.ndarray],
    settings: config.Settings,
) -> dict[str, Any]:
    """Return the metrics of each model on the test rows of `folds`, the best, and each one's difference to it."""
    if not forecasts:
        return {"best": None, "models": {}}
    exam = held_out.Exam.of(rows, folds)
    judge = settings.evaluate
    judges = [k for k in metrics.metrics_for(target, judge.n_calibration_bins) if k.name in _SHOWN]
    compared = Comparison(
        exam.y,
        forecasts,
        exam.persons,
        judges,
        n_bootstrap=judge.n_bootstrap,
        coverage=judge.interval,
        seed=settings.seed,
    )
    best = compared.best(list(forecasts))
    return {
        "best": best,
        "models": {
            name: {
                "metrics": compared.of(name),
                "ece_noise": metrics.calibration_noise(p, judge.n_calibration_bins, settings.seed),
                "to_best": None if name == best else compared.between(name, best),
            }
            for name, p in forecasts.items()
        },
    }


def verdict(pooled: Mapping[str, Any]) -> str:
    """Say in one sentence which model leads over all origins, and which are not proven to be worse."""
    best = pooled["best"]
    rest = {name: m["to_best"]["log_loss"] for name, m in pooled["models"].items() if name != best}
    equal = [name for name, d in rest.items() if not d["low"] > 0]
    if not rest:
        return f"{best} is the only one"
    if not equal:
        return f"{best} is ahead of all others, by a proven difference in log loss to each"
    return f"{best} is ahead; {UNPROVEN} in log loss to {', '.join(equal)}"


def _slices(
    rows: pd.DataFrame,
    folds: Sequence[held_out.Fold],
    forecasts: Mapping[str, np.ndarray],
    best: str,
    catalogue: Sequence[Feature],
    settings: config.Settings,
) -> list[dict[str, Any]]:
    """Return the log loss of every model by stage, tenure, activities and channel; the smallest groups are left out.

    `to_best` is by how much each is above that of `best`, with its interval; None of few persons.
    """
    exam = held_out.Exam.of(rows, folds)
    test = rows.iloc[np.concatenate([f.test for f in folds])]
    how = {"n_bootstrap": settings.evaluate.n_bootstrap, "coverage": settings.evaluate.interval, "seed": settings.seed}
    out = []
    for by, values in groups_of(test, catalogue).items():
        for value in sorted(set(values)):
            at = np.flatnonzero(values == value)
            if len(at) < _LEAST_IN_SLICE:
                continue
            of_group, persons = {name: p[at] for name, p in forecasts.items()}, exam.persons[at]
            compared = Comparison(exam.y[at], of_group, persons, [metrics.log_loss], **how)
            n_persons = len(np.unique(persons.astype(str)))
            others = [name for name in forecasts if name != best] if n_persons >= PERSONS else []
            found = {
                "log_loss": {name: compared.values[name]["log_loss"] for name in forecasts},
                "to_best": {name: compared.between(name, best)["log_loss"] for name in others} or None,
            }
            out.append({"by": by, "value": value, "n": len(at), "n_persons": n_persons, **found})
    return out


def as_text(target: str, found: Mapping[str, Any]) -> str:
    """Return what `backtest` returned as a small table, the best first."""
    lines = [f"{target}: {found['missing']}"] if found["missing"] else []
    for one in found["left_out"]:
        where = f" at {one['origin']}" if one["origin"] else ""
        lines.append(f"{target}: {one['model']} is left out{where}: {one['reason']}")
    pooled = found["pooled"]
    if pooled is None:
        return "\n".join(lines)
    lines.append(
        f"{target}: {pooled['n_test']:,} rows of {pooled['n_test_persons']:,} persons at "
        f"{', '.join(o['origin'] for o in found['origins'] if o['best'])}"
    )
    shown = [m for m in _SHOWN if m in pooled["models"][pooled["best"]]["metrics"]]
    cells = [["", *shown, "log loss against the best"]]
    for name, m in ranked(pooled):
        values = [f"{m['metrics'][k]['value']:.4f}" for k in shown]
        d = m["to_best"] and m["to_best"]["log_loss"]
        cells.append([name, *values, "the best" if d is None else _difference(d)])
    width = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines += ["  ".join(c.ljust(w) for c, w in zip(row, width, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, f"{target}: {pooled['verdict']}"])


def ranked(pooled: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the models of `pooled` with what was found of each, by their log loss, the best first."""
    return sorted(pooled["models"].items(), key=lambda item: (item[1]["metrics"]["log_loss"]["value"], item[0]))


def _difference(d: Mapping[str, float]) -> str:
    said = f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
    return said if d["low"] > 0 else f"{said} {UNPROVEN}"


def as_parts(target: str, found: Mapping[str, Any]) -> list[tracking.Part]:
    """Return a run for each model, below that of the backtest."""
    pooled = found["pooled"] or {"models": {}}
    return [
        tracking.Part(
            f"{target} {name}",
            {"target": target, "model": name, "role": m["role"]},
            {f"{target}.{metric}": e["value"] for metric, e in m["metrics"].items() if e["value"] is not None}
            | {f"{target}.ece_noise_{k}": v for k, v in m["ece_noise"].items()},
            {"against_the_best": _standing(m["to_best"])},
        )
        for name, m in pooled["models"].items()
    ]


def _standing(to_best: Mapping[str, Any] | None) -> str:
    if to_best is None:
        return "the best"
    return "worse" if to_best["log_loss"]["low"] > 0 else UNPROVEN


def main(typed: Sequence[str]) -> None:
    """Judge, print the leaderboard of each target, write it for the report and remember it in MLflow."""
    chosen = arguments.targets(arguments.read(typed, {"target": ""})["target"])
    bench, found = workbench.read(), workbench.models()
    for target in chosen:
        with timed(log, f"backtest {target}") as facts:
            result = backtest(bench.features, bench.targets, bench.catalogue, target, found, bench.settings)
            path = tables.BACKTEST / f"{target}.json"
            tables.write_json(result | {"of": workbench.version(bench.resolved, bench.clock.data_version)}, path)
            board = as_text(target, result)
            sys.stdout.write(board + "\n")
            parts = as_parts(target, result)
            scores = {f"{p.params['model']}.{k}": v for p in parts for k, v in p.metrics.items()}
            params = {"target": target, "origins": [o["origin"] for o in result["origins"]]}
            note = f"```\n{board}\n```"
            run = tracking.Result({}, params, scores, bench.clock.data_version, (path,), note=note)
            tracking.track_parts(run, parts, bench.settings.tracking.experiment, f"backtest {target}")
            facts.append(f"{len(parts)} models; {path}")


if __name__ == "__main__":
    main(sys.argv[1:])

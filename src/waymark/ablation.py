"""What each group of features is worth: all without it, and it alone, on held-out training rows.

As a command: `python src/run.py waymark.ablation target=churn`. Test rows are never looked at.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import arguments, config, held_out, metrics, models, tables, tracking, workbench
from waymark.catalogue import Feature, in_groups
from waymark.comparison import Comparison, Estimate
from waymark.console import progress, timed
from waymark.errors import InputError
from waymark.evaluation import rounded

log = logging.getLogger(__name__)

CHANNEL = "channels"
# Of what the mapping keeps besides, nobody can say whether it is what people do or where: neither of the two.
NEITHER = (CHANNEL, "attributes")
UNPROVEN = "no proven difference"

Groups = tuple[str, ...]


def sets_of(groups: Sequence[str]) -> dict[Groups, str]:
    """Return the sets of groups that the table needs, each once, with a name for the log."""
    every = tuple(groups)
    intent = tuple(g for g in every if g not in NEITHER)
    named = {every: "all"}
    for g in every:
        named.setdefault(_without(every, g), f"all without {g}")
        named.setdefault((g,), f"{g} alone")
    if CHANNEL in every and intent:
        named.setdefault(intent, "intent")
        named.setdefault((*intent, CHANNEL), "intent and channel")
    named.pop((), None)
    return named


def _without(groups: Groups, one: str) -> Groups:
    return tuple(g for g in groups if g != one)


def ablate(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    target: str,
    model: config.Estimator,
    settings: config.Settings,
) -> dict[str, Any]:
    """Fit `model` to every set of groups that the table needs, and say what each group adds.

    Parameters
    ----------
    features, targets
        Rows of `schema.FEATURES` and `schema.TARGETS`; those that test are left out.
    catalogue
        What the features are.
    target
        `next_stage` or `churn`.
    model
        One that uses the groups it is given.

    Returns
    -------
    dict
        Plain values for JSON. `rows`: of each comparison what is `added` to what, the `gain` in log loss with its
        interval (above nought: better with it) and what that proves.
    """
    groups = [g for g in settings.features.groups if in_groups(catalogue, [g])]
    _check_model(model, catalogue, groups, target, settings)
    split, search = settings.split, settings.search
    horizon = settings.targets.horizon_days
    rows = held_out.labelled(features, targets, target, split=split, horizon_days=horizon, with_test=False)
    folds = held_out.folds(rows, split, search.n_folds, search.min_train_nights)
    folds = held_out.judged(rows, folds, target, settings.targets.end_of_case)
    for fold in folds:
        held_out.check_enough(rows, fold, target)
    exam = held_out.Exam.of(rows, folds)
    make = {used: partial(_make, model, catalogue, target, settings, used) for used in sets_of(groups)}
    shares = config.Estimator(name="most_frequent")
    make[()] = partial(_make, shares, catalogue, target, settings, ())
    predictions = {
        used: np.concatenate([held_out.forecast(one, rows, fold, exam.classes) for fold in folds])
        for used, one in progress(make.items(), f"ablation {target}", len(make))
    }
    judge = settings.evaluate
    compared = Comparison(
        exam.y,
        predictions,
        exam.persons,
        [metrics.log_loss],
        n_bootstrap=judge.n_bootstrap,
        coverage=judge.interval,
        seed=settings.seed,
    )
    return rounded(
        {
            "target": target,
            "model": model.name,
            "held_out": [f.origin for f in folds],
            "n_test": len(exam.y),
            "log_loss": {"all": compared.of(tuple(groups))["log_loss"], "class shares": compared.of(())["log_loss"]},
            "rows": [_row(compared, catalogue, *line) for line in _lines(groups)],
        }
    )


def _make(
    model: config.Estimator, catalogue: Sequence[Feature], target: str, settings: config.Settings, used: Groups
) -> ClassifierMixin:
    horizons = workbench.horizons(settings)
    return models.make(model.name, model.settings, catalogue, settings.seed, used, target, horizons)


def _check_model(
    model: config.Estimator, catalogue: Sequence[Feature], groups: Sequence[str], target: str, settings: config.Settings
) -> None:
    if len(groups) < 2:
        raise InputError(f"features.groups has {len(groups)} groups with features; an ablation needs two at least")
    one, other = (_make(model, catalogue, target, settings, (g,)).get_params() for g in groups[:2])
    if one == other:
        raise InputError(
            f"{model.name} uses the same columns whatever groups there are; name a model that uses them, such as "
            "model=lightgbm"
        )


def _lines(groups: Sequence[str]) -> list[tuple[str, str, Groups, Groups]]:
    """Return the comparisons: what is added, to what, and the groups with it and without."""
    every = tuple(groups)
    lines = [(g, "all others", every, _without(every, g)) for g in every]
    lines += [(g, "nothing", (g,), ()) for g in every]
    intent = tuple(g for g in every if g not in NEITHER)
    if CHANNEL in every and intent:
        both = (*intent, CHANNEL)
        lines += [("channel", "intent", both, intent), ("intent", "channel", both, (CHANNEL,))]
        lines += [("intent", "nothing", intent, ())]
    return lines


def _row(
    compared: Comparison, catalogue: Sequence[Feature], added: str, to: str, with_it: Groups, without: Groups
) -> dict[str, Any]:
    gain = compared.between(without, with_it)["log_loss"]
    n = len(in_groups(catalogue, with_it)) - len(in_groups(catalogue, without))
    return {"added": added, "to": to, "n_features": n, "gain": gain, "proof": proof(gain)}


def proof(gain: Estimate) -> str:
    """Say what a gain proves: only an interval without nought in it proves one."""
    if gain["low"] > 0:
        return "better with it"
    return "worse with it" if gain["high"] < 0 else UNPROVEN


def as_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return what `ablate` returned as a table, a comparison a row."""
    rows = [{**row, **row["gain"]} for row in found["rows"]]
    columns = ["added", "to", "n_features", "value", "low", "high", "proof"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"value": "gain"})


def as_text(found: Mapping[str, Any]) -> str:
    """Return the table for people, the largest gains first within each comparison."""
    losses = {name: e["value"] for name, e in found["log_loss"].items()}
    lines = [
        f"{found['target']}, {found['model']}: log loss {losses['all']:.4f} with all groups and "
        f"{losses['class shares']:.4f} by class shares, on {found['n_test']:,} training rows held out from "
        f"{', '.join(found['held_out'])}"
    ]
    frame = as_table(found)
    for to in frame["to"].unique():
        lines.append(f"gain in log loss, added to {to}:")
        for r in frame[frame["to"] == to].sort_values("gain", ascending=False, kind="stable").itertuples():
            gain = f"{r.gain:+.4f} [{r.low:+.4f}, {r.high:+.4f}]"
            lines.append(f"  {r.added:<14} {r.n_features:>4} features  {gain}  {r.proof}")
    return "\n".join(lines)


def main(typed: Sequence[str]) -> None:
    """Print the table, write it as JSON and CSV, and remember it in MLflow."""
    given = arguments.read(typed, {"target": "churn", "model": ""})
    target = arguments.target(given["target"])
    bench = workbench.read()
    settings = bench.settings
    model = (workbench.model(given["model"]) if given["model"] else settings.model).of(target)
    with timed(log, f"ablation {target}") as facts:
        found = ablate(bench.features, bench.targets, bench.catalogue, target, model, settings)
        files = tuple(tables.REPORTS / f"ablation_{target}.{kind}" for kind in ("json", "csv"))
        of = workbench.version(bench.resolved, bench.clock.data_version)
        tables.write_json(found | {"of": of}, files[0])
        tables.write_text(as_table(found).to_csv(index=False, lineterminator="\n"), files[1])
        sys.stdout.write(as_text(found) + "\n")
        parts = [
            tracking.Part(f"{r['added']} added to {r['to']}", {}, {"gain": r["gain"]["value"]}, {"proof": r["proof"]})
            for r in found["rows"]
        ]
        losses = {f"log_loss.{name}": e["value"] for name, e in found["log_loss"].items()}
        run = tracking.Result({}, {"target": target, "model": model.name}, losses, bench.clock.data_version, files)
        tracking.track_parts(run, parts, settings.tracking.experiment, f"ablation {target}")
        facts.append(" and ".join(str(f) for f in files))


if __name__ == "__main__":
    main(sys.argv[1:])

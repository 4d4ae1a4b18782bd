"""Tonight's predictions, from tonight's features and the trained models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml

from waymark import schema, tables
from waymark.clock import ScoreClock, TrainClock
from waymark.forecast import SILENT, combine, if_active, next_columns
from waymark.models import Model, load
from waymark.periods import RETURNS
from waymark.reason_rows import N_REASONS, explain_rows, strongest_of_persons
from waymark.recoding import inputs_of

MANIFEST, SETTINGS = "manifest.json", "settings.yaml"
FORECASTS = {"champion": "predictions.parquet", "baseline": "baseline.parquet"}  # role -> file of a partition
REASONS = "reasons.parquet"

T = TypeVar("T")


class Scored(NamedTuple):
    """The forecasts of some persons, and why they are what they are."""

    predictions: pd.DataFrame  # rows of `schema.PREDICTIONS`
    reasons: pd.DataFrame  # rows of `schema.REASONS`, of those who are given reasons


def score(
    features: pd.DataFrame,
    next_stage: Model,
    churn: Model,
    clock: ScoreClock,
    horizon_days: int,
    run_ids: Mapping[str, str],
    is_explained: np.ndarray | None = None,
) -> Scored:
    """Forecast every person of tonight's features.

    Parameters
    ----------
    features
        Rows of `schema.FEATURES` at one cut-off, or a stretch of them.
    next_stage, churn
        The models and their cards, which say under `given` what the features are now where that may differ from what
        they were in training (see `recoding.with_features`).
    clock
        Tonight, and the version of what could be known.
    horizon_days
        How far the forecast looks.
    run_ids
        Target -> the MLflow run that remembers its model.
    is_explained
        Whose forecast is given reasons, bool; everybody's by default.

    Returns
    -------
    Scored
        Both tables in the order of `features`. `predictions.attrs["next_stages"]` says which stage each `p_next_`
        column speaks of: names of columns hold ASCII only; `attrs["models"]`, which models forecast.
    """
    forecast, given, returns = _forecast(features, next_stage, churn, horizon_days)
    n = len(features)
    rows = np.arange(n) if is_explained is None else np.flatnonzero(is_explained)
    reasons = explain_rows(features.iloc[rows], given.iloc[rows], next_stage, churn)
    told = np.full((n, N_REASONS), "", object)
    told[rows] = strongest_of_persons(reasons)
    predictions = pd.DataFrame(
        {
            "person_id": features["person_id"],
            "cutoff_time": clock.cutoff_time,
            "stage": features["stage"],
            "stage_since": features["stage_since"],
            **{c: forecast[c] for c in forecast},
            **returns,
            **{f"reason_{i + 1}": pd.array(told[:, i], "str") for i in range(N_REASONS)},
            "model_version_next_stage": pd.array([next_stage[1]["version"]] * n, "str"),
            "model_version_churn": pd.array([churn[1]["version"]] * n, "str"),
            "data_version": pd.array([clock.data_version] * n, "str"),
            "mlflow_run_id_next_stage": pd.array([run_ids["next_stage"]] * n, "str"),
            "mlflow_run_id_churn": pd.array([run_ids["churn"]] * n, "str"),
            "scored_at_cutoff": clock.scored_at_cutoff,
        }
    )
    predictions.attrs["next_stages"] = next_columns(next_stage[0].classes_.tolist())
    predictions.attrs["models"] = _names({"next_stage": next_stage, "churn": churn})
    return Scored(predictions, reasons)


def are_complete(baselines: Mapping[str, Model]) -> bool:
    """Say whether there is one for each target."""
    return set(baselines) == {"next_stage", "churn"}


def score_baselines(features: pd.DataFrame, baselines: Mapping[str, Model], horizon_days: int) -> pd.DataFrame:
    """Return what the best baselines (target -> model and card) forecast.

    Rows of `schema.BASELINE`, in the order of `features`, with `attrs` as in `score`.
    """
    forecast, _, _ = _forecast(features, baselines["next_stage"], baselines["churn"], horizon_days)
    forecast = forecast.drop(columns="next_stage").assign(person_id=features["person_id"])
    forecast.attrs["next_stages"] = next_columns(baselines["next_stage"][0].classes_.tolist())
    forecast.attrs["models"] = _names(baselines)
    return forecast


def least_certain(features: Iterable[pd.DataFrame], churn: Model, n: int) -> np.ndarray:
    """Say of which `n` persons it is least certain whether they go silent: there it is of use to know why.

    `features` are stretches of rows; returns bool, one an element for each of all rows. Of equals, the first.
    """
    p_silent = [_probability(churn, rows)[:, churn[0].classes_.tolist().index(SILENT)] for rows in features]
    doubt = np.abs(np.concatenate(p_silent) - 0.5)
    is_chosen = np.zeros(len(doubt), bool)
    is_chosen[np.argsort(doubt, kind="stable")[:n]] = True
    return is_chosen


def load_baselines(folder: Path = tables.MODELS / "baseline") -> dict[str, Model]:
    """Return the baselines that the step evaluate kept, by target."""
    return {kept.name: load(kept) for kept in sorted(folder.iterdir())}


def _names(models: Mapping[str, Model]) -> dict[str, dict[str, str]]:
    return {target: {key: card[key] for key in ("name", "version")} for target, (_, card) in models.items()}


def _forecast(
    features: pd.DataFrame, next_stage: Model, churn: Model, horizon_days: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Return the joint forecast of each person, that of the next stage given activity, and the days of return."""
    silent, returns = _silence(features, churn, horizon_days)
    classes, p_next = next_stage[0].classes_.tolist(), _probability(next_stage, features)
    joint = combine(features["stage"], silent, p_next, classes, horizon_days)
    return joint, if_active(features["stage"], p_next, classes), returns


def _silence(
    features: pd.DataFrame, churn: Model, horizon_days: int
) -> tuple[dict[int, np.ndarray], dict[str, np.ndarray]]:
    """Return the probability of silence at each horizon that the model knows, and the columns of `RETURNS`."""
    model, card = churn
    if not hasattr(model, "curve"):
        unknown = dict.fromkeys(RETURNS, np.full(len(features), np.nan))
        return {horizon_days: _probability(churn, features)[:, model.classes_.tolist().index(SILENT)]}, unknown
    curve = model.curve(inputs_of(card, features))
    horizons = sorted({*model.horizons_days, horizon_days})
    days = curve.return_days(list(RETURNS.values()))
    return dict(zip(horizons, curve.silent(horizons).T, strict=True)), dict(zip(RETURNS, days.T, strict=True))


def _probability(model: Model, features: pd.DataFrame) -> np.ndarray:
    if features.empty:
        return np.zeros((0, len(model[0].classes_)))
    return model[0].predict_proba(inputs_of(model[1], features))


def publish(
    scored: Iterable[Scored],
    n_persons: int,
    clock: ScoreClock,
    trained: TrainClock,
    source: str,
    root: Path = tables.PREDICTIONS,
    settings: Mapping[str, Any] | None = None,
    baseline: Iterable[pd.DataFrame] | None = None,
    features: Path | None = None,
    known_until: Mapping[str, pd.Timestamp] | None = None,
) -> Path:
    """Write what `score` returned with its manifest, whole or not at all; other nights stay. Return its folder.

    `scored` are one stretch or more, of persons in the order of their ids, `n_persons` together, and so is
    `baseline`: what `score_baselines` returned, kept to be graded beside the predictions. `settings` are those of
    resolved.yaml: with them and the clocks the night can be replayed. `features` is the file that both were made from,
    whose checksum is kept. `known_until` says, by target, what the training of its model could see; by default as
    much as that of tonight, `trained`.
    """
    (first, _), scored = _peek(scored)
    stages: Counter[str] = Counter()
    reasons = []  # of the few who are given any

    def counted() -> Iterator[pd.DataFrame]:
        for rows, why in scored:
            stages.update(rows["stage"].value_counts().to_dict())
            reasons.append(why)
            yield rows

    folder = root / f"cutoff_date={clock.cutoff_time:%Y-%m-%d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    warnings = []
    seen = known_until or dict.fromkeys(("next_stage", "churn"), trained.as_of)
    if max(seen.values()) > clock.cutoff_time:
        warnings.append(
            f"the models learnt from what was known up to {max(seen.values()):%Y-%m-%d}, after this cut-off: good for"
            " looking back, not for judging the forecast"
        )
    with tables.new_folder(folder) as new:
        written = {"champion": _write(counted(), n_persons, new / FORECASTS["champion"], schema.PREDICTIONS)}
        if baseline is not None:
            written["baseline"] = _write(baseline, n_persons, new / FORECASTS["baseline"], schema.BASELINE)
        tables.write(pd.concat(reasons, ignore_index=True), new / REASONS, schema.REASONS)
        models = {role: told["models"] for role, told in written.items()}
        said = first.iloc[0] if len(first) else {}
        manifest = {
            "cutoff_time": clock.cutoff_time.isoformat(),
            "source": source,
            "n_persons": n_persons,
            "stages": dict(sorted(stages.items())),
            "next_stages": written["champion"]["next_stages"],
            # The champion may be of an earlier training, which knew other stages.
            "next_stages_of": {role: told["next_stages"] for role, told in written.items()},
            "versions": {k: said[k] for k in schema.PREDICTIONS.columns if "version" in k and len(said)},
            "mlflow_run_ids": {target: said[f"mlflow_run_id_{target}"] for target in seen if len(said)},
            "trained_until": {target: time.isoformat() for target, time in seen.items()},
            "clocks": {"train": trained.to_json(), "score": clock.to_json()},
            "warnings": warnings,
            "models": models,
            "sha256": {file: tables.sha256(new / file) for file in (*(FORECASTS[role] for role in models), REASONS)}
            | ({} if features is None else {features.as_posix(): tables.sha256(features)}),
        }
        tables.write_text(yaml.safe_dump(dict(settings or {}), sort_keys=False, allow_unicode=True), new / SETTINGS)
        tables.write_json(manifest, new / MANIFEST)
    return folder


def _write(stretches: Iterable[pd.DataFrame], n_rows: int, path: Path, table: schema.Table) -> dict[str, Any]:
    """Write a table and return its `attrs`: which models it is from, and which next stages it speaks of."""
    first, stretches = _peek(stretches)
    columns = schema.to_arrow(first, table).schema
    tables.write_sorted((schema.to_arrow(rows, table) for rows in stretches), columns, n_rows, path)
    return first.attrs


def _peek(stretches: Iterable[T]) -> tuple[T, Iterator[T]]:
    """Return the first stretch, and all of them."""
    rest = iter(stretches)
    first = next(rest)
    return first, chain([first], rest)

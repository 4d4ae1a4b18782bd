"""Models by name: make one, train it on a target, keep it in a file that only the right checksum opens."""

from __future__ import annotations

import inspect
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from lightgbm.basic import LightGBMError
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import has_fit_parameter

from waymark import schema, tables
from waymark.baselines import BackOff, RepeatLast
from waymark.bgnbd import BGNBD
from waymark.catalogue import Feature, from_json, in_groups, to_json
from waymark.errors import InputError
from waymark.estimators import Boosting, Grow, Logistic
from waymark.hazard import Hazard
from waymark.on_disk import Fill, as_they_are
from waymark.pace import Paced
from waymark.periods import Horizons, silent_within

FILES = ("model.skops", "model.json")  # of a kept model
TARGETS = ("next_stage", "churn")  # what is forecast
SILENT, ACTIVE = "silent", "active"  # the classes of churn; the positive one sorts last
END = "end"  # the class of next_stage for a case that ended

# What a model file may hold besides scikit-learn's and NumPy's own types. Reading refuses anything else.
TRUSTED = [
    "collections.OrderedDict",
    "collections.defaultdict",
    "lightgbm.basic.Booster",
    "waymark.baselines.BackOff",
    "waymark.baselines.RepeatLast",
    "waymark.bgnbd.BGNBD",
    "waymark.estimators.Boosting",
    "waymark.estimators.Logistic",
    "waymark.hazard.Hazard",
    "waymark.rhythm.Rhythm",
]

Model = tuple[ClassifierMixin, Mapping[str, Any]]  # fitted, and its card

_EPOCH = pd.Timestamp(0, tz="UTC")
_FOLLOWED = ("return_days", "observed_days")  # of the targets: what a hazard is fitted to

Columns = tuple[str, ...]
GrowFor = Callable[..., Grow]  # of columns, rows and, for a hazard, the clock of its rows
_RECENCY = ("f_days_since_last_activity",)
_RFM = (*_RECENCY, "f_n_activities_ever", "f_value_cents_ever", "f_tenure_days")
# How often, since when and when last: the better ones first, for the features may be without the group active_days.
_HISTORIES = (
    ("f_n_active_days_ever", "f_days_since_first_active_day", "f_days_since_last_active_day"),
    ("f_n_active_days_ever", "f_tenure_days", "f_days_since_last_activity"),
    ("f_n_activities_ever", "f_tenure_days", "f_days_since_last_activity"),
)
_LAST_TYPE = re.compile(r"f_last_type_(\d+)")


def _last_types(catalogue: Sequence[Feature]) -> Columns:
    """Return the columns of the latest event types, the latest first."""
    found = [m for m in map(_LAST_TYPE.fullmatch, (f.column for f in catalogue)) if m]
    return tuple(m[0] for m in sorted(found, key=lambda m: int(m[1])))


def _of_groups(used: Sequence[Feature]) -> dict[str, Columns]:
    return {
        "columns": tuple(f.column for f in used),
        "categorical": tuple(f.column for f in used if f.categories is not None),
    }


def _of_trees(used: Sequence[Feature]) -> dict[str, Columns]:
    stage = tuple(f.column for f in used if f.column == "f_stage")
    return {**_of_groups(used), "start_columns": (*stage, *_last_types(used))}


def _of_histories(every: Sequence[Feature]) -> dict[str, Columns]:
    known = {f.column for f in every}
    return {"columns": next((c for c in _HISTORIES if known.issuperset(c)), _HISTORIES[-1])}


def _of_hazard(used: Sequence[Feature]) -> dict[str, Columns]:
    known = {f.column for f in used}
    return {**_of_groups(used), "history_columns": next((c for c in _HISTORIES if known.issuperset(c)), ())}


def _of_stage(every: Sequence[Feature]) -> dict[str, Columns]:
    return {"names": next((f.categories or () for f in every if f.column == "f_stage"), ())}


# Name -> class, and its arguments given the features of the chosen groups and the whole catalogue. The simplest first:
# of models that are equal, the simpler one is promoted.
MODELS: Mapping[str, tuple[type, Callable[[Sequence[Feature], Sequence[Feature]], dict[str, Any]]]] = {
    "most_frequent": (BackOff, lambda used, every: {"columns": (), "smoothing": 0.0}),
    "repeat_last": (RepeatLast, lambda used, every: _of_stage(every)),
    "chain": (BackOff, lambda used, every: {"columns": ("f_stage",), "smoothing": 0.01}),
    "back_off": (BackOff, lambda used, every: {"columns": ("f_stage", "f_previous_stage", *_last_types(every))}),
    "recency": (Logistic, lambda used, every: {"columns": _RECENCY}),
    "rfm_logistic": (Logistic, lambda used, every: {"columns": _RFM}),
    "bg_nbd": (BGNBD, lambda used, every: _of_histories(every)),
    "logistic": (Logistic, lambda used, every: _of_groups(used)),
    "lightgbm": (Boosting, lambda used, every: _of_trees(used)),
    "hazard": (Hazard, lambda used, every: _of_hazard(used)),
}
_FIXED = {
    *("columns", "categorical", "start_columns", "history_columns", "names", "repeat", "classes"),
    *("horizon_days", "horizons_days", "random_state"),
}
_OF_CHURN = ("hazard", "bg_nbd")  # what comes next they cannot tell


def make(
    name: str,
    settings: Mapping[str, Any],
    catalogue: Sequence[Feature],
    seed: int,
    groups: Sequence[str] | None = None,
    target: str = "next_stage",
    horizons: Horizons | None = None,
) -> ClassifierMixin:
    """Return a new scikit-learn classifier for data frames of `f_` columns.

    Parameters
    ----------
    name
        One of `MODELS`.
    settings
        Arguments of its class that differ from their defaults.
    catalogue
        What the columns are.
    seed
        Seed of whatever the estimator draws.
    groups
        Groups of features that lightgbm and logistic use; None uses all. The others stand on fixed columns.
    target
        `next_stage` or `churn`.
    horizons
        Those of hazard and bg_nbd.

    Raises
    ------
    InputError
        The name or a setting is unknown, or a setting has the wrong type.
    """
    if name not in MODELS:
        raise InputError(f"model.name has no {name!r}; there are {', '.join(MODELS)}")
    if name in _OF_CHURN and target != "churn":
        raise InputError(f"model.name {name} forecasts churn, not {target}; name another model, and {name} below churn")
    cls, recipe = MODELS[name]
    used = in_groups(catalogue, groups) if groups is not None else list(catalogue)
    arguments = recipe(used, catalogue)
    if target == "churn":
        arguments.pop("start_columns", None)  # whether anything comes at all is no transition
    choices = {k: p for k, p in inspect.signature(cls).parameters.items() if k not in _FIXED}
    for key, value in settings.items():
        if key not in choices:
            known = f"there are {', '.join(choices)}" if choices else "it has none"
            raise InputError(f"model.settings of {name} has no {key!r}; {known}")
        _check_type(f"model.settings.{key}", value, choices[key].default)
    if "random_state" in inspect.signature(cls).parameters:
        arguments["random_state"] = seed
    if horizons is not None:
        known = {"horizon_days": horizons.judged, "horizons_days": horizons.every}
        arguments |= {k: v for k, v in known.items() if k in inspect.signature(cls).parameters}
    return cls(**{**arguments, **settings})


def _check_type(where: str, value: Any, default: Any) -> None:
    wanted = (int,) if type(default) is int else (int, float)
    if value is None and default is None:
        return
    if isinstance(value, bool) or not isinstance(value, wanted):
        kind = "a whole number" if wanted == (int,) else "a number"
        raise InputError(f"{where} must be {kind}, not {value!r}")


def labelled(features: pd.DataFrame, targets: pd.DataFrame, target: str) -> pd.DataFrame:
    """Join features with what happened, for the rows whose label of `target` is mature.

    Parameters
    ----------
    features, targets
        Rows of `schema.FEATURES` and `schema.TARGETS`, in any order.
    target
        `next_stage` or `churn`.

    Returns
    -------
    pandas.DataFrame
        The columns of `features` with `label`, `fold` and `split_rank`, of churn also with `return_days` and
        `observed_days`, in the order of the key.
    """
    mature = targets[targets[f"{target}_status"] == "mature"]
    if target == "churn":
        return _join(features, mature.assign(label=_silence(mature["is_silent"].to_numpy(bool))), _FOLLOWED)
    return _join(features, mature.assign(label=mature["next_stage"].astype("str")))


def labelled_at(features: pd.DataFrame, targets: pd.DataFrame, days: float) -> pd.DataFrame:
    """Do as `labelled` does of churn, at a horizon of so many days: for the rows that were watched as long."""
    is_silent, is_known = silent_within(targets, days)
    return _join(features, targets[is_known].assign(label=_silence(is_silent[is_known])), _FOLLOWED)


def training_rows(features: pd.DataFrame, targets: pd.DataFrame, target: str, model: ClassifierMixin) -> pd.DataFrame:
    """Return the rows of `labelled` that train `model`: of hazard, all that were watched for a period at least.

    There `label` says whether the person was seen to return.
    """
    if target not in TARGETS:
        raise InputError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    trains = targets[_trains(targets, target, model)]
    if not isinstance(model, Hazard):
        return labelled(features, trains, target)
    return _join(features, trains.assign(label=_silence(trains["return_days"].isna().to_numpy())), _FOLLOWED)


def columns_of(some: Iterable[ClassifierMixin]) -> list[str]:
    """Return the features that some models of `make` are given."""
    return list(dict.fromkeys(column for model in some for column in model.columns))


def n_training_rows(targets: pd.DataFrame, target: str, model: ClassifierMixin) -> int:
    """Return how many rows `training_rows` has."""
    return int(_trains(targets, target, model).sum())


def newest_training_cutoff(targets: pd.DataFrame, target: str, model: ClassifierMixin) -> pd.Timestamp:
    """Return the newest cut-off among the rows that `training_rows` has."""
    return targets.loc[_trains(targets, target, model), "cutoff_time"].max()


def _trains(targets: pd.DataFrame, target: str, model: ClassifierMixin) -> pd.Series:
    if isinstance(model, Hazard):
        return (targets["fold"] == "train") & (targets["observed_days"] >= model.first_edge)
    return (targets["fold"] == "train") & (targets[f"{target}_status"] == "mature")


def _silence(is_silent: np.ndarray) -> pd.api.extensions.ExtensionArray:
    return pd.array(np.where(is_silent, SILENT, ACTIVE), "str")


def _join(features: pd.DataFrame, targets: pd.DataFrame, more: Sequence[str] = ()) -> pd.DataFrame:
    key = list(schema.FEATURES.key)
    truth = targets[[*key, "fold", "split_rank", "label", *more]]
    # Only keys are joined and sorted: the features are copied once.
    place = features[key].assign(place=np.arange(len(features))).merge(truth, on=key, validate="one_to_one")
    place = place.sort_values(key, ignore_index=True)
    rows = features.take(place["place"].to_numpy()).reset_index(drop=True)
    return pd.concat([rows, place[truth.columns.drop(key)]], axis=1)


def train(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    target: str,
    name: str,
    settings: Mapping[str, Any],
    groups: Sequence[str],
    seed: int,
    grow_for: GrowFor | None = None,
    horizons: Horizons | None = None,
    fill: Fill = as_they_are,
) -> tuple[ClassifierMixin, dict[str, Any]]:
    """Fit the model `name` to the training rows of `target`: the mature ones, and for hazard all that were watched.

    Parameters
    ----------
    horizons
        Those of churn: given them, each model of it has a `curve` over all of them.
    grow_for
        Grows the trees of lightgbm elsewhere; see `fit`.
    fill
        Adds the columns of the model to rows of `features`, where those are on disk.

    Returns
    -------
    model : a fitted scikit-learn classifier
    card : dict
        What it is and what it was trained on, ready for `write`.
    """
    model = make(name, settings, catalogue, seed, groups, target, horizons)
    rows = training_rows(features, targets, target, model)
    if not isinstance(model, Hazard):  # which reads them when it has drawn its rows
        rows = fill(rows, model.columns)
    columns = fit(model, rows, grow_for, fill).feature_names_in_.tolist()
    if target == "churn" and horizons is not None and isinstance(model, Paced):
        model.learn_pace(rows, horizons)
    return model, {
        "target": target,
        "name": name,
        "settings": dict(settings),
        "seed": seed,
        "classes": model.classes_.tolist(),
        "columns": columns,
        "catalogue": to_json(f for f in catalogue if f.column in set(columns)),
        "n_train_rows": len(rows),
        "n_train_persons": int(rows["person_id"].nunique()),
        "trained_until": rows["cutoff_time"].max().isoformat(),
    }


def fit(
    model: ClassifierMixin, rows: pd.DataFrame, grow_for: GrowFor | None = None, fill: Fill = as_they_are
) -> ClassifierMixin:
    """Fit `model` to rows of `labelled`; a setting that its library refuses is an `InputError`.

    `fill` adds the features that the rows of a hazard lack. `grow_for` returns what grows trees on some columns of some
    rows, which need not have them then.
    """
    facts = {"groups": rows["person_id"], "times": rows["split_rank"]}
    try:
        if isinstance(model, Hazard):
            days = (rows["cutoff_time"] - _EPOCH) / pd.Timedelta(days=1)
            return model.fit(
                rows,
                rows[list(_FOLLOWED)],
                groups=rows["person_id"],
                days=days.to_numpy(),
                fill=fill,
                grow_for=grow_for,
            )
        if grow_for is not None:
            return model.fit_by(grow_for(model.columns, rows), rows, rows["label"], **facts)
        return model.fit(rows, rows["label"], **{k: v for k, v in facts.items() if has_fit_parameter(model, k)})
    except (LightGBMError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the model cannot be fitted with model.settings: {reason}") from error


def write(model: ClassifierMixin, card: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write model.skops and model.json into `folder`; return the card with checksum and version."""
    digest = save(model, folder / "model.skops")
    card = {**card, "sha256": digest, "version": digest[:12]}
    tables.write_json(card, folder / "model.json")
    return card


def load(folder: Path) -> tuple[ClassifierMixin, dict[str, Any]]:
    """Return the model and the card that `write` left in `folder`."""
    card = tables.read_json(folder / "model.json")
    return read(folder / "model.skops", card["sha256"]), card


def features_of(card: Mapping[str, Any]) -> list[Feature]:
    """Return the features that the model of `card` is given, in their order."""
    known = {f.column: f for f in from_json(card["catalogue"])}
    return [known[c] for c in card["columns"]]


def save(model: ClassifierMixin, path: Path) -> str:
    """Write `model` as a skops file, the same bytes for the same model; return its SHA-256.

    skops names its members after Python object ids and stamps them with the time of day. Ids are renumbered in order
    of appearance; times are dropped.
    """
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    ids: dict[str, str] = {}

    def renumber(match: re.Match) -> str:
        return match[1] + ids.setdefault(match[2], str(len(ids))) + match[3]

    text = re.sub(r'("file": ")(\d+)(\.np[yz]")', renumber, source.read("schema.json").decode())
    text = re.sub(r'("__id__": )(\d+)()', renumber, text)
    arrays = sorted((n for n in source.namelist() if n != "schema.json"), key=lambda n: int(ids[n.split(".")[0]]))
    with tables.atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("schema.json"), text, zipfile.ZIP_DEFLATED)
        for name in arrays:
            stem, suffix = name.split(".")
            archive.writestr(zipfile.ZipInfo(f"{ids[stem]}.{suffix}"), source.read(name), zipfile.ZIP_DEFLATED)
    return tables.sha256(path)


def read(path: Path, sha256: str) -> ClassifierMixin:
    """Read a model that `save` wrote; raise `InputError` where the file is not the one with this checksum."""
    if not path.exists():
        raise InputError(f"{path} does not exist; `dvc repro -P` makes it")
    # Before parsing: LightGBM ends the process on a damaged model, and there is nothing to catch.
    if tables.sha256(path) != sha256:
        raise InputError(f"{path} is not the file that training wrote (its SHA-256 differs); run `dvc repro -P`")
    return skops.io.load(path, trusted=TRUSTED)

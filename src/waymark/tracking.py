"""The memory of experiments: the only module that talks to MLflow.

The embedded store is an SQLite file at the root of the project; MLFLOW_TRACKING_URI chooses a server instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

log = logging.getLogger(__name__)

# An experiment that DVC runs in a temporary copy belongs to the store of the workspace it was started from.
ROOT = Path(os.environ.get("DVC_ROOT") or Path.cwd())
ALIAS = "champion"
_VERSION = "waymark.version"  # tag of a registered model: the version of its card
REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scikit-learn", "skops")


@dataclass(frozen=True)
class TrackedModel:
    """A fitted model, what its artefact may contain, and rows to show it with."""

    estimator: Any
    trusted: list[str]
    example: pd.DataFrame
    card: Mapping[str, Any]  # as in model.json


@dataclass(frozen=True)
class Result:
    """What one run of the pipeline found out; the same result is the same MLflow run."""

    models: Mapping[str, TrackedModel]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    data_version: str
    files: tuple[Path, ...]
    identity: str | None = None  # what makes it the same run where what it found goes on changing
    note: str = ""  # in Markdown, what the page of the run shows first

    def fingerprint_in(self, experiment: str) -> str:
        """Return a hash of the experiment's name, the data, the parameters, the models and their metrics.

        Of a result with an `identity`, that of the experiment's name and of the identity.
        """
        parts = {
            "experiment": experiment,
            "data": self.data_version,
            "models": {k: m.card["sha256"] for k, m in self.models.items()},
            "params": dict(self.params),
            "metrics": dict(self.metrics),
        }
        if self.identity is not None:
            parts = {"experiment": experiment, "identity": self.identity}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Part:
    """A run below another: a trial of a search, a model of a backtest, a row of a table."""

    name: str  # tells it from the others
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def track(result: Result, experiment: str) -> dict[str, str]:
    """Remember a result as an MLflow run with its models, and return the run's id, experiment and fingerprint.

    A result that the store already holds keeps its run: nothing is logged twice.
    """
    _no_calls_home()
    import mlflow

    mlflow.set_tracking_uri(uri())
    with _experiment(mlflow, experiment) as experiment_id:
        name = os.environ.get("DVC_EXP_NAME") or "repro"
        run_id, is_complete = _find_or_create(mlflow, experiment_id, result.fingerprint_in(experiment), name)
        if not is_complete:
            with mlflow.start_run(run_id=run_id):
                _log_result(mlflow, result)
    return {"run_id": run_id, "experiment": experiment}


def track_parts(result: Result, parts: Sequence[Part], experiment: str, name: str) -> dict[str, str]:
    """Remember a result as an MLflow run called `name`, with the runs of `parts` below it; return its id.

    A result with an `identity` may come again with other metrics and parts: the run keeps the newest metrics, and each
    part that it has not yet.
    """
    _no_calls_home()
    import mlflow

    mlflow.set_tracking_uri(uri())
    with _experiment(mlflow, experiment) as experiment_id:
        run_id, _ = _find_or_create(mlflow, experiment_id, result.fingerprint_in(experiment), name)
        below = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'FINISHED'"
        found = mlflow.search_runs([experiment_id], below, output_format="list", max_results=50_000)
        known = {run.info.run_name for run in found}
        with mlflow.start_run(run_id=run_id):
            for part in parts:
                if part.name not in known:
                    with mlflow.start_run(run_name=part.name, nested=True):
                        mlflow.set_tags(dict(part.tags))
                        mlflow.log_params(dict(part.params))
                        mlflow.log_metrics(_named(part.metrics))
            _log_result(mlflow, result)
    return {"run_id": run_id, "experiment": experiment}


def _named(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics by names that MLflow takes."""
    return {re.sub(r"[^\w./: -]", "_", name): value for name, value in metrics.items()}


def _no_calls_home() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)


def _is_embedded() -> bool:
    return uri().startswith("sqlite:")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    if not _is_embedded():
        yield
        return
    from filelock import FileLock

    with FileLock(str(ROOT / ".mlflow.lock"), timeout=600):
        yield


@contextlib.contextmanager
def _experiment(mlflow: Any, name: str) -> Iterator[str]:
    """Yield the id of the experiment; one process at a time on an embedded store, which several at once would break."""
    with _one_at_a_time():
        known = mlflow.get_experiment_by_name(name)
        location = (ROOT / "mlartifacts").as_uri() if _is_embedded() else None
        experiment_id = known.experiment_id if known else mlflow.create_experiment(name, artifact_location=location)
        mlflow.set_experiment(experiment_id=experiment_id)
        yield experiment_id


def _find_or_create(mlflow: Any, experiment_id: str, fingerprint: str, name: str) -> tuple[str, bool]:
    """Return the run of this result, and whether it was logged to its end before."""
    client = mlflow.MlflowClient()
    known = f"tags.`waymark.fingerprint` = '{fingerprint}'"
    everywhere = mlflow.entities.ViewType.ALL
    found = mlflow.search_runs([experiment_id], known, everywhere, output_format="list", max_results=1)
    if found:
        if found[0].info.lifecycle_stage == "deleted":
            client.restore_run(found[0].info.run_id)
        return found[0].info.run_id, found[0].info.status == "FINISHED"
    tags = {"waymark.fingerprint": fingerprint}
    if not _is_embedded():
        return client.create_run(experiment_id, tags=tags, run_name=name).info.run_id, False
    # A server gives out ids of its own. The embedded store draws them at random; drawn from the result instead, they
    # keep predictions, which carry the run's id, the same bytes when everything is made again from nothing.
    run_id = uuid.UUID(fingerprint[:32])
    with mock.patch("mlflow.store.tracking.sqlalchemy_store.uuid.uuid4", return_value=run_id):
        return client.create_run(experiment_id, tags=tags, run_name=name).info.run_id, False


def _log_result(mlflow: Any, result: Result) -> None:
    mlflow.set_tags(
        {
            "dvc.experiment": os.environ.get("DVC_EXP_NAME", ""),
            "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
            "git.revision": git("rev-parse", "HEAD"),
            "git.dirty": str(bool(git("status", "--porcelain", "--untracked-files=no"))).lower(),
            "waymark.data_version": result.data_version,
            **({"mlflow.note.content": result.note} if result.note else {}),
        }
    )
    mlflow.log_params(dict(result.params))
    mlflow.log_metrics(dict(result.metrics))
    for path in result.files:
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name)
        else:
            mlflow.log_artifact(str(path))
    logged = _logged_models(mlflow)
    for name, model in result.models.items():
        if name in logged:
            continue
        _log_model(mlflow, name, model)


def _log_model(mlflow: Any, name: str, model: TrackedModel) -> None:
    """Add a model to the active run."""
    from mlflow.models import infer_signature

    mlflow.log_dict(dict(model.card), f"{name}.json")
    mlflow.sklearn.log_model(
        model.estimator,
        name=name,
        serialization_format="skops",
        skops_trusted_types=model.trusted,
        signature=infer_signature(model.example, model.estimator.predict_proba(model.example)),
        input_example=model.example,
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[f"{p}=={importlib.metadata.version(p)}" for p in REQUIREMENTS],
        code_paths=[str(Path(__file__).parent)],
    )


def _logged_models(mlflow: Any) -> dict[str, str]:
    """Return the models that the active run holds whole, also from an earlier attempt, broken off: name -> id."""
    run = mlflow.active_run().info
    of_run = f"source_run_id = '{run.run_id}'"  # a filter by status finds nothing in the embedded store
    found = mlflow.search_logged_models([run.experiment_id], of_run, output_format="list")
    return {m.name: m.model_id for m in found if m.status == "READY"}


def set_champion(experiment: str, target: str, run_id: str, role: str, model: TrackedModel) -> str:
    """Let the alias `champion` of the registered model `<experiment>.<target>` point to a model of a run.

    The candidate of a run is logged with it; another model is added to the run first. A model is registered once,
    however often this is called. Returns what the store refused, in a sentence, or nothing: what scores is the files.
    """

    def point(mlflow: Any, client: Any, name: str) -> None:
        version = _registered(client, name, model.card["version"])
        if version is None:
            logged_as = target if role == "candidate" else f"{role}_{target}"
            with mlflow.start_run(run_id=run_id):
                if logged_as not in _logged_models(mlflow):
                    _log_model(mlflow, logged_as, model)
                model_id = _logged_models(mlflow)[logged_as]
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name, description=f"Who forecasts {target}: see the alias {ALIAS}.")
            tags = {_VERSION: model.card["version"]}
            made = client.create_model_version(name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id)
            version = made.version
        client.set_registered_model_alias(name, ALIAS, version)

    return _in_registry(experiment, target, point)


def restore_champion(experiment: str, target: str, version: str) -> str:
    """Let the alias point to the model whose card has this `version` again; returns what `set_champion` does."""

    def point(mlflow: Any, client: Any, name: str) -> None:
        number = _registered(client, name, version)
        if number is None:
            raise mlflow.MlflowException(f"it knows no version {version} of {name}")
        client.set_registered_model_alias(name, ALIAS, number)

    return _in_registry(experiment, target, point)


def record_decision(run_id: str, decisions: Mapping[str, Any], file: str = "promotion.json") -> str:
    """Keep who won, and against whom, with the run of the candidates; returns what `set_champion` does."""

    def keep(mlflow: Any, client: Any, name: str) -> None:
        client.log_dict(run_id, dict(decisions), file)
        for target, decided in decisions.items():
            client.set_tag(run_id, f"waymark.promotion.{target}", decided["verdict"][:5000])

    return _in_registry("", "", keep)


def _registered(client: Any, name: str, version: str) -> str | None:
    """Return the number under which the registry knows the model whose card says `version`."""
    found = [v for v in client.search_model_versions(f"name = '{name}'") if v.tags.get(_VERSION) == version]
    return found[0].version if found else None


def _in_registry(experiment: str, target: str, work: Callable[[Any, Any, str], None]) -> str:
    _no_calls_home()
    import mlflow

    mlflow.set_tracking_uri(uri())
    with _one_at_a_time():
        try:
            work(mlflow, mlflow.MlflowClient(), f"{experiment}.{target}")
        except mlflow.MlflowException as error:
            reason = str(error).splitlines()[0]
            return f"{uri()} did not take note ({reason}); what scores is the files in models/champion"
    return ""


def git(*arguments: str) -> str:
    """Return what git prints, or nothing where there is no git or the project is no checkout."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def chosen_params(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that tell experiments apart, flat; the rest is in resolved.yaml, logged as a file."""
    features, targets, split, model = (settings[section] for section in ("features", "targets", "split", "model"))
    churn = model["churn"]
    params = {
        "source": settings["source"]["name"],
        "seed": settings["seed"],
        "model": model["name"],
        "model.churn.name": model["name"] if churn is None else churn["name"],
        "horizon_days": targets["horizon_days"],
        "horizons_days": targets["horizons_days"],
        "churn_event_types": targets["churn_event_types"],
        "end_of_case": targets["end_of_case"],
        "points": features["points"],
        "groups": ",".join(features["groups"]),
        "windows_days": features["windows_days"],
        "half_lives_days": features["half_lives_days"],
        "last_k": features["last_k"],
        "split": split["kind"],
        "split.persons": split["persons"],
        **{k: split[k] for k in ("n_train", "n_unripe", "n_test")},
    }
    params |= {f"model.{k}": v for k, v in model["settings"].items()}
    return params | {f"model.churn.{k}": v for k, v in (churn["settings"] if churn else {}).items()}


def flat_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return `{target}.{metric}` -> number; texts are left out."""
    return {
        f"{target}.{name}": float(value)
        for target, values in metrics.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }

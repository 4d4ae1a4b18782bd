"""Experiments: each leaves its run in the one store, DVC tells them apart, and none of them publishes."""

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from project import Project, finished
from waymark import models, tables

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own

TARGETS = ("next_stage", "churn")
PUBLISHED = ("data/predictions", "models/champion", "reports/promotion.json", "reports/report.html")
SOONER = ["-S", "+set.targets.horizon_days=14", "-S", "conf/features/snapshots.yaml:last_k=3"]
FEW = "[recency,counts,values]"  # groups of features
TRACKED = ("grid-1", "grid-2", "sooner")  # `sent` has its run in a store elsewhere
MODELS = {"main": "lightgbm", "grid-1": "logistic", "grid-2": "back_off", "sent": "rfm_logistic", "sooner": "lightgbm"}


@dataclass(frozen=True)
class Lab:
    """A project in which experiments were run; its workspace holds `sooner`, the last of them."""

    project: Project
    published: dict[str, str]  # before the first experiment
    shown: dict[str, dict[str, Any]]  # what `dvc exp show` says of each experiment and of `main`, by name
    elsewhere: str  # address of the store that `sent` was sent to

    def run_id(self, name: str) -> str:
        return self.shown[name]["metrics"]["reports/mlflow_run.json"]["data"]["run_id"]

    def metrics(self, name: str) -> dict[str, dict[str, Any]]:
        return self.shown[name]["metrics"]["reports/metrics.json"]["data"]

    def settings(self, name: str) -> dict[str, Any]:
        return self.shown[name]["params"]["resolved.yaml"]["data"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    base = tmp_path_factory.getbasetemp()
    project = finished(base).copy(base / "experiments")
    published = project.files(*PUBLISHED)
    elsewhere = f"sqlite:///{base / 'elsewhere.db'}"
    project.run("dvc", "exp", "run", "--queue", "-n", "grid", "-S", "model=logistic,back_off")
    run_the_queue(project)
    few = ["-S", "model=rfm_logistic", "-S", f"++set.features.groups={FEW}"]
    project.run("dvc", "exp", "run", "--temp", "-n", "sent", *few, MLFLOW_TRACKING_URI=elsewhere)
    project.run("dvc", "exp", "run", "-n", "sooner", *SOONER)
    _, main = json.loads(project.run("dvc", "exp", "show", "--json"))
    revisions = [main, *(revision for e in main["experiments"] for revision in e["revs"])]
    return Lab(project, published, {r["name"]: r["data"] for r in revisions}, elsewhere)


def run_the_queue(project: Project) -> None:
    project.run("dvc", "queue", "start")
    patience = time.monotonic() + 900
    try:
        while re.search("Queued|Running", status := project.run("dvc", "queue", "status")):
            assert time.monotonic() < patience, status
            time.sleep(2)
    finally:
        project.run("dvc", "queue", "stop", "--kill")
    logs = [p.read_text() for p in project.path(".dvc/tmp/exps/run").glob("*/*.out")]
    assert status.count("Success") == 2, "\n".join([status, *logs])


@pytest.fixture
def store(lab: Lab, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # models bring the code they were made with
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{lab.project.root / 'mlflow.db'}")
    yield mlflow
    mlflow.set_tracking_uri(None)


def test_dvc_shows_each_experiment_with_its_model_its_metrics_and_its_run(lab: Lab):
    assert {name: lab.settings(name)["model"]["name"] for name in lab.shown} == MODELS
    assert len({lab.metrics(name)["next_stage"]["log_loss"] for name in MODELS}) == len(MODELS)
    assert len({lab.run_id(name) for name in MODELS}) == len(MODELS)


def test_an_experiment_may_have_other_groups_of_features(lab: Lab):
    # DVC shows a list once for each step that it is a setting of.
    assert set(lab.settings("sent")["features"]["groups"]) == {"recency", "counts", "values"}
    assert len(lab.settings("main")["features"]["groups"]) > 3


def test_dvc_compares_the_settings_of_two_experiments(lab: Lab):
    changed = json.loads(lab.project.run("dvc", "params", "diff", "main", "sooner", "--json"))["resolved.yaml"]
    assert {key: (value["old"], value["new"]) for key, value in changed.items()} == {
        "targets.horizon_days": (30, 14),
        "targets.horizons_days": ("[7, 30, 90]", "[7, 14, 30, 90]"),
        "features.last_k": (5, 3),
    }


def test_dvc_compares_the_metrics_of_two_experiments(lab: Lab):
    changed = json.loads(lab.project.run("dvc", "metrics", "diff", "main", "sooner", "--json"))["reports/metrics.json"]
    for target in TARGETS:
        loss = changed[f"{target}.log_loss"]
        assert (loss["old"], loss["new"]) == tuple(lab.metrics(name)[target]["log_loss"] for name in ("main", "sooner"))


@pytest.mark.parametrize("arguments", [["show"], ["diff", "main", "sooner"]])
def test_dvc_plots_experiments(lab: Lab, arguments):
    lab.project.run("dvc", "plots", *arguments)
    page = lab.project.path("dvc_plots/index.html").read_text()
    for plot in ("calibration of", "importance for"):
        assert all(f"{plot} {target}" in page for target in TARGETS)
    assert set(re.findall('"rev": "(.+?)"', page)) == set(arguments[1:] or ["workspace"])


def test_each_experiment_has_its_run_in_the_one_store_of_the_workspace(lab: Lab, store):
    runs = store.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(r.info.run_id for r in runs) == sorted(lab.run_id(name) for name in TRACKED)
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert all(r.info.artifact_uri.startswith(lab.project.path("mlartifacts").as_uri()) for r in runs)
    assert list(lab.project.root.rglob("mlflow.db")) == [lab.project.path("mlflow.db")]


@pytest.mark.parametrize("name", TRACKED)
def test_a_run_says_where_it_comes_from_and_holds_what_was_found(lab: Lab, store, name):
    run = store.get_run(lab.run_id(name))
    head = lab.project.run("git", "rev-parse", "HEAD").strip()
    clock = tables.read_json(lab.project.path("data/clock/train.json"))
    assert run.data.tags["dvc.experiment"] == run.info.run_name == name
    assert run.data.tags["dvc.baseline_rev"] == run.data.tags["git.revision"] == head
    assert run.data.tags["waymark.data_version"] == clock["data_version"]
    assert run.data.metrics == {
        f"{target}.{key}": value
        for target, metrics in lab.metrics(name).items()
        for key, value in metrics.items()
        if isinstance(value, int | float)
    }
    folder = Path(store.artifacts.download_artifacts(run_id=run.info.run_id))
    logged, shown = yaml.safe_load((folder / "resolved.yaml").read_text()), lab.settings(name)
    for section in ("model", "targets", "split", "evaluate", "seed"):
        assert logged[section] == shown[section]
    assert run.data.params["model"] == logged["model"]["name"]
    assert run.data.params["horizon_days"] == str(logged["targets"]["horizon_days"])
    assert run.data.params["last_k"] == str(logged["features"]["last_k"])
    assert list((folder / "plots").iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_a_model_comes_back_from_the_store_and_predicts_the_same(lab: Lab, store, target):
    model, card = models.load(lab.project.path("models") / target)
    features = tables.read(lab.project.path("data/features/train"))
    run = store.get_run(lab.run_id("sooner"))
    of_run = f"source_run_id = '{run.info.run_id}'"
    logged = store.search_logged_models([run.info.experiment_id], of_run, output_format="list")
    assert sorted(m.name for m in logged) == sorted(TARGETS)
    [uri] = [m.model_uri for m in logged if m.name == target]
    served = store.pyfunc.load_model(uri)
    assert served.metadata.signature.inputs.input_names() == card["columns"]
    assert served.metadata.signature.outputs is not None
    assert list(pd.DataFrame(served.input_example).columns) == card["columns"]
    expected = model.predict_proba(features)
    assert (served.predict(features[card["columns"]]) == expected).all()
    assert (store.sklearn.load_model(uri).predict_proba(features) == expected).all()


def test_another_store_is_chosen_by_the_environment(lab: Lab, store):
    store.set_tracking_uri(lab.elsewhere)
    [run] = store.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_id == lab.run_id("sent")
    assert run.data.params["model"] == MODELS["sent"]


def test_experiments_publish_nothing(lab: Lab):
    assert lab.published
    assert lab.project.files(*PUBLISHED) == lab.published

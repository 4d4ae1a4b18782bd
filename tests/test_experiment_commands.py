"""Search, ablation and backtest as commands, in a copy of a finished project: what they leave, and who is told."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from small_project import environment
from waymark import tables, tracking
from waymark.config import ModelConfig, check

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own

SEARCH = ("target=churn", "model=rfm_logistic", "n_trials=3", "name=found")


class Lab:
    """A folder in which commands are run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, module: str, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "src/run.py", f"waymark.{module}", *arguments],
            cwd=self.root,
            env=environment(self.root),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 2) == fails, done.stderr
        assert fails or done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def lab(small_project, tmp_path_factory) -> Lab:
    """The nights of the small brand are few: one training night before an origin must do."""
    root = Path(shutil.copytree(small_project, tmp_path_factory.mktemp("lab") / "project"))
    for name in ("mlflow.db", ".mlflow.lock"):
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "mlartifacts", ignore_errors=True)
    settings = yaml.safe_load((root / "resolved.yaml").read_text())
    settings["search"]["min_train_nights"] = settings["backtest"]["min_train_nights"] = 1
    settings["features"]["groups"] = ["recency", "counts", "channels"]
    (root / "resolved.yaml").write_text(yaml.safe_dump(settings))
    for unwanted in ("hazard", "lightgbm"):  # minutes
        (root / f"conf/model/{unwanted}.yaml").unlink()
    return Lab(root)


@pytest.fixture
def runs(lab, monkeypatch):
    """Return the runs of the store by name, with the name of the run that each is below."""
    import mlflow

    monkeypatch.setattr(tracking, "ROOT", lab.root)
    mlflow.set_tracking_uri(f"sqlite:///{lab.root / 'mlflow.db'}")
    found = (
        mlflow.search_runs(search_all_experiments=True, output_format="list")
        if (lab.root / "mlflow.db").exists()
        else []
    )
    names = {r.info.run_id: r.info.run_name for r in found}
    yield {r.info.run_name: names.get(r.data.tags.get("mlflow.parentRunId")) for r in found}
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def done(lab) -> dict[str, str]:
    """What each command printed."""
    return {
        "search": lab.run("search", *SEARCH),
        "ablation": lab.run("ablation", "target=churn", "model=logistic"),
        "backtest": lab.run("backtest", "target=churn"),
        "report": lab.run("steps.report"),
    }


def test_a_search_leaves_a_model_that_conf_knows_and_a_run_for_each_trial(lab, done, runs):
    path = lab.root / "conf/model/found.yaml"
    text = path.read_text()
    found = check(ModelConfig, yaml.safe_load(text), "found")
    assert found.churn is not None and found.churn.name == "rfm_logistic"
    assert 0.001 <= found.churn.settings["C"] <= 10
    assert text.startswith('# Found by `make search ARGS="target=churn model=rfm_logistic n_trials=3 name=found"`')
    [study] = {above for name, above in runs.items() if name.startswith("trial")}
    assert study.startswith("search churn-rfm_logistic-")
    assert sorted(n for n in runs if n.startswith("trial")) == ["trial 0", "trial 1", "trial 2"]
    assert (lab.root / "optuna.db").exists()


def test_a_search_says_when_the_file_is_there_and_goes_on_when_asked(lab, done):
    before = (lab.root / "conf/model/found.yaml").read_text()
    assert "found.yaml exists already; choose another name, or say overwrite=yes" in lab.run(
        "search", *SEARCH, fails=True
    )
    again = lab.run("search", *SEARCH, "overwrite=yes")
    assert "trial 1 of" not in again, "the study has its trials"
    assert (lab.root / "conf/model/found.yaml").read_text() == before


def test_an_ablation_leaves_its_table(lab, done, runs):
    found = tables.read_json(lab.root / "reports/ablation_churn.json")
    with (lab.root / "reports/ablation_churn.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["added"] for r in rows] == [r["added"] for r in found["rows"]]
    assert {("channel", "intent"), ("intent", "channel"), ("recency", "all others")} <= {
        (r["added"], r["to"]) for r in rows
    }
    assert "gain in log loss, added to intent:" in done["ablation"]
    assert runs["channel added to intent"] == "ablation churn"


def test_a_backtest_leaves_its_leaderboard_for_the_report(lab, done, runs):
    found = tables.read_json(lab.root / "reports/backtest/churn.json")
    assert found["missing"].startswith("3 of 4 origins")
    assert {"found", "logistic", "rfm_logistic", "back_off", "bg_nbd", "recency"} <= set(found["pooled"]["models"])
    assert runs["churn logistic"] == "backtest churn"
    page = (lab.root / "reports/report.html").read_text()
    assert found["pooled"]["verdict"] in page
    assert "This backtest is stale" not in page


def test_wrong_arguments_end_in_one_sentence(lab):
    assert "'tarhet=churn' is no argument; write key=value with a key of target, model" in lab.run(
        "search", "tarhet=churn", fails=True
    )
    assert "target=silence is no target; there are next_stage, churn" in lab.run(
        "ablation", "target=silence", fails=True
    )
    assert "n_trials=few is no whole number" in lab.run("search", "n_trials=few", fails=True)
    assert "no model is called 'best'" in lab.run("search", "model=best", fails=True)

"""Nights of a shop of one's own: what runs again when what has changed, and what stays."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from project import N_DAYS, OPENED, RESULTS, Project, finished_shop, visits_of, write_day

pytestmark = pytest.mark.slow

PUBLISHING = {"tonight", "score", "realise", "report"}
NEWS = {"ingest"}
DATA = {"features_train", "targets", "leakcheck"}
TRAINING = DATA | {"train@next_stage", "train@churn", "evaluate", "track", "promote", "judge"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Project:
    """A project at rest. Every test leaves it at rest."""
    base = tmp_path_factory.getbasetemp()
    project = finished_shop(base).copy(base / "nights")
    assert project.repro() == set()
    return project


def day(number: int) -> str:
    return f"{OPENED + timedelta(days=number):%Y-%m-%d}"


def partition(project: Project, n_days: int) -> str:
    """Name the folder of the night that ends day `n_days` of the shop."""
    folder = f"data/predictions/cutoff_date={day(n_days)}"
    assert project.path(f"{folder}/predictions.parquet").exists()
    return folder


def manifest(project: Project, n_days: int) -> dict:
    return json.loads(project.path(f"{partition(project, n_days)}/manifest.json").read_text())


def test_a_night_without_news_does_nothing(shop: Project):
    before = shop.files(*RESULTS)
    assert shop.repro() == set()
    assert shop.files(*RESULTS) == before


def test_a_comment_in_conf_reruns_the_config_step_alone(shop: Project):
    before = shop.files("data", "models", "reports", "resolved.yaml")
    shop.edit("conf/evaluate/base.yaml", "n_bootstrap: 200", "n_bootstrap: 200 # a remark")
    assert shop.repro() == {"config"}
    after = shop.files("data", "models", "reports", "resolved.yaml")
    assert {n for n in after if after[n] != before.get(n)} <= {"models/dvc.lock"}


@pytest.mark.parametrize(
    ("file", "old", "new", "steps"),
    [
        ("report/base", "title: Customer journeys", "title: Our journeys", {"report"}),
        ("promote/base", "n_bootstrap: 400", "n_bootstrap: 300", {"promote", "judge", "report"}),
        ("evaluate/base", "bins: 10", "bins: 8", {"evaluate", "track", "promote", "judge", "report"}),
        ("model/lightgbm", "num_leaves: 8", "num_leaves: 5", TRAINING - DATA | {"report"}),
        ("features/snapshots", "last_k: 5", "last_k: 4", TRAINING | {"tonight", "score", "realise", "report"}),
    ],
)
def test_an_edited_setting_reruns_the_steps_that_depend_on_it(shop: Project, file, old, new, steps):
    before = shop.files("models/champion")
    shop.edit(f"conf/{file}.yaml", old, new)
    ran = shop.repro()
    moved = {"score", "realise"} if shop.files("models/champion") != before else set()
    assert ran == {"config"} | steps | moved


@pytest.fixture(scope="module")
def next_night(shop: Project) -> tuple[set[str], dict[str, str], dict[str, str]]:
    """Deliver Thursday, with a row of three weeks ago that was seen only now; return steps, files before and after."""
    before = shop.files(*RESULTS)
    forgotten = f"c000,{day(122)} 12:00,{day(N_DAYS)} 09:00,looked,"
    write_day(shop.path("data/landing/corner_shop"), "thursday", [*visits_of(N_DAYS), forgotten])
    steps = shop.repro()
    return steps, before, shop.files(*RESULTS)


def test_a_new_day_scores_and_leaves_training_alone(shop: Project, next_night):
    steps, before, after = next_night
    assert steps == NEWS | PUBLISHING
    trained = shop.files("data/clock/train.json", "data/features/train", "data/targets.parquet", "models/churn")
    for name in (*trained, "reports/metrics.json", "reports/mlflow_run.json"):
        assert after[name] == before[name]
    assert manifest(shop, N_DAYS + 1)["warnings"] == []
    for name in shop.files(partition(shop, N_DAYS)):
        assert after[name] == before[name]


def test_a_night_scored_as_its_files_came_in_is_replayed_after_more_have_come(shop: Project, next_night):
    for n_days in (N_DAYS, N_DAYS + 1):
        said = shop.run("python", "src/run.py", "waymark.replay", f"cutoff_date={day(n_days)}")
        assert said.splitlines()[-1] == f"cutoff_date={day(n_days)}: the same bytes"


def test_an_earlier_night_is_scored_again_without_training_and_with_the_bytes_it_had(shop: Project, next_night):
    _, before, after = next_night
    shop.choose(cutoff_time=manifest(shop, N_DAYS)["cutoff_time"])
    assert shop.repro() == {"config", "ingest"} | PUBLISHING
    for name in shop.files(partition(shop, N_DAYS)):
        assert shop.files("data/predictions")[name] == before[name]
    for name in shop.files(partition(shop, N_DAYS + 1)):
        assert shop.files("data/predictions")[name] == after[name]

    shop.choose(cutoff_time="2025-04-01")
    assert shop.repro() == {"config", "ingest"} | PUBLISHING
    [warning] = manifest(shop, 85)["warnings"]
    assert "the models learnt from what was known up to 2025-05-26, after this cut-off" in warning
    assert "after this cut-off" in shop.path("reports/report.html").read_text()

    shop.choose(cutoff_time="latest")
    assert shop.repro() == {"config", "ingest"} | PUBLISHING
    assert shop.files("reports/report.html")["reports/report.html"] == after["reports/report.html"]
    earlier = {name: digest for name, digest in after.items() if name.startswith("data/predictions")}
    assert shop.files("data/predictions") == earlier | shop.files(partition(shop, 85))


def test_a_late_event_retrains_and_a_night_killed_on_and_on_ends_with_the_same_bytes(shop: Project, tmp_path: Path):
    killed = shop.copy(tmp_path / "killed")
    monday = day(70)
    for project in (shop, killed):  # it was seen in time, but its file comes only now
        write_day(project.path("data/landing/corner_shop"), "found", [f"c000,{monday} 12:00,{monday} 12:05,looked,"])
    assert shop.repro() == NEWS | TRAINING | PUBLISHING

    def there(name: str):
        return lambda: any(killed.root.glob(name))

    in_store = set(killed.root.glob("data/store/*/*"))
    killed.kill_during("ingest", lambda: set(killed.root.glob("data/store/*/*")) != in_store)
    killed.kill_during("features_train", there("data/features/.tmp-*"))
    model = killed.path("models/churn/model.skops")
    written = model.stat().st_mtime_ns

    def is_written() -> bool:  # now, or just now: a moment may pass between two looks
        return there("models/churn/.tmp-*")() or (model.exists() and model.stat().st_mtime_ns != written)

    killed.kill_during("train@churn", is_written)
    killed.kill_during("track", there("mlartifacts/*/*/artifacts/*"))
    killed.kill_during("promote", there("reports/promotion.json"))
    killed.kill_during("score", there("data/predictions/.tmp-*/*"))
    killed.repro()
    assert killed.files(*RESULTS) == shop.files(*RESULTS)
    assert killed.repro() == set()

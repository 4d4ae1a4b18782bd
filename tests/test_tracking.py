import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import planted
from waymark import models, tables, tracking

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,  # each test makes a store of its own
    pytest.mark.filterwarnings("ignore"),  # MLflow's own
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    features, targets = planted.tables()
    folder = tmp_path_factory.mktemp("models")
    model, card = models.train(features, targets, planted.CATALOGUE, "churn", "logistic", {}, planted.GROUPS, 7)
    return model, models.write(model, card, folder), features


@pytest.fixture
def result(trained, tmp_path):
    model, card, features = trained
    tables.write_text("seed: 7\n", tmp_path / "resolved.yaml")
    return tracking.Result(
        models={"churn": tracking.TrackedModel(model, models.TRUSTED, features[card["columns"]].head(5), card)},
        params={"model": "logistic"},
        metrics={"churn.log_loss": 0.5},
        data_version="data0001",
        files=(tmp_path / "resolved.yaml",),
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "ROOT", tmp_path / "store")
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a model that is loaded brings its code along
    import mlflow

    yield mlflow
    mlflow.set_tracking_uri(None)


def test_the_same_result_is_one_run_with_the_id_of_the_result(result, store):
    first = tracking.track(result, "shop")
    assert tracking.track(result, "shop") == first
    assert first["run_id"] == result.fingerprint_in("shop")[:32]
    run = store.get_run(first["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "logistic"
    assert run.data.metrics["churn.log_loss"] == 0.5
    assert run.data.tags["waymark.data_version"] == "data0001"
    assert len(store.search_runs(search_all_experiments=True, output_format="list")) == 1


def test_the_model_comes_back_with_signature_and_example(result, store, trained):
    model, card, features = trained
    run_id = tracking.track(result, "shop")["run_id"]
    logged = store.search_logged_models(filter_string=f"source_run_id = '{run_id}'", output_format="list")[0]
    again = store.pyfunc.load_model(logged.model_uri)
    x = features[card["columns"]].head(9)
    assert again.metadata.signature.inputs.input_names() == card["columns"]
    assert again.input_example is not None
    assert again.predict(x) == pytest.approx(model.predict_proba(x))


def test_another_result_is_another_run(result, store):
    tracking.track(result, "shop")
    other = tracking.Result(**{**vars(result), "data_version": "data0002"})
    tracking.track(other, "shop")
    assert len(store.search_runs(search_all_experiments=True, output_format="list")) == 2


def test_a_result_deleted_in_the_store_comes_back(result, store):
    run_id = tracking.track(result, "shop")["run_id"]
    store.delete_run(run_id)
    assert tracking.track(result, "shop")["run_id"] == run_id
    assert store.get_run(run_id).info.lifecycle_stage == "active"


def test_another_experiment_has_a_run_of_its_own(result, store):
    assert tracking.track(result, "shop")["run_id"] != tracking.track(result, "bank")["run_id"]


def test_a_run_that_broke_off_is_logged_to_its_end_and_holds_each_model_once(result, store, monkeypatch):
    both = replace(result, models={"next_stage": result.models["churn"], **result.models})
    log_model = store.sklearn.log_model

    def breaks_at_churn(*arguments, **named):
        return 1 / 0 if named["name"] == "churn" else log_model(*arguments, **named)

    with monkeypatch.context() as broken:
        broken.setattr(store.sklearn, "log_model", breaks_at_churn)
        with pytest.raises(ZeroDivisionError):
            tracking.track(both, "shop")
    [run] = store.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"

    assert tracking.track(both, "shop")["run_id"] == run.info.run_id
    run = store.get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["churn.log_loss"] == 0.5
    models_of_run = store.search_logged_models([run.info.experiment_id], output_format="list")
    assert sorted(m.name for m in models_of_run) == ["churn", "next_stage"]


def test_a_search_has_a_run_and_each_trial_one_below_it_once(result, store):
    study = replace(result, models={}, identity="search of a study", metrics={"best_log_loss": 0.5}, note="| a | b |")
    trials = [
        tracking.Part(f"trial {n}", {"model.C": n}, {"log_loss to 2025-01-06": 0.5 - n}, {"state": "complete"})
        for n in (0, 1)
    ]
    first = tracking.track_parts(study, trials[:1], "shop", "search")
    again = tracking.track_parts(replace(study, metrics={"best_log_loss": 0.4}), trials, "shop", "search")
    assert again == first
    runs = store.search_runs(search_all_experiments=True, output_format="list")
    [parent] = [r for r in runs if r.info.run_id == first["run_id"]]
    below = sorted((r for r in runs if r is not parent), key=lambda r: r.info.run_name)
    assert (parent.info.run_name, parent.data.metrics["best_log_loss"]) == ("search", 0.4)
    assert parent.data.tags["mlflow.note.content"] == "| a | b |"
    assert not any("mlflow.note.content" in r.data.tags for r in below)
    assert [r.info.run_name for r in below] == ["trial 0", "trial 1"]
    assert {r.data.tags["mlflow.parentRunId"] for r in below} == {parent.info.run_id}
    assert [r.data.params["model.C"] for r in below] == ["0", "1"]
    assert {r.info.status for r in runs} == {"FINISHED"}


def test_without_git_a_run_is_a_run(result, store, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    run = store.get_run(tracking.track(result, "shop")["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["git.revision"] == ""


def test_nothing_is_written_outside_the_store(result, store, tmp_path):
    before = set(tmp_path.iterdir())
    tracking.track(result, "shop")
    assert set(tmp_path.iterdir()) == before
    assert {p.name for p in (tmp_path / "store").iterdir()} == {"mlflow.db", "mlartifacts", ".mlflow.lock"}


def test_a_server_is_chosen_by_the_environment(result, store, tmp_path, monkeypatch):
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    tracking.track(result, "shop")
    assert tracking.uri() == elsewhere
    assert not (tmp_path / "store" / "mlflow.db").exists()
    assert (tmp_path / "elsewhere.db").exists()


def test_two_first_users_at_once_do_not_break_the_store(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from waymark import tracking\n"
        "tracking.ROOT = Path(sys.argv[2])\n"
        "result = tracking.Result({}, {'who': sys.argv[3]}, {'m': 1.0}, 'd', ())\n"
        "print(tracking.track(result, 'shop')['run_id'])\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT / "src"), str(tmp_path), who], stdout=subprocess.PIPE, text=True
        )
        for who in ("ann", "bob")
    ]
    ids = {process.communicate()[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(ids) == 2


def champion_of(store, target):
    return store.MlflowClient().get_model_version_by_alias(f"shop.{target}", tracking.ALIAS)


def test_the_alias_follows_the_champion_and_goes_back(result, store, trained):
    model, _, features = trained
    first = tracking.track(result, "shop")["run_id"]
    tracked = result.models["churn"]
    for _ in range(2):  # a step that is run again registers nothing twice
        assert tracking.set_champion("shop", "churn", first, "candidate", tracked) == ""
    assert [v.version for v in store.MlflowClient().search_model_versions("name = 'shop.churn'")] == [1]
    x = features[tracked.card["columns"]].head(9)
    served = store.sklearn.load_model(f"models:/shop.churn@{tracking.ALIAS}")
    assert (served.predict_proba(x) == model.predict_proba(x)).all()

    baseline = replace(tracked, card={**tracked.card, "version": "plain"})
    assert tracking.set_champion("shop", "churn", first, "baseline", baseline) == ""
    assert champion_of(store, "churn").tags["waymark.version"] == "plain"
    logged = store.search_logged_models([store.get_run(first).info.experiment_id], output_format="list")
    assert sorted(m.name for m in logged) == ["baseline_churn", "churn"]

    assert tracking.restore_champion("shop", "churn", tracked.card["version"]) == ""
    assert champion_of(store, "churn").tags["waymark.version"] == tracked.card["version"]
    assert "it knows no version other of shop.churn" in tracking.restore_champion("shop", "churn", "other")


def test_a_decision_is_kept_with_the_run_of_the_candidates(result, store):
    # An experiment of its own: MLflow remembers in this process where the artefacts of a run id lie.
    run_id = tracking.track(result, "decided")["run_id"]
    assert tracking.record_decision(run_id, {"churn": {"verdict": "lightgbm stays"}}) == ""
    run = store.get_run(run_id)
    assert run.data.tags["waymark.promotion.churn"] == "lightgbm stays"
    assert run.info.status == "FINISHED"
    [kept] = tracking.ROOT.glob(f"mlartifacts/{run_id}/artifacts/promotion.json")
    assert tables.read_json(kept) == {"churn": {"verdict": "lightgbm stays"}}


def test_a_store_without_a_registry_costs_a_sentence(result, store, monkeypatch):
    run_id = tracking.track(result, "shop")["run_id"]

    def refuses(*arguments, **named):
        raise store.MlflowException("no registry here\nand a trace")

    monkeypatch.setattr(store.MlflowClient, "search_model_versions", refuses)
    said = tracking.set_champion("shop", "churn", run_id, "candidate", result.models["churn"])
    assert said.endswith("did not take note (no registry here); what scores is the files in models/champion")

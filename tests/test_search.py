"""A search looks at training rows alone, goes on where it stopped, and leaves a model that conf/ knows."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

import planted
from waymark import config, held_out, metrics, model_file, models, search, workbench
from waymark.config import Range, SearchConfig, Settings, SplitConfig, check
from waymark.errors import InputError
from waymark.steps.config import compose_settings

ROOT = Path(__file__).parents[1]
FEATURES, TARGETS = planted.tables(n_persons=60, n_nights=9)
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
LOGISTIC = config.ModelConfig(name="logistic", settings={"C": 0.1})
HAZARD = workbench.models(ROOT / "conf")["hazard"]


@functools.cache
def settings(**search_settings: int) -> Settings:
    chosen = {
        "targets": {"horizon_days": 7},
        "features": {"groups": planted.GROUPS},
        "search": {"n_folds": 3, "min_train_nights": 2, **search_settings},
    }
    text = compose_settings(PARAMS | {"source": "simulated", "set": chosen}, ROOT / "conf")
    return check(Settings, yaml.safe_load(text), "settings")


def objective(features=FEATURES, targets=TARGETS, target="churn", model=LOGISTIC):
    return search.objective(features, targets, planted.CATALOGUE, target, model, settings())


class Cheap:
    """Judges at once: C had best be 1, and the first fold says so already."""

    seed, start = 7, {"C": 0.1}

    def __call__(self, trial):
        loss = np.log(trial.suggest_float("C", 0.001, 10.0, log=True)) ** 2
        for i in range(3):
            trial.report(loss, i)
            if i < 2 and trial.should_prune():
                raise optuna.TrialPruned
        return loss


def run(database: Path, n_trials: int, judge=None, name="study") -> list[tuple]:
    judge = judge or Cheap()
    with search.opened(database, name) as study:
        search.go_on(study, judge, n_trials)
        return [
            (t.params, t.value, t.state)
            for t in study.get_trials()
            if t.state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        ]


# --- what it is judged on --------------------------------------------------------------------------------------------


def test_it_is_judged_on_the_newest_training_nights_from_what_was_known_before():
    judge = objective()
    nights = judge.rows["cutoff_time"]
    assert len(judge.folds) == 3
    assert nights.iloc[judge.folds[-1].test].unique() == [nights.max()]
    assert nights.max() < TARGETS["cutoff_time"].max(), "the newest night of all tests, and is not looked at"
    for fold in judge.folds:
        [origin] = nights.iloc[fold.test].unique()
        assert (nights.iloc[fold.train] + pd.Timedelta(days=7)).max() <= origin


@pytest.mark.parametrize("target", ["churn", "next_stage"])
def test_poison_in_the_test_rows_changes_nothing(target):
    is_test = (TARGETS["fold"] == "test").to_numpy()
    poisoned = FEATURES.copy()
    numbers = [c for c in FEATURES if c.startswith("f_")]
    poisoned.loc[is_test, numbers] = np.float32(np.inf)
    wrong = TARGETS.copy()
    wrong.loc[is_test, "is_silent"] = ~wrong.loc[is_test, "is_silent"].astype(bool)
    wrong.loc[is_test, "next_stage"] = "poison"
    wrong.loc[is_test, "next_stage_status"] = "mature"

    def losses(judge):
        return judge(optuna.trial.FixedTrial({"C": 0.3}))

    clean = objective(target=target)
    dirty = objective(poisoned, wrong, target)
    assert np.isfinite(dirty.rows[numbers].to_numpy()[~dirty.rows[numbers].isna().to_numpy()]).all()
    assert dirty.rows["label"].tolist() == clean.rows["label"].tolist()
    assert losses(dirty) == losses(clean)


def test_the_objective_is_the_mean_log_loss_of_the_folds():
    judge = objective()
    value = judge(optuna.trial.FixedTrial({"C": 0.5}))
    losses = []
    for fold in judge.folds:
        train, test = judge.rows.iloc[fold.train], judge.rows.iloc[fold.test]
        model = models.fit(models.make("logistic", {"C": 0.5}, planted.CATALOGUE, 7, planted.GROUPS, "churn"), train)
        y = (test["label"] == "silent").to_numpy(int)
        losses.append(metrics.log_loss(y, model.predict_proba(test)))
    assert value == pytest.approx(np.mean(losses), abs=1e-12)


# --- a study ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_search_that_goes_on_tries_what_one_without_a_stop_tries(tmp_path):
    database = tmp_path / "optuna.db"
    whole = run(database, 13, name="whole")
    run(database, 3, name="parts")
    run(database, 11, name="parts")
    assert run(database, 13, name="parts") == whole
    assert len(whole) == 13
    assert len({str(params) for params, *_ in whole}) == 13
    assert whole[0][0] == {"C": 0.1}, "the first trial is of the settings that the search starts from"
    assert run(database, 13, name="whole") == whole, "a study that has its trials is done"


@pytest.mark.slow
def test_a_trial_that_was_killed_is_tried_again(tmp_path):
    database = tmp_path / "optuna.db"
    whole = run(database, 4, name="whole")
    with search.opened(database, "killed") as study:
        search.go_on(study, Cheap(), 2)
        study.ask()  # and then the process is gone
    assert run(database, 4, name="killed") == whole


@pytest.mark.slow
def test_trials_that_promise_nothing_are_stopped_early(tmp_path):
    found = run(tmp_path / "study.db", 20)
    states = [state.name for *_, state in found]
    assert "PRUNED" in states and states.count("COMPLETE") >= 5


def test_two_searches_do_not_share_a_database_at_once(tmp_path):
    with search.opened(tmp_path / "study.db", "one"), pytest.raises(InputError, match="another search"):
        run(tmp_path / "study.db", 1)


def test_other_data_rows_ranges_or_seed_make_another_study():
    judge = objective()
    name = search.study_name(judge, "data1", "rows1")
    assert name.startswith("churn-logistic-data1-")
    others = [
        search.study_name(judge, "data2", "rows1"),
        search.study_name(judge, "data1", "rows2"),
        search.study_name(objective(target="next_stage"), "data1", "rows1"),
        search.study_name(objective(model=config.ModelConfig(name="logistic", settings={"C": 0.2})), "data1", "rows1"),
        search.study_name(objective(FEATURES, TARGETS[TARGETS["split_rank"] > 0]), "data1", "rows1"),
    ]
    assert len({name, *others}) == 6


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"low": 1}, "give low and high, or choices"),
        ({"low": 1, "high": 2, "choices": [1, 2]}, "give low and high, or choices"),
        ({"low": 2, "high": 1}, "low (2) is not below high (1)"),
        ({"low": 0, "high": 1, "log": True}, "log needs a low above 0"),
        ({"choices": [1]}, "at least 2 items"),
        ({"from": 1}, "from is not a setting"),
    ],
)
def test_a_range_that_is_none_is_refused(wrong, says):
    with pytest.raises(InputError, match=re.escape(says)):
        check(Range, wrong, "search.ranges")


def test_every_range_of_conf_is_of_a_setting_and_holds_what_the_model_has_now():
    ranges = check(SearchConfig, yaml.safe_load((ROOT / "conf/search/base.yaml").read_text()), "search").ranges
    made = workbench.models(ROOT / "conf")
    assert set(ranges) == {m.of(target).name for m in made.values() for target in ("next_stage", "churn")}
    for target in ("next_stage", "churn"):
        for one in (model.of(target) for model in made.values()):
            judge = objective(target=target, model=one)
            asked = set(ranges[one.name]) - ({"start_order"} if target == "churn" else set())
            assert set(judge.start) == set(judge.ranges) == asked, one.name


def test_a_range_of_no_setting_is_refused():
    odd = settings().model_copy(update={"search": SearchConfig(ranges={"logistic": {"depth": Range(low=1, high=2)}})})
    with pytest.raises(InputError, match="logistic has no 'depth'"):
        search.objective(FEATURES, TARGETS, planted.CATALOGUE, "churn", LOGISTIC, odd)


def test_a_model_without_ranges_is_refused():
    with pytest.raises(InputError, match=r"search.ranges has none for chain; there are lightgbm"):
        objective(model=config.ModelConfig(name="chain"))


def test_too_few_rows_are_refused_with_what_is_missing():
    features, targets = planted.tables(n_persons=15, n_nights=9)
    with pytest.raises(InputError, match=r"15 rows to judge by, and at least 20 are needed; bring more history"):
        objective(features, targets)
    with pytest.raises(InputError, match=r"no night has 2 training nights before it whose horizon had passed, of 2"):
        objective(*planted.tables(n_persons=60, n_nights=3))


# --- what it writes --------------------------------------------------------------------------------------------------


def test_the_file_of_the_best_is_a_choice_of_conf(tmp_path):
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    judge = objective()
    path = model_file.place(conf, "found", may_overwrite=False)
    best = config.Estimator(name="logistic", settings=judge.settings_with({"C": 0.123456}))
    for target, other in (("churn", "next_stage"), ("next_stage", "churn")):
        model_file.write(path, "Found by a test. " * 20, model_file.with_estimator(HAZARD, target, best))
        composed = yaml.safe_load(compose_settings(PARAMS | {"model": "found"}, conf))
        for found in (workbench.models(conf)["found"], check(config.ModelConfig, composed["model"], "model")):
            assert found.of(target).settings == {"C": 0.1235}
            assert found.of(other).name == HAZARD.of(other).name
            assert found.of(other).settings == HAZARD.of(other).settings
    with pytest.raises(InputError, match=r"found.yaml exists already; choose another name, or say overwrite=yes"):
        model_file.place(conf, "found", may_overwrite=False)
    assert model_file.place(conf, "found", may_overwrite=True) == path


@pytest.mark.parametrize("name", ["../found", "Found", "1st", ""])
def test_a_name_that_is_no_file_of_conf_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="does not fit a file of conf/model/"):
        model_file.place(tmp_path, name, may_overwrite=False)


# --- cases -----------------------------------------------------------------------------------------------------------


def test_of_cases_a_label_is_known_when_the_next_event_comes():
    hours = pd.to_timedelta([0, 1, 5, 0, 9], "h")
    targets = pd.DataFrame(
        {
            "person_id": ["a", "a", "a", "b", "b"],
            "cutoff_time": pd.Timestamp("2025-01-01", tz="UTC") + hours,
            "prefix_length": np.array([1, 2, 3, 1, 2], "int32"),
            "next_stage": ["x", "stay", "end", "y", "z"],
            "next_stage_status": "mature",
            "is_silent": [False, False, True, False, True],
            "churn_status": "mature",
            "return_days": np.nan,
            "observed_days": 2.0,
            "fold": "train",
            "split_rank": [0, 0, 0, 1, 1],
        }
    )
    features = targets[["person_id", "cutoff_time", "prefix_length"]].assign(stage="x")
    split = SplitConfig(kind="cases")
    rows = held_out.labelled(features, targets, "next_stage", split=split, horizon_days=2, with_test=False)
    begun = targets["cutoff_time"].min()
    known = (rows["known_time"] - begun) / pd.Timedelta(hours=1)
    assert known.tolist()[:4] == [1, 5, 5 + 48, 9]
    assert np.isnan(known.tolist()[4]), "something came next, and nobody can say when"
    rows = held_out.labelled(features, targets, "churn", split=split, horizon_days=2, with_test=False)
    assert ((rows["known_time"] - rows["cutoff_time"]) == pd.Timedelta(days=2)).all()

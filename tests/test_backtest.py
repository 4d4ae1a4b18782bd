"""All models at all origins: on the same rows, from what was known then, and with a reason for what is not there."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import planted
from waymark import backtest as b
from waymark import config, held_out, metrics, models
from waymark.config import ModelConfig, Settings, SplitConfig, check
from waymark.errors import InputError
from waymark.steps.config import compose_settings

ROOT = Path(__file__).parents[1]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FEATURES, TARGETS = planted.tables(n_persons=80, n_nights=9)
SAME = "of next_stage it is the same model with the same settings as logistic"
HAZARD = ModelConfig(
    name="logistic",
    churn=ModelConfig(name="hazard", settings={"n_estimators": 10, "early_stopping_rounds": 0}),
)
FOUND = {
    "logistic": ModelConfig(name="logistic", settings={"C": 0.1}),
    "back_off": ModelConfig(name="back_off", settings={"order": 5}),
    "chosen": ModelConfig(name="recency"),
}


@functools.cache
def settings() -> Settings:
    chosen = {
        "targets": {"horizon_days": 7},
        "features": {"groups": planted.GROUPS},
        "backtest": {"min_train_nights": 2},
        "evaluate": {"n_bootstrap": 40, "baselines": {"churn": ["most_frequent", "recency"], "next_stage": ["chain"]}},
    }
    text = compose_settings(PARAMS | {"source": "simulated", "set": chosen}, ROOT / "conf")
    return check(Settings, yaml.safe_load(text), "settings")


def run(features=FEATURES, targets=TARGETS, target="churn", found=FOUND):
    return b.backtest(features, targets, planted.CATALOGUE, target, found, settings())


@functools.cache
def churn():
    return run()


# --- the same rows ---------------------------------------------------------------------------------------------------


def test_every_model_is_trained_and_judged_on_the_same_rows_of_each_origin(monkeypatch):
    """Seen from inside: what each model was fitted to, and what it was asked."""
    seen, original = [], models.make

    class Spy:
        def __init__(self, name, target):
            self.model, self.name = original(name, {}, planted.CATALOGUE, 7, target=target), name

        def fit(self, X, y):
            self.fitted = tuple(zip(X["person_id"], X["cutoff_time"]))
            self.model.fit(X, y)
            self.classes_ = self.model.classes_
            return self

        def predict_proba(self, X):
            seen.append((self.name, self.fitted, tuple(zip(X["person_id"], X["cutoff_time"]))))
            return self.model.predict_proba(X)

        def get_params(self):
            return {"name": self.name}

    monkeypatch.setattr(b.models, "make", lambda name, *_, target="churn": Spy(name, target))
    found = run(found={n: ModelConfig(name=n) for n in ("most_frequent", "rfm_logistic", "recency")})
    by_model = {name: [(fit, test) for n, fit, test in seen if n == name] for name, *_ in seen}
    assert set(by_model) == {"most_frequent", "rfm_logistic", "recency"}
    assert by_model["most_frequent"] == by_model["rfm_logistic"] == by_model["recency"]
    assert len(found["origins"]) == len(by_model["recency"]) == 4
    for (fitted, tested), origin in zip(by_model["recency"], found["origins"], strict=True):
        [night] = {night for _, night in tested}
        assert f"{night:%Y-%m-%d}" == origin["origin"]
        assert max(at for _, at in fitted) + pd.Timedelta(days=7) <= night, "no label reaches into the test"
        assert (len(fitted), len(tested)) == (origin["n_train"], origin["n_test"])


def test_the_newest_night_is_an_origin_and_the_test_nights_are_looked_at():
    assert churn()["origins"][-1]["origin"] == f"{TARGETS['cutoff_time'].max():%Y-%m-%d}"
    assert len({o["origin"] for o in churn()["origins"]}) == 4


def test_the_metrics_are_those_of_a_model_trained_before_the_night():
    night = TARGETS["cutoff_time"].max()
    rows = models.labelled(FEATURES, TARGETS, "churn")
    train = rows[rows["cutoff_time"] + pd.Timedelta(days=7) <= night]
    test = rows[rows["cutoff_time"] == night]
    model = models.fit(models.make("logistic", {"C": 0.1}, planted.CATALOGUE, 7, planted.GROUPS, "churn"), train)
    loss = metrics.log_loss((test["label"] == "silent").to_numpy(int), model.predict_proba(test))
    found = churn()["origins"][-1]["models"]["logistic"]["metrics"]["log_loss"]
    assert found["value"] == pytest.approx(loss, abs=1e-6)


def test_all_origins_together_are_the_mean_over_all_rows():
    origins = churn()["origins"]
    n = np.array([o["n_test"] for o in origins])
    losses = np.array([o["models"]["logistic"]["metrics"]["log_loss"]["value"] for o in origins])
    pooled = churn()["pooled"]
    assert pooled["n_test"] == n.sum()
    assert pooled["n_test_persons"] == 80
    assert pooled["models"]["logistic"]["metrics"]["log_loss"]["value"] == pytest.approx(
        (n * losses).sum() / n.sum(), abs=1e-5
    )


# --- who leads -------------------------------------------------------------------------------------------------------


def test_the_best_has_the_least_log_loss_and_the_others_their_distance():
    pooled = churn()["pooled"]
    ranked = b.ranked(pooled)
    assert ranked[0][0] == pooled["best"] and ranked[0][1]["to_best"] is None
    least = ranked[0][1]["metrics"]["log_loss"]["value"]
    for _, m in ranked[1:]:
        d = m["to_best"]["log_loss"]
        assert d["value"] == pytest.approx(m["metrics"]["log_loss"]["value"] - least, abs=2e-6)
        assert d["low"] <= d["value"] <= d["high"]
    assert pooled["models"]["most_frequent"]["to_best"]["log_loss"]["low"] > 0


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({}, "a is the only one"),
        ({"b": 0.01}, "a is ahead of all others, by a proven difference in log loss to each"),
        ({"b": 0.01, "c": -0.01, "d": 0.0}, "a is ahead; no proven difference in log loss to c, d"),
    ],
)
def test_the_verdict_names_those_that_are_not_proven_worse(others, says):
    rest = {name: {"to_best": {"log_loss": {"value": 0.02, "low": low, "high": 0.1}}} for name, low in others.items()}
    assert b.verdict({"best": "a", "models": {"a": {"to_best": None}, **rest}}) == says


def test_two_files_that_make_the_same_are_judged_once_and_said_to_be_the_same():
    hazard = ModelConfig(name="logistic", settings={"C": 0.1}, churn=ModelConfig(name="recency"))
    found = run(found={"hazard": hazard, "logistic": FOUND["logistic"]}, target="next_stage")
    assert set(found["pooled"]["models"]) == {"logistic", "chain"}
    assert found["left_out"] == [
        {"model": "hazard", "origin": None, "reason": SAME},
    ]
    assert {"hazard", "logistic"} <= set(
        run(found={"hazard": HAZARD, "logistic": FOUND["logistic"]})["pooled"]["models"]
    )


def test_of_a_hazard_no_return_after_the_origin_is_known():
    rows = held_out.labelled(FEATURES, TARGETS, "churn", split=settings().split, horizon_days=7, with_test=True).assign(
        return_days=lambda r: np.where(r.index % 3 == 0, 2.0, np.where(r.index % 3 == 1, 10.0, np.nan)),
        observed_days=30.0,
    )
    fold = held_out.folds(rows, settings().split, 4, 2)[0]
    origin = pd.Timestamp(fold.origin, tz="UTC")
    seen = held_out.watched(rows, fold, 1)
    until = (origin - seen["cutoff_time"]) / pd.Timedelta(days=1)
    assert (seen["observed_days"] == np.minimum(until, 30)).all()
    assert (seen["return_days"].isna() | (seen["return_days"] < until)).all()
    assert seen["cutoff_time"].max() == origin - pd.Timedelta(days=7), "the newest night was watched for a week"
    assert set(seen["return_days"].dropna()) == {2.0, 10.0}
    assert (rows["observed_days"] == 30).all()


def test_a_baseline_that_is_a_file_of_conf_is_judged_once():
    roles = {name: m["role"] for name, m in churn()["pooled"]["models"].items()}
    assert roles == {"logistic": "model", "back_off": "model", "chosen": "baseline", "most_frequent": "baseline"}
    tuned = {"recency": ModelConfig(name="recency", settings={"C": 0.5})}
    assert set(run(found=tuned)["pooled"]["models"]) == {"recency", "recency (default)", "most_frequent"}


def test_slices_tell_stage_tenure_and_activities_apart_and_hold_all_rows():
    pooled = churn()["pooled"]
    for by in ("stage", "tenure", "activities"):
        groups = [s for s in pooled["slices"] if s["by"] == by]
        assert sum(s["n"] for s in groups) == pooled["n_test"], by
        mean = sum(s["n"] * s["log_loss"]["logistic"] for s in groups) / pooled["n_test"]
        assert mean == pytest.approx(pooled["models"]["logistic"]["metrics"]["log_loss"]["value"], abs=1e-4)


def test_in_each_slice_models_are_set_against_the_best_of_all_slices_where_persons_are_enough():
    pooled = churn()["pooled"]
    best, others = pooled["best"], {*pooled["models"]} - {pooled["best"]}
    for s in pooled["slices"]:
        assert {*s["to_best"]} == others and s["n_persons"] >= 10
        for name, d in s["to_best"].items():
            assert d["value"] == pytest.approx(s["log_loss"][name] - s["log_loss"][best], abs=2e-6)
            assert d["low"] < d["high"]
    some = FEATURES.assign(stage=np.where(FEATURES["person_id"] < "p0009", "few", "many"))
    slices = {s["value"]: s for s in run(features=some)["pooled"]["slices"] if s["by"] == "stage"}
    assert slices["few"]["n_persons"] < 10 and slices["few"]["to_best"] is None
    assert {*slices["many"]["to_best"]} == others


def test_each_model_has_a_run_that_says_where_it_stands():
    pooled = churn()["pooled"]
    proven = {name for name, m in pooled["models"].items() if m["to_best"] and m["to_best"]["log_loss"]["low"] > 0}
    said = {part.params["model"]: part.tags["against_the_best"] for part in b.as_parts("churn", churn())}
    assert said.pop(pooled["best"]) == "the best"
    assert {name for name, standing in said.items() if standing == "worse"} == proven != set()
    assert {*said.values()} <= {"worse", "no proven difference"}


# --- what is not there -----------------------------------------------------------------------------------------------


def test_what_cannot_be_made_is_left_out_with_its_reason():
    found = run(found={"odd": ModelConfig(name="logistic", settings={"depth": 3})})
    [one] = found["left_out"]
    assert one["model"] == "odd" and one["origin"] is None
    assert "model.settings of logistic has no 'depth'" in one["reason"]
    assert set(found["pooled"]["models"]) == {"most_frequent", "recency"}
    assert "odd is left out: model.settings" in b.as_text("churn", found)


def test_what_cannot_be_fitted_at_an_origin_is_left_out_there_and_of_the_whole(monkeypatch):
    forecast, calls = held_out.forecast, []

    def sometimes(make, rows, fold, classes):
        calls.append(fold.origin)
        if type(make()).__name__ == "BackOff" and fold.origin == calls[0]:
            raise InputError("too little to count")
        return forecast(make, rows, fold, classes)

    monkeypatch.setattr(held_out, "forecast", sometimes)
    found = run()
    assert {(o["model"], o["origin"]) for o in found["left_out"]} == {
        ("back_off", calls[0]),
        ("most_frequent", calls[0]),
    }
    assert set(found["pooled"]["models"]) == {"logistic", "chosen"}
    assert "back_off" in found["origins"][1]["models"] and "back_off" not in found["origins"][0]["models"]


def test_too_few_nights_end_in_one_sentence_and_no_crash():
    few = run(*planted.tables(n_persons=80, n_nights=2))
    assert few["pooled"] is None
    assert few["missing"].startswith("no night has 2 training nights before it whose horizon had passed, of 2 nights;")
    some = run(*planted.tables(n_persons=80, n_nights=4))
    assert some["missing"].startswith("2 of 4 origins: the others have too little before them")
    assert some["pooled"]["models"]


def test_nights_without_another_outcome_say_so():
    found = run(targets=TARGETS.assign(is_silent=True))
    assert {o["missing"] for o in found["origins"]} == {
        f"all {o['n_train']} rows to learn from are 'silent'" for o in found["origins"]
    }
    assert found["pooled"] is None
    assert found["missing"].startswith("0 of 4 origins")


# --- cases -----------------------------------------------------------------------------------------------------------


def cases(n=60, embargo=True):
    """Cases of five events each, one an hour; a case begins every two hours."""
    case, step = np.repeat(np.arange(n), 5), np.tile(np.arange(5), n)
    begun = pd.Timestamp("2025-01-01", tz="UTC")
    keys = pd.DataFrame(
        {
            "person_id": [f"c{i:03d}" for i in case],
            "cutoff_time": begun + pd.to_timedelta(2 * case + step, "h"),
            "prefix_length": (step + 1).astype("int32"),
        }
    )
    mature = np.where(step < 4, "mature", "not_applicable")
    targets = keys.assign(
        next_stage=np.where(step < 4, np.where(step % 2, "a", "b"), None),
        next_stage_status=mature,
        is_silent=step == 4,
        churn_status="mature",
        fold=np.where(case < 40, "train", "test"),
        split_rank=case,
    )
    split = SplitConfig(kind="cases", embargo=embargo)
    rows = held_out.labelled(keys.assign(stage="a"), targets, "next_stage", split=split, horizon_days=1, with_test=True)
    return rows, held_out.folds(rows, split, 4, 2)


def test_blocks_of_cases_are_whole_newer_than_what_they_are_forecast_from_and_miss_none():
    rows, found = cases()
    blocks = [sorted(set(rows["split_rank"].iloc[f.test])) for f in found]
    assert [case for block in blocks for case in block] == list(range(30, 60))
    for fold, block in zip(found, blocks, strict=True):
        assert rows["split_rank"].iloc[fold.train].max() < block[0]
        assert len(fold.test) == 4 * len(block)


@pytest.mark.parametrize("embargo", [True, False])
def test_labels_that_came_after_a_block_began_are_not_learnt_from(embargo):
    rows, found = cases(embargo=embargo)
    for fold in found:
        begun = rows["cutoff_time"].iloc[fold.test].min()
        is_before = rows["split_rank"] < rows["split_rank"].iloc[fold.test].min()
        late = is_before & ~(rows["known_time"] < begun)
        assert late.sum() > 0
        kept = set(fold.train)
        assert (kept & set(np.flatnonzero(late)) == set()) == embargo
        assert set(np.flatnonzero(is_before & ~late)) <= kept


def test_too_few_cases_are_refused():
    with pytest.raises(InputError, match=r"6 cases cannot be dealt to 4 blocks"):
        cases(n=6)
    assert config.BacktestConfig().n_origins == 4
    with pytest.raises(InputError, match="n_origins"):
        check(config.BacktestConfig, {"n_origins": 3}, "backtest")

import json

import numpy as np
import pandas as pd
import pytest
import yaml

import planted
from waymark import catalogue, evaluation, models, schema, tables
from waymark.errors import InputError
from waymark.periods import Horizons
from waymark.steps import evaluate as evaluate_step
from waymark.steps import train as train_step

FEATURES, TARGETS = planted.tables()
BASELINES = {"next_stage": ["most_frequent", "chain", "back_off"], "churn": ["most_frequent", "recency", "bg_nbd"]}
SETTINGS = {"lightgbm": {"n_estimators": 30}}


def trained(name="lightgbm", features=FEATURES, targets=TARGETS):
    return {
        target: models.train(
            *(features, targets, planted.CATALOGUE, target, name, SETTINGS.get(name, {}), planted.GROUPS, 7),
            horizons=Horizons(30, (30,)),
        )
        for target in ("next_stage", "churn")
    }


def judge(which, features=FEATURES, targets=TARGETS, end_of_case="candidate"):
    return evaluation.evaluate(
        features,
        targets,
        planted.CATALOGUE,
        which,
        baselines=BASELINES,
        horizons=Horizons(30, (30,)),
        end_of_case=end_of_case,
        n_bootstrap=40,
        interval=0.95,
        n_bins=5,
        n_explained=30,
        seed=7,
    )


MODELS = trained()
FOUND = judge(MODELS)


def test_all_are_judged_on_the_same_test_rows():
    is_test = TARGETS["fold"] == "test"
    churn = FOUND["targets"]["churn"]
    assert (churn["n_train"], churn["n_test"], churn["n_test_persons"]) == ((~is_test).sum(), is_test.sum(), 150)
    assert churn["test_cutoffs"] == ["2025-03-24T00:00:00+00:00"]
    assert churn["classes"] == ["active", "silent"]
    assert churn["base_rates"]["silent"] == pytest.approx(TARGETS["is_silent"][is_test].mean(), abs=1e-6)
    assert {name: m["role"] for name, m in churn["models"].items()} == {
        "lightgbm": "model",
        "most_frequent": "baseline",
        "recency": "baseline",
        "bg_nbd": "baseline",
    }
    for target in FOUND["targets"].values():
        for curve in target["calibration"].values():
            assert sum(bin["n"] for bin in curve) == target["n_test"]


def test_values_are_what_the_metrics_say_of_the_test_rows():
    rows = models.labelled(FEATURES, TARGETS, "churn")
    test = rows[rows["fold"] == "test"]
    p = MODELS["churn"][0].predict_proba(test)[:, 1]
    log_loss = -np.log(np.where(test["label"] == "silent", p, 1 - p)).mean()
    found = FOUND["targets"]["churn"]["models"]["lightgbm"]["metrics"]["log_loss"]
    assert found["value"] == pytest.approx(log_loss, abs=1e-6)
    assert found["low"] < found["value"] < found["high"]


def test_baselines_learn_from_the_training_rows_alone():
    shares = TARGETS["is_silent"][TARGETS["fold"] == "train"].mean()
    curve = FOUND["targets"]["churn"]["calibration"]["most_frequent"]
    assert [bin["predicted"] for bin in curve] == [pytest.approx(shares, abs=1e-6)]


def test_a_case_that_ended_trains_but_is_judged_only_when_scored():
    scored = judge(MODELS, end_of_case="scored")["targets"]["next_stage"]
    candidate = FOUND["targets"]["next_stage"]
    ends = ((TARGETS["next_stage"] == "end") & (TARGETS["fold"] == "test")).sum()
    assert ends > 0
    assert scored["n_test"] - candidate["n_test"] == ends
    assert candidate["base_rates"]["end"] == 0 < scored["base_rates"]["end"]
    assert "end" in candidate["classes"]
    assert scored["n_train"] == candidate["n_train"]


def test_a_difference_is_model_minus_baseline():
    churn = FOUND["targets"]["churn"]
    for baseline, differences in churn["differences"].items():
        for metric, difference in differences.items():
            own, other = (churn["models"][m]["metrics"][metric]["value"] for m in ("lightgbm", baseline))
            assert difference["value"] == pytest.approx(own - other, abs=2e-6)


def test_a_planted_signal_beats_the_shares_and_the_chain():
    found = FOUND["targets"]["next_stage"]
    assert found["best_baseline"] == "back_off"
    assert found["differences"]["most_frequent"]["log_loss"]["high"] < 0
    assert found["differences"]["chain"]["accuracy"]["low"] > 0
    assert found["importance"][0]["feature"] == "last_type_1"
    assert sum(i["gain_share"] for i in found["importance"]) == pytest.approx(1, abs=1e-4)
    assert FOUND["targets"]["churn"]["importance"][0]["words"] == "days since the last activity"


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        ((-0.041, -0.047, -0.035), "m beats the best baseline b by 0.041 log loss [0.035, 0.047]"),
        ((0.02, 0.01, 0.03), "the best baseline b beats m by 0.020 log loss [0.010, 0.030]"),
        (
            (-0.001, -0.01, 0.008),
            "no proven difference between m and the best baseline b: a gain of 0.001 log loss [-0.008, 0.010]",
        ),
    ],
)
def test_the_verdict_speaks_only_of_what_is_proven(difference, sentence):
    difference = dict(zip(("value", "low", "high"), difference, strict=True))
    assert evaluation.verdict("m", "b", difference) == sentence
    assert evaluation.verdict("m", None, None) == "m was compared with no baseline"


def test_each_outcome_is_judged_but_the_end_only_where_it_is_scored():
    assert FOUND["targets"]["churn"]["outcomes"] == []
    assert [o["outcome"] for o in FOUND["targets"]["next_stage"]["outcomes"]] == ["cart", "order", "stay"]
    scored = judge(MODELS, end_of_case="scored")["targets"]["next_stage"]
    assert [o["outcome"] for o in scored["outcomes"]] == scored["classes"] == ["cart", "end", "order", "stay"]
    assert sum(o["observed"] for o in scored["outcomes"]) == pytest.approx(1)


def test_slices_part_the_test_rows():
    for target in FOUND["targets"].values():
        for by in ("stage", "tenure", "activities", "person"):
            assert sum(s["n"] for s in target["slices"] if s["by"] == by) == target["n_test"]
    stages = [s["value"] for s in FOUND["targets"]["churn"]["slices"] if s["by"] == "stage"]
    assert stages == sorted(planted.STAGES)


def test_a_group_is_judged_against_the_baseline_that_is_best_over_all():
    """A planted signal is found in each stage; of the few there are in a group made small, nothing is proven."""
    found = FOUND["targets"]["next_stage"]
    rows = models.labelled(FEATURES, TARGETS, "next_stage")
    test = rows[(rows["fold"] == "test") & (rows["label"] != "end")]
    back_off = models.fit(
        models.make("back_off", {}, planted.CATALOGUE, 7), rows[rows["fold"] == "train"]
    ).predict_proba(test)
    truth = np.searchsorted(MODELS["next_stage"][0].classes_, test["label"])
    own, other = (
        -np.log(p[np.arange(len(test)), truth]) for p in (MODELS["next_stage"][0].predict_proba(test), back_off)
    )
    assert found["best_baseline"] == "back_off"
    for s in found["slices"]:
        if s["by"] == "stage":
            is_there = (test["stage"] == s["value"]).to_numpy()
            assert s["n_persons"] == test["person_id"][is_there].nunique()
            assert s["difference"]["value"] == pytest.approx((own - other)[is_there].mean(), abs=1e-5)
            assert s["difference"]["low"] < s["difference"]["value"] < s["difference"]["high"]
    few = TARGETS.copy()
    kept = (few["fold"] == "train") | FEATURES["person_id"].isin([f"p{i:04d}" for i in range(25)])
    few = few[kept | (FEATURES["stage"] != "order")]
    least = [s for s in judge(MODELS, targets=few)["targets"]["churn"]["slices"] if s["n_persons"] < 10]
    assert [s["value"] for s in least] == ["order"] and least[0]["difference"] is None
    assert least[0]["metrics"]["log_loss"] > 0


def test_a_baseline_that_is_the_model_is_not_its_own_rival():
    found = judge(trained("back_off"))["targets"]["next_stage"]
    assert found["models"]["back_off"]["role"] == "model"
    assert set(found["differences"]) == {"most_frequent", "chain"}
    assert found["importance"] == []


def test_a_class_that_training_never_saw_is_judged_all_the_same():
    targets = TARGETS.copy()
    lost = (targets["fold"] == "train") & (targets["next_stage"] == "order")
    targets.loc[lost, "next_stage_status"] = "immature"
    found = judge(trained(targets=targets), targets=targets)["targets"]["next_stage"]
    assert found["base_rates"]["order"] > 0.2
    assert found["models"]["lightgbm"]["metrics"]["log_loss"]["value"] > 3


def test_the_same_rows_in_another_order_are_judged_the_same():
    turned = FEATURES.sample(frac=1, random_state=1), TARGETS.sample(frac=1, random_state=2)
    assert judge(MODELS, *turned) == FOUND


def test_other_training_rows_than_the_models_are_refused():
    targets = TARGETS.copy()
    targets.loc[0, "churn_status"] = "immature"
    with pytest.raises(InputError, match="the churn model was trained on 450 rows and there are 449 now"):
        evaluation.check_current(targets, {"churn": MODELS["churn"]})


def test_a_hazard_of_silences_still_watched_beside_which_nothing_can_be_fitted_is_not_judged():
    """All whose horizon has passed came back; some others are silent so far."""
    is_watched = np.arange(len(TARGETS)) % 7 == 0
    targets = TARGETS.assign(
        churn_status=np.where(is_watched, "immature", "mature"),
        is_silent=False,
        return_days=np.where(is_watched, np.nan, 2.0),
        observed_days=np.where(is_watched, 5.0, 90.0),
    )
    args = (FEATURES, targets, planted.CATALOGUE, "churn", "hazard", {"n_estimators": 5}, planted.GROUPS)
    found = judge({"churn": models.train(*args, seed=7, horizons=Horizons(30, (30,)))}, targets=targets)
    assert found["targets"] == {}
    assert found["not_modelled"]["churn"].startswith("all 385 rows to learn from are 'active'")


def test_the_steps_write_what_dvc_keeps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {
        "seed": 7,
        "engine": {"kind": "local"},
        "model": {"name": "lightgbm", "settings": SETTINGS["lightgbm"]},
        "features": {"points": "snapshots", "groups": planted.GROUPS, "windows_days": [7], "population": {}},
        "targets": {"horizon_days": 30, "end_of_case": "excluded"},
        "evaluate": {"baselines": BASELINES, "n_bootstrap": 40, "n_calibration_bins": 5, "n_explained": 30},
    }
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(settings))
    tables.write(FEATURES, tables.FEATURES / "train/all.parquet", schema.FEATURES)
    tables.write(TARGETS, tables.TARGETS, schema.TARGETS)
    tables.write_json(catalogue.to_json(planted.CATALOGUE), tables.FEATURES / "catalogue.json")
    for target in ("next_stage", "churn"):
        train_step.main(target)
    evaluate_step.main()
    written = {p: p.read_bytes() for p in sorted(tmp_path.glob("reports/**/*.*"))}
    assert json.loads((tmp_path / "reports/evaluation.json").read_text()) == json.loads(json.dumps(FOUND))
    evaluate_step.main()
    assert written == {p: p.read_bytes() for p in sorted(tmp_path.glob("reports/**/*.*"))}
    short = tables.read_json(tables.REPORTS / "metrics.json")["churn"]
    assert short["best_baseline"] == "recency"
    assert short["gain_log_loss"] == pytest.approx(short["best_baseline_log_loss"] - short["log_loss"], abs=2e-6)
    curve = pd.read_csv(tables.REPORTS / "plots/calibration_churn.csv")
    assert curve.columns.tolist() == ["model", "predicted", "observed", "n"]
    assert {p.name for p in (tables.REPORTS / "plots").iterdir()} == {
        f"{kind}_{target}.csv" for kind in ("calibration", "leaderboard", "importance") for target in BASELINES
    }

"""What cannot be modelled is said in a sentence, is forecast by class shares, and does not hold up the other target."""

import re
from pathlib import Path

import numpy as np
import pytest

import planted
from waymark import digest, enough, evaluation, models, promotion, schema, shares, tables
from waymark.config import EngineConfig
from waymark.errors import InputError
from waymark.periods import Horizons
from waymark.targets import STAY
from waymark.training import train

FEATURES, TARGETS = planted.tables()
NO_CHURNER = TARGETS.assign(is_silent=False)
WHY = (
    "all 450 rows to learn from are 'active'; deliver more history, or change targets.horizon_days"
    " (targets.horizons_days may keep longer ones)"
)


def in_train(**change):
    return TARGETS.assign(**{k: TARGETS[k].where(TARGETS["fold"] == "test", v) for k, v in change.items()})


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        (TARGETS, None),
        (NO_CHURNER, "all 450 rows to learn from are 'active'"),
        (TARGETS.assign(is_silent=np.arange(600) < 3), "3 of 450 rows to learn from are anything but 'active'"),
        (TARGETS.assign(churn_status="immature"), "0 rows to learn from, and at least 50 are needed"),
        (TARGETS.assign(fold="train"), "0 rows to judge by, and at least 20 are needed"),
        (TARGETS.assign(fold=["train"] * 30 + ["test"] * 570), "30 rows to learn from, and at least 50 are needed"),
        (TARGETS.assign(person_id="p1"), "the rows to learn from are of 1 persons, and at least 10 are needed"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(targets, why):
    said = enough.not_modelled(targets, "excluded").get("churn")
    assert said is None if why is None else said.startswith(why + (", " if "anything" in why else "; "))


def test_where_everybody_stays_the_rules_of_the_journey_are_named():
    stay = TARGETS.assign(next_stage=TARGETS["next_stage"].mask(TARGETS["next_stage"].notna(), "stay"))
    assert set(found := enough.not_modelled(stay, "excluded")) == {"next_stage"}
    assert found["next_stage"].startswith("all ") and "conf/journey/" in found["next_stage"]


def test_ends_of_cases_judge_only_where_they_are_scored():
    is_test = TARGETS["fold"] == "test"
    ends = TARGETS.assign(next_stage=TARGETS["next_stage"].mask(is_test & TARGETS["next_stage"].notna(), "end"))
    assert enough.not_modelled(ends, "scored") == {}
    assert enough.not_modelled(ends, "candidate")["next_stage"].startswith("0 rows to judge by")


def test_nothing_to_model_at_all_ends_in_one_sentence():
    assert enough.check(TARGETS, "excluded") == []
    assert enough.check(NO_CHURNER, "excluded") == [f"churn cannot be modelled: {WHY}"]
    with pytest.raises(InputError, match=r"^next_stage cannot be modelled: 0 rows .*\. churn cannot be"):
        enough.check(TARGETS.assign(fold="train"), "excluded")


# --- class shares in the place of a model -----------------------------------------------------------------------------


def test_class_shares_count_persons_and_leave_nothing_impossible():
    model, card = shares.train_shares(NO_CHURNER, "churn", 7, WHY)
    assert model.classes_.tolist() == card["classes"] == ["active", "silent"]
    np.testing.assert_allclose(model.predict_proba(FEATURES), [[150.5 / 151, 0.5 / 151]] * len(FEATURES))
    assert (card["name"], card["n_train_rows"], card["n_train_persons"]) == ("most_frequent", 450, 150)
    assert card["not_modelled"] == WHY
    rows = NO_CHURNER[NO_CHURNER["fold"] == "train"]
    assert card["trained_until"] == rows["cutoff_time"].max().isoformat()


@pytest.mark.parametrize(("target", "classes"), [("churn", ["active", "silent"]), ("next_stage", ["stay"])])
def test_class_shares_of_no_row_at_all_are_even(target, classes, tmp_path):
    none = TARGETS.assign(churn_status="immature", next_stage_status="immature", return_days=np.nan, observed_days=0.0)
    model, card = shares.train_shares(none, target, 7, "nothing is known", Horizons(30, (7, 30, 90)))
    assert model.classes_.tolist() == classes and card["n_train_rows"] == card["n_train_persons"] == 0
    assert shares.STAY == STAY
    np.testing.assert_allclose(model.predict_proba(FEATURES[:3]), [[1 / len(classes)] * len(classes)] * 3)
    models.write(model, card, tmp_path / "m")
    again, _ = models.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(FEATURES), model.predict_proba(FEATURES))
    if target == "churn":
        week, month, quarter = again.curve(FEATURES[:1]).silent([7, 30, 90])[0]
        assert 1 > week > month > quarter > 0 and month == pytest.approx(0.5)


def test_training_takes_class_shares_where_there_is_too_little(tmp_path):
    what = ("lightgbm", {"n_estimators": 5}, planted.GROUPS, 7)
    tables.write(FEATURES, tmp_path / "all.parquet", schema.FEATURES)
    local = EngineConfig(kind="local")
    _, card = train(local, tmp_path, NO_CHURNER, planted.CATALOGUE, "churn", *what)
    assert (card["name"], card["not_modelled"]) == ("most_frequent", WHY)
    _, card = train(local, tmp_path, NO_CHURNER, planted.CATALOGUE, "next_stage", *what)
    assert card["name"] == "lightgbm" and "not_modelled" not in card


def test_the_other_target_is_judged_and_both_have_a_baseline():
    of = (FEATURES, NO_CHURNER, planted.CATALOGUE)
    trained = {
        "next_stage": models.train(*of, "next_stage", "chain", {}, planted.GROUPS, 7),
        "churn": shares.train_shares(NO_CHURNER, "churn", 7, WHY),
    }
    found = evaluation.evaluate(
        *of,
        trained,
        baselines={"next_stage": ["most_frequent"], "churn": ["most_frequent", "recency"]},
        horizons=Horizons(30, (30,)),
        end_of_case="excluded",
        n_bootstrap=10,
        interval=0.95,
        n_bins=5,
        n_explained=10,
        seed=7,
    )
    assert found["not_modelled"] == {"churn": WHY}
    assert list(found["targets"]) == list(digest.summary(found)) == ["next_stage"]
    files = digest.plots(found)
    drawn = set(re.findall(r"reports/plots/(\w+\.csv)", (Path(__file__).parents[1] / "dvc.yaml").read_text("utf-8")))
    assert drawn and drawn <= set(files), "`dvc plots show` complains of a file that is not there"
    assert files["calibration_churn.csv"] == "model,predicted,observed,n\n"
    assert files["importance_churn.csv"] == "feature,words,gain_share\n"
    assert len(files["calibration_next_stage.csv"].splitlines()) > 1
    best = evaluation.train_best_baselines(found, *of, Horizons(30, (30,)), 7)
    assert {target: card["name"] for target, (_, card) in best.items()} == dict.fromkeys(best, "most_frequent")
    assert set(best) == {"next_stage", "churn"} and best["churn"][1]["not_modelled"] == WHY


# --- who forecasts what is not modelled -------------------------------------------------------------------------------


def test_a_champion_that_won_its_place_keeps_it_and_class_shares_follow_class_shares():
    card = shares.train_shares(NO_CHURNER, "churn", 7, WHY)[1] | {"version": "new"}
    older, proven = card | {"version": "old"}, {"name": "hazard", "version": "h"}
    for champion, winner in ((None, "candidate"), (older, "candidate"), (card, "champion"), (proven, "champion")):
        decided = promotion.decide_unmodelled(card, champion)
        assert decided["champion"] == winner
        assert decided["verdict"].endswith(f"champion: not modelled, {WHY}")
    assert decided["verdict"].startswith("the champion hazard stays champion")

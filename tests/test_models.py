import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import clone

import planted
from waymark import config, models
from waymark.errors import InputError
from waymark.estimators import Boosting
from waymark.targets import END

FEATURES, TARGETS = planted.tables()
ROWS = models.labelled(FEATURES, TARGETS, "next_stage")
CHURN = models.labelled(FEATURES, TARGETS, "churn")
MODELS = [name for name in models.MODELS if name != "hazard"]  # which tests/test_hazard.py is on


def fitted(name, settings=None, rows=ROWS):
    settings = {"n_estimators": 20} if settings is None and name == "lightgbm" else settings or {}
    target = "churn" if rows is CHURN else "next_stage"
    return models.fit(models.make(name, settings, planted.CATALOGUE, 7, planted.GROUPS, target), rows)


def rows_for(name):
    return CHURN if name == "bg_nbd" else ROWS  # it knows of coming back alone


def trained(target="next_stage", name="lightgbm", settings=None, features=FEATURES, targets=TARGETS, groups=None):
    settings = {"n_estimators": 20} if settings is None and name == "lightgbm" else settings or {}
    groups = planted.GROUPS if groups is None else groups
    return models.train(features, targets, planted.CATALOGUE, target, name, settings, groups, seed=7)


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_follow_the_classes_and_sum_to_one(name):
    model = fitted(name, rows=rows_for(name))
    p = model.predict_proba(FEATURES)
    assert model.classes_.tolist() == sorted(rows_for(name)["label"].unique())
    assert p.shape == (len(FEATURES), len(model.classes_))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (model.predict(FEATURES) == model.classes_[p.argmax(axis=1)]).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_clone_learns_the_same(name):
    model = models.make(name, {}, planted.CATALOGUE, 7, target="churn" if name == "bg_nbd" else "next_stage")
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    rows = rows_for(name)
    np.testing.assert_array_equal(
        models.fit(copy, rows).predict_proba(FEATURES), models.fit(model, rows).predict_proba(FEATURES)
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_read_back_forecasts_the_same(name, tmp_path):
    model, card = trained("churn" if name == "bg_nbd" else "next_stage", name)
    card = models.write(model, card, tmp_path / "m")
    again, its_card = models.load(tmp_path / "m")
    assert its_card == json.loads(json.dumps(card))
    assert card["version"] == card["sha256"][:12]
    np.testing.assert_array_equal(again.predict_proba(FEATURES), model.predict_proba(FEATURES))
    assert [f.column for f in models.features_of(its_card)] == list(again.feature_names_in_)


SAVE = """
import sys
sys.path[:0] = [{src!r}, {tests!r}]
import planted
from pathlib import Path
from waymark import models
features, targets = planted.tables()
for name in ("lightgbm", "logistic", "back_off"):
    settings = {{"n_estimators": 20}} if name == "lightgbm" else {{}}
    model, _ = models.train(features, targets, planted.CATALOGUE, "next_stage", name, settings, planted.GROUPS, 7)
    print(models.save(model, Path({folder!r}) / name))
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    here = Path(__file__).parent
    code = SAVE.format(src=str(here.parent / "src"), tests=str(here), folder=str(tmp_path))
    # Other loops for other processors sum in another order: which ones are used has to be the same in both.
    environment = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "OMP_"))}
    environment |= {"PYTHONHASHSEED": "1", "PATH": ""}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    own = [models.save(trained(name=n)[0], tmp_path / "own") for n in ("lightgbm", "logistic", "back_off")]
    assert there.stdout.split() == own


@pytest.mark.parametrize("name", ["lightgbm", "logistic", "back_off"])
def test_the_order_of_rows_changes_no_byte(name, tmp_path):
    shuffled = FEATURES.sample(frac=1, random_state=1), TARGETS.sample(frac=1, random_state=2)
    model, card = trained(name=name)
    other, its_card = trained(name=name, features=shuffled[0], targets=shuffled[1])
    assert models.save(model, tmp_path / "a") == models.save(other, tmp_path / "b")
    assert card == its_card


def test_trees_start_from_the_transition_table_of_what_comes_next_alone():
    model, _ = trained(settings={"n_estimators": 20, "start_order": 3})
    assert model.start_.feature_names_in_.tolist()[:2] == ["f_stage", "f_last_type_1"]
    no_trees, _ = trained(settings={"n_estimators": 1, "start_order": 3, "learning_rate": 1e-9})
    table = np.maximum(no_trees.start_.predict_proba(FEATURES), 1e-4)
    np.testing.assert_allclose(no_trees.predict_proba(FEATURES), table / table.sum(axis=1, keepdims=True), atol=1e-6)
    churn, _ = trained("churn", settings={"n_estimators": 20, "start_order": 3})
    assert not churn.has_start


def test_a_start_of_two_classes_is_one_score():
    two = ROWS[ROWS["label"].isin(["cart", "order"])]
    model = fitted("lightgbm", {"n_estimators": 1, "start_order": 3, "learning_rate": 1e-9}, two)
    table = np.maximum(model.start_.predict_proba(two), 1e-4)
    np.testing.assert_allclose(model.predict_proba(two), table / table.sum(axis=1, keepdims=True), atol=1e-6)


def test_the_order_of_the_start_is_chosen_on_persons_that_the_table_has_not_seen():
    rng = np.random.default_rng(0)
    noise = ROWS.assign(label=rng.choice(["a", "b"], len(ROWS)))
    model = fitted("lightgbm", {"n_estimators": 50, "start_order": 3}, noise)
    assert model.start_.order == 0  # where there is nothing to know, a longer context only knows its own rows


def test_the_number_of_threads_changes_no_tree():
    one, two = (fitted("lightgbm", {"n_jobs": n, "n_estimators": 5}).predict_proba(FEATURES) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_file_with_another_checksum_is_not_opened(tmp_path):
    model, card = trained()
    models.write(model, card, tmp_path)
    path = tmp_path / "model.skops"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"model\.skops is not the file that training wrote"):
        models.load(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"model\.skops does not exist"):
        models.load(tmp_path)


def test_the_card_says_what_was_learnt_from_what():
    _, card = trained("churn")
    is_training = TARGETS["fold"] == "train"
    assert card["target"] == "churn"
    assert card["classes"] == ["active", "silent"]
    assert card["n_train_rows"] == is_training.sum()
    assert card["n_train_persons"] == 150
    assert card["trained_until"] == "2025-03-17T00:00:00+00:00"
    assert card["settings"] == {"n_estimators": 20}
    assert [c["name"] for c in card["catalogue"]] == [f.name for f in planted.CATALOGUE]


def test_only_mature_training_rows_are_learnt_from():
    spoilt = TARGETS.copy()
    unripe = spoilt.index[spoilt["fold"] == "train"][::3]
    spoilt.loc[unripe, "churn_status"] = "immature"
    without, card = trained("churn", targets=spoilt)
    spoilt["is_silent"] = spoilt["is_silent"].astype(object)
    spoilt.loc[unripe, "is_silent"] = None
    spoilt.loc[spoilt["fold"] == "test", "is_silent"] = True
    blind, _ = trained("churn", targets=spoilt)
    assert card["n_train_rows"] == (TARGETS["fold"] == "train").sum() - len(unripe)
    np.testing.assert_array_equal(without.predict_proba(FEATURES), blind.predict_proba(FEATURES))


def test_only_the_chosen_groups_are_used_and_baselines_keep_their_columns():
    assert trained(groups=["noise", "stage"])[1]["columns"] == ["f_stage", "f_previous_stage", "f_noise"]
    columns = ["f_stage", "f_previous_stage", "f_last_type_1", "f_last_type_2"]
    assert trained(name="back_off", groups=["noise"])[1]["columns"] == columns


def test_columns_may_come_in_any_order_with_others_among_them():
    model = fitted("lightgbm")
    turned = FEATURES[FEATURES.columns[::-1]].assign(f_other=1.0)
    np.testing.assert_array_equal(model.predict_proba(turned), model.predict_proba(FEATURES))
    with pytest.raises(InputError, match="the features lack f_noise"):
        model.predict_proba(FEATURES.drop(columns="f_noise"))


def test_trees_stop_where_there_is_nothing_more_to_learn():
    rows = ROWS.assign(label=np.random.default_rng(0).permutation(ROWS["label"]))
    assert fitted("lightgbm", {"num_leaves": 8}, rows=rows).n_rounds_ < 30
    assert fitted("lightgbm", {"early_stopping_rounds": 0}).n_rounds_ == 200


def test_trees_split_categories_whose_order_means_nothing():
    rng = np.random.default_rng(0)
    codes = rng.permutation(24)[np.arange(2400) % 24]
    X = pd.DataFrame({"f_c": codes.astype("float32")})
    y = np.where(np.isin(codes, rng.permutation(24)[:12]), "yes", "no")
    model = models.Boosting(categorical=("f_c",)).fit(X, y)
    assert (model.predict(X) == y).all()


@pytest.mark.parametrize("name", ["lightgbm", "logistic"])
def test_missing_and_unseen_values_are_forecast_too(name):
    odd = FEATURES.head(3).copy()
    for column in [c for c in odd if c.startswith("f_")]:
        odd[column] = np.array([np.nan, 99.0, -99.0], "float32")
    assert np.isfinite(fitted(name).predict_proba(odd)).all()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("hazard", {}, "model.name hazard forecasts churn, not next_stage"),
        ("xgboost", {}, "model.name has no 'xgboost'; there are most_frequent, .*lightgbm"),
        ("lightgbm", {"num_leafs": 3}, "model.settings of lightgbm has no 'num_leafs'; there are .*num_leaves"),
        ("lightgbm", {"num_leaves": "many"}, "model.settings.num_leaves must be a whole number, not 'many'"),
        ("lightgbm", {"random_state": 3}, "has no 'random_state'"),
        ("logistic", {"C": True}, "model.settings.C must be a number, not True"),
        ("back_off", {"columns": []}, "has no 'columns'; there are order, smoothing"),
        ("lightgbm", {"num_leaves": -5}, "the model cannot be fitted with model.settings: .*num_leaves"),
        ("bg_nbd", {}, "model.name bg_nbd forecasts churn, not next_stage"),
        ("repeat_last", {"names": 3}, "has no 'names'; there are smoothing"),
        ("logistic", {"C": -1.0}, "the model cannot be fitted with model.settings: .*'C'"),
    ],
)
def test_a_wrong_name_or_setting_ends_in_one_sentence(name, settings, message):
    with pytest.raises(InputError, match=message):
        fitted(name, settings)


def test_an_unknown_target_is_named():
    with pytest.raises(InputError, match="no target 'chrun'; there are next_stage, churn"):
        trained("chrun")


def test_the_settings_know_the_same_names():
    assert set(get_args(config.ModelName)) == set(models.MODELS)
    assert models.END == END


@pytest.mark.parametrize("path", sorted(Path("conf/model").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_file_of_settings_makes_its_model(path):
    cfg = config.check(config.ModelConfig, yaml.safe_load(path.read_text()), str(path))
    assert path.stem in (cfg.name, cfg.of("churn").name)
    for target in ("next_stage", "churn"):
        models.make(cfg.of(target).name, cfg.of(target).settings, planted.CATALOGUE, 7, target=target)


# --- persons with many points ---------------------------------------------------------------------------------------

OWNERS = np.array(["heavy"] * 300 + [f"p{k}" for k in range(300)])
LOTTERY = pd.DataFrame({"f_a": np.random.default_rng(0).random(600).astype("float32")})
CAME = np.where(OWNERS == "heavy", "cart", "order")
FEW = {"n_estimators": 20, "early_stopping_rounds": 0}


@pytest.mark.parametrize(("power", "weight"), [(0.0, 300.0), (0.5, 300**0.5), (1.0, 1.0)])
def test_a_person_of_many_points_counts_as_the_power_says(power, weight):
    model = Boosting(person_power=power, **FEW).fit(LOTTERY, CAME, groups=OWNERS)
    share = model.predict_proba(LOTTERY)[:, model.classes_.tolist().index("cart")].mean()
    assert share == pytest.approx(weight / (weight + 300), abs=0.01)


def test_a_power_is_a_weight_like_any_other_wherever_trees_grow():
    weight = np.where(OWNERS == "heavy", 300.0**-0.5, 1.0)
    weight /= weight.mean()
    one = Boosting(person_power=0.5, **FEW).fit(LOTTERY, CAME, groups=OWNERS)
    two = Boosting(**FEW).fit(LOTTERY, CAME, sample_weight=weight, groups=OWNERS)
    np.testing.assert_array_equal(one.predict_proba(LOTTERY), two.predict_proba(LOTTERY))
    both = Boosting(person_power=0.5, **FEW).fit(LOTTERY, CAME, sample_weight=1 / weight, groups=OWNERS)
    plain = Boosting(**FEW).fit(LOTTERY, CAME, groups=OWNERS)
    np.testing.assert_allclose(both.predict_proba(LOTTERY), plain.predict_proba(LOTTERY), atol=1e-6)
    asked = []
    Boosting(person_power=0.5, **FEW).fit_by(asked.append, LOTTERY[[]], CAME, groups=OWNERS)
    np.testing.assert_array_equal(asked[0].rows.weight, weight)

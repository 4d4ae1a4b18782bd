"""An ablation finds the group that was planted, and proves nothing of noise."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import yaml

import planted
from waymark import ablation
from waymark.catalogue import Feature
from waymark.config import Estimator, Settings, check
from waymark.errors import InputError
from waymark.steps.config import compose_settings

ROOT = Path(__file__).parents[1]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FEATURES, TARGETS = planted.tables(n_persons=100, n_nights=9)
LOGISTIC = Estimator(name="logistic", settings={"C": 0.1})


@functools.cache
def settings(*groups: str) -> Settings:
    chosen = {
        "targets": {"horizon_days": 7},
        "features": {"groups": list(groups or planted.GROUPS)},
        "search": {"min_train_nights": 2},
        "evaluate": {"n_bootstrap": 60},
    }
    text = compose_settings(PARAMS | {"source": "simulated", "set": chosen}, ROOT / "conf")
    return check(Settings, yaml.safe_load(text), "settings")


def run(target="churn", features=FEATURES, targets=TARGETS, catalogue=planted.CATALOGUE, groups=(), model=LOGISTIC):
    return ablation.ablate(features, targets, catalogue, target, model, settings(*groups))


@functools.cache
def proofs(target: str) -> dict[tuple[str, str], str]:
    return {(r["added"], r["to"]): r["proof"] for r in run(target)["rows"]}


@pytest.mark.slow
def test_the_planted_group_is_found_and_noise_is_not():
    """Silence goes on where it was long: that is in `recency`."""
    for to in ("all others", "nothing"):
        assert proofs("churn")["recency", to] == "better with it"
    assert proofs("churn")["noise", "all others"] != "better with it"
    assert proofs("churn")["noise", "nothing"] != "better with it"


@pytest.mark.slow
def test_each_target_has_its_own():
    """What comes next hangs on the latest event: that is in `last_k`."""
    assert proofs("next_stage")["last_k", "all others"] == "better with it"
    assert proofs("next_stage")["recency", "all others"] != "better with it"
    assert proofs("churn")["last_k", "all others"] != "better with it"


def test_a_gain_is_the_log_loss_without_less_that_with_it():
    found = run()
    alone = next(r for r in found["rows"] if (r["added"], r["to"]) == ("recency", "nothing"))
    assert alone["n_features"] == 2
    assert 0 < alone["gain"]["low"] < alone["gain"]["value"] < alone["gain"]["high"]
    assert (
        found["log_loss"]["class shares"]["value"] - alone["gain"]["value"] < found["log_loss"]["class shares"]["value"]
    )
    assert "recency" in ablation.as_text(found)
    assert ablation.as_table(found).shape == (12, 7)


@pytest.mark.slow
def test_test_rows_are_not_looked_at():
    is_test = (TARGETS["fold"] == "test").to_numpy()
    poisoned, wrong = FEATURES.copy(), TARGETS.copy()
    poisoned.loc[is_test, [c for c in FEATURES if c.startswith("f_")]] = np.float32(1e30)
    wrong.loc[is_test, "is_silent"] = ~wrong.loc[is_test, "is_silent"].astype(bool)
    assert run(features=poisoned, targets=wrong) == run()


def test_what_people_do_is_set_against_channel_included():
    """A channel that knows who goes silent adds to intent; here it is made to."""
    rng = np.random.default_rng(0)
    told = TARGETS["is_silent"].to_numpy(bool) ^ (rng.random(len(TARGETS)) < 0.1)
    features = FEATURES.assign(f_share_channel_app=told.astype("float32"))
    catalogue = [*planted.CATALOGUE, Feature("share_channel_app", "channels", "share of app", "share")]
    found = run(features=features, catalogue=catalogue, groups=("recency", "counts", "channels"))
    rows = {(r["added"], r["to"]): r for r in found["rows"]}
    assert rows["channel", "intent"]["proof"] == rows["intent", "channel"]["proof"] == "better with it"
    assert rows["channel", "intent"]["gain"] == rows["channels", "all others"]["gain"]
    assert rows["intent", "nothing"]["n_features"] == 3


def test_without_channels_there_is_nothing_to_set_against():
    assert {r["to"] for r in run()["rows"]} == {"all others", "nothing"}


@pytest.mark.parametrize(
    ("model", "groups", "says"),
    [
        ("recency", (), "recency uses the same columns whatever groups there are"),
        ("logistic", ("recency",), "features.groups has 1 groups with features"),
        ("hazard", (), "hazard forecasts churn, not next_stage"),
    ],
)
def test_what_cannot_be_ablated_is_refused(model, groups, says):
    target = "next_stage" if model == "hazard" else "churn"
    with pytest.raises(InputError, match=says):
        run(target, model=Estimator(name=model), groups=groups)


def test_a_hazard_may_be_ablated():
    quick = Estimator(name="hazard", settings={"n_estimators": 8, "early_stopping_rounds": 0})
    back = np.where(TARGETS["is_silent"].to_numpy(bool), np.nan, 3.0)
    watched = TARGETS.assign(return_days=back, observed_days=7.0)
    found = run(targets=watched, model=quick, groups=("recency", "noise"))
    rows = {(r["added"], r["to"]): r["proof"] for r in found["rows"]}
    assert rows["recency", "nothing"] == "better with it"

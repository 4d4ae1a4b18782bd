import numpy as np
import pandas as pd
import pytest

import planted
from waymark import models
from waymark.baselines import RepeatLast
from waymark.explanations import Explanation, explain
from waymark.leanings import tell_leanings
from waymark.periods import Horizons
from waymark.reason_groups import in_groups
from waymark.removal import remove_reasons

FEATURES, TARGETS = planted.tables()
FEW = FEATURES.head(150)


def fitted(target, name, **settings):
    horizons = Horizons(30, (7, 30, 90))
    model = models.make(name, settings, planted.CATALOGUE, 7, target=target, horizons=horizons)
    return models.fit(model, models.training_rows(FEATURES, TARGETS, target, model))


def features_of(model):
    known = {f.column: f for f in planted.CATALOGUE}
    return [known[c] for c in model.feature_names_in_]


def removed(model, change=lambda parts: parts):
    """Remove the reasons of silence as they are, or as if the model had been explained otherwise."""
    x, outcome = FEW[model.feature_names_in_], ["silent"] * len(FEW)
    explained = explain(model, x, outcome)
    told = Explanation(explained.base, change(explained.parts))
    return remove_reasons(model, x, features_of(model), told, outcome, np.ones((len(x), 2), bool), 50, 7)


def first(found):
    return found[found["rank"] == 1]


def hold(found):
    return (found["stated"] * found["found"] > 0).mean()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("lightgbm", {"n_estimators": 20}), ("logistic", {"C": 0.1}), ("hazard", {"n_estimators": 20})],
)
def test_without_its_first_reason_a_forecast_moves_as_stated(name, settings):
    found = first(removed(fitted("churn", name, **settings)))
    assert len(found) == len(FEW)
    assert hold(found) >= 0.95
    assert np.corrcoef(found["stated"], found["found"])[0, 1] > 0.8


def test_contributions_of_the_wrong_sign_are_caught():
    assert hold(first(removed(fitted("churn", "lightgbm", n_estimators=20), lambda parts: -parts))) <= 0.05


def test_reasons_that_name_the_wrong_features_are_caught():
    model = fitted("churn", "lightgbm", n_estimators=20)
    assert hold(first(removed(model, lambda parts: np.roll(parts, -1, axis=1)))) < 0.8


def test_of_a_line_what_is_found_is_what_was_stated():
    """Less the mean of the strangers, and the model's mean is that of its training rows."""
    model = fitted("churn", "rfm_logistic")
    found = removed(model)
    stated = found.groupby("group")["stated"].transform("mean")
    moved = found.groupby("group")["found"].transform("mean")
    noise = (found["stated"] - stated) - (found["found"] - moved)
    assert noise.std() < 0.2 * found["stated"].std()


def test_removing_draws_the_same_strangers_again():
    model = fitted("churn", "lightgbm", n_estimators=5)
    pd.testing.assert_frame_equal(removed(model), removed(model))


# --- over everybody -------------------------------------------------------------------------------------------------


def test_leanings_tell_what_moves_silence_and_which_way():
    model = fitted("churn", "lightgbm", n_estimators=20)
    told = tell_leanings(model, features_of(model), FEATURES, 100, 7)
    assert told["n_persons"] == 100
    assert told["groups"][0]["group"] == "recency" and told["groups"][0]["share"] > 0.5
    best = told["features"][0]
    assert best["feature"] == "days_since_last_activity"
    assert (best["outcome"], best["likelier"]) == ("silent", "more")
    for entries in (told["groups"], told["features"]):
        shares = [e["share"] for e in entries]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-6)
    assert [r["rank"] for r in told["removal"]] == [1, 2, 3] and told["removal"][0]["share"] >= 0.95


def test_leanings_tell_which_category_leads_where():
    model = fitted("next_stage", "lightgbm", n_estimators=20)
    told = tell_leanings(model, features_of(model), FEATURES, 150, 7)
    best = told["features"][0]
    assert best["feature"] == "last_type_1"
    assert (best["outcome"], best["likelier"]) in {("order", "pay"), ("cart", "click"), ("stay", "call")}


def test_shares_are_those_of_what_groups_moved():
    model = fitted("churn", "logistic", C=0.1)
    told = tell_leanings(model, features_of(model), FEATURES, 10_000, 7)
    people = FEATURES.sample(frac=1, random_state=0).drop_duplicates("person_id")
    names, sums = in_groups(explain(model, people, ["silent"] * len(people)).parts, features_of(model))
    size = pd.Series(np.abs(sums).mean(axis=0), names)
    shares = pd.Series({g["group"]: g["share"] for g in told["groups"]})
    assert shares.sum() == pytest.approx(1)
    assert (shares - size / size.sum()).abs().max() < 0.1  # of other rows of the same persons
    assert told["n_persons"] == people["person_id"].nunique()


@pytest.mark.parametrize("n", [0, 50])
def test_of_models_that_nothing_is_known_to_move_nothing_is_told(n):
    rows = models.labelled(FEATURES, TARGETS, "next_stage")
    model = models.fit(models.make("repeat_last", {}, planted.CATALOGUE, 7), rows)
    assert isinstance(model, RepeatLast)
    told = tell_leanings(model, features_of(model), rows, n, 7)
    assert told["groups"] == told["features"] == told["removal"] == []

"""How good who forecasts is: judged on rows that the champion did not learn from, or said not to be."""

from dataclasses import replace

import numpy as np
import pytest

import planted
from waymark import evaluation, models
from waymark.champions import Reign
from waymark.judgement import judge_champion
from waymark.periods import Horizons
from waymark.recoding import with_features

FEATURES, TARGETS = planted.tables()
NIGHTS = TARGETS["cutoff_time"]
TARGETS["fold"] = np.where(NIGHTS.isin(NIGHTS.unique()[2:]), "test", "train")
EVALUATED = {"verdict": "as the candidate was judged"}


def reign(version="old", name="logistic"):
    facts = {"role": "candidate", "trained_until": "2025-01-06", "known_until": "2025-02-05", "run_id": "run"}
    return Reign(version=version, name=name, training={}, question={}, contest={}, **facts)


def decided(winner="champion", first="2025-03-24", **absent):
    return {"champion": winner, "first_cutoff": f"{first}T00:00:00+00:00", "absent": absent}


def found(who, what, earlier=None, judge=None):
    def no_one(targets):
        raise AssertionError("nobody is to be judged anew")

    return judge_champion(who, what, "new", EVALUATED, earlier or {}, TARGETS, judge or no_one)


@pytest.mark.parametrize("what", [decided("candidate"), decided(candidate="it is the champion")])
def test_of_the_model_trained_last_it_is_known_already(what):
    said = found(reign("new"), what)
    assert said["verdict"] == EVALUATED["verdict"]
    assert said["champion"] == reign("new").told()


@pytest.mark.parametrize("champion", ["champion", "baseline"])
def test_another_one_is_judged_on_the_nights_that_are_new_to_it(champion):
    is_test = TARGETS["fold"] == "test"
    late = NIGHTS[is_test].max()
    seen = []
    said = found(reign(), decided(champion, f"{late:%Y-%m-%d}"), judge=lambda t: seen.append(t) or {"n_test": len(t)})
    [rows] = seen
    assert set(rows.loc[rows["fold"] == "test", "cutoff_time"]) == {late}
    assert (rows["fold"] != "test").sum() == (~is_test).sum()
    assert said["n_test"] == len(rows)
    with pytest.raises(AssertionError, match="nobody"):
        found(reign(), decided(champion))


def test_who_learnt_from_too_many_of_the_rows_keeps_what_was_found_of_it_or_is_not_judged():
    spared = decided(champion="it learnt from what happened until 2025-03-30; too few test rows are newer")
    earlier = {"champion": reign().told(), "verdict": "as it was judged when it won"}
    assert found(reign(), spared, earlier) == earlier
    for other in ({}, {**earlier, "champion": reign("older").told()}):
        assert found(reign(), spared, other) == {
            "champion": reign().told(),
            "missing": spared["absent"]["champion"],
        }


def test_a_champion_that_coded_categories_otherwise_is_judged_in_its_own_terms():
    """Its features are those of another training: the same forecasts, and so the same losses and reasons."""
    args = ("churn", "lightgbm", {"n_estimators": 20}, planted.GROUPS, 7)
    catalogue = [replace(f, categories=f.categories[::-1]) if f.categories else f for f in planted.CATALOGUE]
    turned = FEATURES.assign(**{f.column: 2 - FEATURES[f.column] for f in catalogue if f.categories})
    champion = models.train(FEATURES, TARGETS, planted.CATALOGUE, *args)
    how = {"baselines": {"churn": ["recency"]}, "horizons": Horizons(30, (30,)), "end_of_case": "excluded"}
    how |= {"n_bootstrap": 20, "interval": 0.95, "n_bins": 5, "n_explained": 20, "seed": 7}
    as_learnt = evaluation.evaluate(FEATURES, TARGETS, planted.CATALOGUE, {"churn": champion}, **how)
    as_now = evaluation.evaluate(turned, TARGETS, catalogue, {"churn": with_features(champion, catalogue)}, **how)
    assert as_now["targets"]["churn"] == as_learnt["targets"]["churn"]
    wrong = evaluation.evaluate(turned, TARGETS, catalogue, {"churn": champion}, **how)
    assert wrong["targets"]["churn"]["models"]["lightgbm"] != as_learnt["targets"]["churn"]["models"]["lightgbm"]

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier

import planted
from waymark import models
from waymark.attribution import read_apart, read_attribution
from waymark.estimators import Boosting
from waymark.explanations import explain
from waymark.forecast import if_active, likeliest_next
from waymark.periods import Horizons

FEATURES, TARGETS = planted.tables()
SETTINGS = {"lightgbm": {"n_estimators": 20}, "logistic": {"C": 0.1}}
OF_PARTS = ["lightgbm", "logistic", "back_off", "chain", "recency", "rfm_logistic"]


def fitted(target, name, rows=None, **settings):
    rows = models.labelled(FEATURES, TARGETS, target) if rows is None else rows
    settings = SETTINGS.get(name, {}) | settings
    return models.fit(models.make(name, settings, planted.CATALOGUE, 7, target=target), rows)


def log_odds(p, k, is_possible):
    """Return the log-odds of class k of each row among those that are possible."""
    p = np.where(is_possible, p, 0.0)
    own = p[np.arange(len(p)), k]
    return np.log(own) - np.log(p.sum(axis=1) - own)


def check_sums(model, rows, is_possible=None, base_is_one=True):
    """Every row adds up to its forecast, from where everybody starts."""
    possible = np.ones((len(rows), len(model.classes_)), bool) if is_possible is None else is_possible
    for k, label in enumerate(model.classes_):
        here = np.flatnonzero(possible[:, k] & (possible.sum(axis=1) > 1))
        if label == models.END and not len(here):
            continue
        some = rows.iloc[here]
        found = explain(model, some, [label] * len(some), possible[here])
        truth = log_odds(model.predict_proba(some), np.full(len(here), k), possible[here])
        np.testing.assert_allclose(found.log_odds, truth, atol=1e-9)
        if base_is_one:
            np.testing.assert_allclose(found.base, found.base[0], atol=1e-12)
        assert np.abs(found.parts).max() > 0.1


# --- adds up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["next_stage", "churn"])
@pytest.mark.parametrize("name", OF_PARTS)
def test_what_features_moved_adds_up_to_the_forecast(name, target):
    check_sums(fitted(target, name), FEATURES)


@pytest.mark.parametrize("labels", [None, ["cart", "order"]])
def test_so_it_does_where_the_trees_start_from_a_table(labels):
    rows = models.labelled(FEATURES, TARGETS, "next_stage")
    rows = rows if labels is None else rows[rows["label"].isin(labels)]
    model = fitted("next_stage", "lightgbm", rows, start_order=3)
    assert model.start_.order >= 2
    check_sums(model, rows)


@pytest.mark.parametrize("name", ["lightgbm", "logistic", "back_off"])
def test_so_it_does_among_the_outcomes_that_can_follow(name):
    """Nobody goes to the stage where they are, and the end is a silence: what is left shares all of it."""
    model = fitted("next_stage", name)
    given = if_active(FEATURES["stage"], model.predict_proba(FEATURES), model.classes_.tolist())
    likeliest, possible = likeliest_next(FEATURES["stage"], given, model.classes_)
    check_sums(model, FEATURES, possible, base_is_one=False)
    p = given.max(axis=1).to_numpy()
    found = explain(model, FEATURES, likeliest, possible)
    np.testing.assert_allclose(found.log_odds, np.log(p / (1 - p)), atol=1e-9)


def hazard(**settings):
    horizons = Horizons(30, (7, 30, 90))
    model = models.make("hazard", {"n_estimators": 20} | settings, planted.CATALOGUE, 7, None, "churn", horizons)
    return models.fit(model, models.training_rows(FEATURES, TARGETS, "churn", model))


def test_so_it_does_of_a_product_over_periods():
    """What the silence until a period moved counts for the silence so far: without it, sums would not come out."""
    model = hazard()
    n = model.n_features_in_
    assert {f"Column_{n}", f"Column_{n + 1}"} <= set(model.trees_.trees_to_dataframe()["split_feature"].dropna())
    still, moving = read_apart(model.trees_, (n, n + 1), (n,))
    assert still.n_trees > 0 and moving.n_trees > 0
    check_sums(model, FEATURES)


def test_far_from_the_average_too():
    """Weights of classes that go from nearly all to nearly nothing are where sums get lost."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({f"f_{i}": rng.normal(size=900) for i in range(4)})
    y = np.array(["a", "b", "c"])[x.to_numpy()[:, :3].argmax(axis=1)]
    model = Boosting(n_estimators=60, learning_rate=1.0, reg_lambda=0.0, num_leaves=15).fit(x, y)
    assert model.predict_proba(x).min() < 1e-9
    k = np.arange(len(x)) % 3
    found = explain(model, x, model.classes_[k])
    raw = model.trees_.predict(model.matrix(x), raw_score=True)
    others = np.where(np.eye(3, dtype=bool)[k], -np.inf, raw)
    truth = raw[np.arange(len(x)), k] - np.logaddexp.reduce(others, axis=1)
    np.testing.assert_allclose(found.log_odds, truth, atol=1e-9)


def test_each_row_is_explained_for_its_own_outcome():
    model = fitted("next_stage", "lightgbm")
    asked = np.array(model.classes_)[np.arange(len(FEATURES)) % len(model.classes_)]
    mixed = explain(model, FEATURES, asked)
    for label in model.classes_:
        own = explain(model, FEATURES, [label] * len(FEATURES))
        np.testing.assert_allclose(mixed.parts[asked == label], own.parts[asked == label], atol=1e-12)


def test_two_outcomes_move_against_each_other():
    model = fitted("churn", "lightgbm")
    silent, active = (explain(model, FEATURES, [label] * len(FEATURES)) for label in ("silent", "active"))
    np.testing.assert_allclose(silent.parts, -active.parts, atol=1e-12)


def test_what_is_certain_was_moved_by_nothing():
    model = fitted("next_stage", "lightgbm")
    alone = np.zeros((len(FEATURES), len(model.classes_)), bool)
    alone[:, 0] = True
    found = explain(model, FEATURES, [model.classes_[0]] * len(FEATURES), alone)
    assert np.isinf(found.log_odds).all() and (found.parts == 0).all()


def test_a_table_tells_each_column_by_what_it_adds_to_those_before_it():
    model = fitted("next_stage", "back_off")
    found = explain(model, FEATURES, ["order"] * len(FEATURES))
    first = model.predict_proba(FEATURES.assign(f_previous_stage=99, f_last_type_1=99, f_last_type_2=99))
    k = model.classes_.tolist().index("order")
    truth = np.log(first[:, k] / (1 - first[:, k])) - found.base
    np.testing.assert_allclose(found.parts[:, 0], truth, atol=1e-9)


def test_a_model_of_another_kind_is_said_to_be_moved_by_nothing():
    class Strange(Boosting):
        pass

    model = Strange(n_estimators=5).fit(FEATURES[["f_noise", "f_stage"]], np.where(FEATURES["f_stage"] > 0, "b", "a"))
    found = explain(model, FEATURES, ["a"] * len(FEATURES))
    p = model.predict_proba(FEATURES)
    np.testing.assert_allclose(found.log_odds, np.log(p[:, 0] / p[:, 1]), atol=1e-9)
    assert (found.parts == 0).all()


# --- trees ----------------------------------------------------------------------------------------------------------


def grown(n_classes, seed=0, **settings):
    """Return trees on numbers and categories with gaps, and rows that hold more than they have seen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 8)).astype(np.float32)
    x[:, 5:7] = rng.integers(0, 70, (600, 2))
    score = x[:, 0] + np.sin(x[:, 1]) + (x[:, 5] % 3) + rng.normal(size=600)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1]))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 3] = np.where(np.isnan(x[:, 3]), 0, x[:, 3])  # no gaps in training
    fixed = {"min_child_samples": 5, "verbose": -1, "n_estimators": 10, "n_jobs": 1}
    trees = LGBMClassifier(**fixed | settings).fit(x, y, categorical_feature=[5, 6]).booster_
    x[::7, 3] = np.nan
    x[::11, 5], x[::13, 6] = 200, -1
    return trees, x


@pytest.mark.parametrize(
    ("n_classes", "settings"),
    [(2, {}), (3, {}), (4, {"num_leaves": 8}), (2, {"num_leaves": 63, "min_child_samples": 2}), (3, {"max_depth": 1})],
)
def test_trees_are_explained_as_lightgbm_explains_them(n_classes, settings):
    trees, x = grown(n_classes, **settings)
    own = read_attribution(trees)
    truth = trees.predict(x, pred_contrib=True).reshape(len(x), own.n_classes, -1)
    np.testing.assert_allclose(own.average, truth[0, :, -1], atol=1e-12)
    for k in range(own.n_classes):
        weight = np.zeros((len(x), own.n_classes))
        weight[:, k] = 2.0
        parts, base = own.attribute(x, weight)
        np.testing.assert_allclose(parts, 2 * truth[:, k, :-1], atol=1e-9)
        np.testing.assert_allclose(base[:, k], truth[:, k, -1], atol=1e-12)


def test_a_tree_too_deep_for_tables_comes_out_the_same():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 14)).astype(np.float32)
    y = (x > 1.2).any(axis=1)  # one feature after another
    trees = LGBMClassifier(n_estimators=3, min_child_samples=1, num_leaves=15, verbose=-1, n_jobs=1).fit(x, y).booster_
    own = read_attribution(trees)
    assert (np.diff(own.tables[0]) == 0).any() and (np.diff(own.tables[0]) > 0).any()
    parts, _ = own.attribute(x, np.ones((len(x), 1)))
    np.testing.assert_allclose(parts, trees.predict(x, pred_contrib=True)[:, :-1], atol=1e-9)


def test_trees_without_a_split_are_moved_by_nothing():
    trees, x = grown(2, min_child_samples=1000)
    parts, base = read_attribution(trees).attribute(x, np.ones((len(x), 1)))
    np.testing.assert_allclose(base[:, 0], trees.predict(x, raw_score=True), atol=1e-12)
    assert (parts == 0).all()


def test_what_is_given_is_where_a_row_starts_from():
    """What is known of everybody moves nobody: rows start from the mean of those that share it."""
    trees, x = grown(3, num_leaves=8)
    parts, base = read_attribution(trees, given=(0, 5)).attribute(x, np.ones((len(x), 3)))
    np.testing.assert_allclose(base.sum(1) + parts.sum(1), trees.predict(x, raw_score=True).sum(1), atol=1e-9)
    assert (parts[:, [0, 5]] == 0).all() and np.abs(parts[:, 1]).max() > 0.1
    same = x.copy()
    same[:, [1, 2, 3, 4, 6, 7]] = x[0, [1, 2, 3, 4, 6, 7]]
    _, again = read_attribution(trees, given=(0, 5)).attribute(same, np.ones((len(x), 3)))
    np.testing.assert_array_equal(base, again)

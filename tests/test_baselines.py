import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import planted
from waymark import models
from waymark.baselines import BackOff, RepeatLast, prequential

X = pd.DataFrame({"f_stage": [0.0, 0.0, 0.0, 1.0], "f_previous_stage": [np.nan, np.nan, 1.0, 0.0]})
Y = ["x", "x", "y", "z"]
ELSEWHERE = pd.DataFrame({"f_stage": [7.0], "f_previous_stage": [0.0]})


def make(name, **settings):
    return models.make(name, settings, planted.CATALOGUE, 7)


def test_most_frequent_gives_the_class_shares_everywhere():
    p = make("most_frequent").fit(X, Y).predict_proba(pd.concat([X, ELSEWHERE]))
    np.testing.assert_allclose(p, [[0.5, 0.25, 0.25]] * 5)


def test_the_chain_counts_what_followed_each_stage():
    p = make("chain", smoothing=0.0).fit(X, Y).predict_proba(X.iloc[[0, 3]])
    np.testing.assert_allclose(p, [[2 / 3, 1 / 3, 0], [0, 0, 1]])


def test_the_chain_leaves_a_little_for_what_it_has_not_seen():
    p = make("chain").fit(X, Y).predict_proba(X)
    assert (p > 0).all()
    np.testing.assert_allclose(p[0], [2 / 3, 1 / 3, 0], atol=0.002)


def test_contexts_blend_as_witten_and_bell_have_it():
    p = BackOff(("f_stage",)).fit(X, Y).predict_proba(pd.concat([X, ELSEWHERE]))
    shares = np.array([3, 2, 2]) / 7  # (n_c + 3 classes / 3) / (4 rows + 3 classes)
    np.testing.assert_allclose(p[0], [(2 + 2 * 3 / 7) / 5, (1 + 2 * 2 / 7) / 5, (2 * 2 / 7) / 5])
    np.testing.assert_allclose(p[3], [3 / 14, 2 / 14, 9 / 14])
    np.testing.assert_allclose(p[4], shares)


def test_the_longest_known_context_speaks():
    model = BackOff(("f_stage", "f_previous_stage"), smoothing=0.0).fit(X, Y)
    rows = pd.DataFrame({"f_stage": [0.0, 0.0, 0.0, 9.0], "f_previous_stage": [np.nan, 1.0, 5.0, 1.0]})
    expected = [[1, 0, 0], [0, 1, 0], [2 / 3, 1 / 3, 0], [0.5, 0.25, 0.25]]
    np.testing.assert_allclose(model.predict_proba(rows), expected)


def test_a_column_that_splits_no_context_changes_nothing():
    twice = X.assign(f_same=X["f_stage"] * 3)
    once = BackOff(("f_stage",)).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(BackOff(("f_stage", "f_same")).fit(twice, Y).predict_proba(twice), once)


def test_a_weight_of_two_is_two_rows():
    weighted = BackOff(("f_stage",)).fit(X, Y, sample_weight=[1, 1, 2, 1]).predict_proba(X)
    repeated = BackOff(("f_stage",)).fit(X.iloc[[0, 1, 2, 2, 3]], [*Y[:3], "y", "z"]).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated)


def test_longer_contexts_tell_what_a_chain_cannot():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({c: rng.integers(0, 4, 3000).astype(float) for c in ("f_stage", "f_last_type_1")})
    y = ((rows["f_stage"] + rows["f_last_type_1"]) % 4).astype(int).astype(str)
    assert (BackOff(("f_stage", "f_last_type_1")).fit(rows, y).predict(rows) == y).all()
    assert (BackOff(("f_stage",)).fit(rows, y).predict(rows) == y).mean() < 0.5


def test_back_off_is_ready_for_large_logs():
    rng = np.random.default_rng(0)
    columns = ("f_stage", "f_previous_stage", "f_last_type_1", "f_last_type_2", "f_last_type_3")
    rows = pd.DataFrame({c: rng.integers(0, 20, 40_000).astype("float32") for c in columns})
    p = BackOff(columns).fit(rows, rng.integers(0, 24, 40_000)).predict_proba(rows)
    np.testing.assert_allclose(p.sum(axis=1), 1)


@pytest.mark.parametrize(("name", "columns"), [("recency", 1), ("rfm_logistic", 4)])
def test_the_logistic_baselines_are_a_logistic_on_logarithms(name, columns):
    features, targets = planted.tables()
    rows = models.labelled(features, targets, "churn")
    names = ["f_days_since_last_activity", "f_n_activities_ever", "f_value_cents_ever", "f_tenure_days"][:columns]
    x = np.log1p(rows[names].to_numpy(float))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    by_hand = LogisticRegression().fit(x, rows["label"]).predict_proba(x)
    np.testing.assert_allclose(models.fit(make(name), rows).predict_proba(rows), by_hand, atol=2e-3)


def test_many_rows_of_one_person_prove_no_more_than_one():
    rows, y = X.iloc[[0, 1, 2, 2, 2, 3]], [*Y[:3], "y", "y", "z"]
    p = BackOff(("f_stage",)).fit(rows, y, groups=["a", "b", "c", "c", "c", "d"]).predict_proba(rows)
    everywhere = (4 * np.array([2, 3, 1]) / 6 + 3 / 3) / (4 + 3)  # four persons, three classes
    np.testing.assert_allclose(p[0], (3 * np.array([2 / 5, 3 / 5, 0]) + 2 * everywhere) / (3 + 2))
    alone = BackOff(("f_stage",)).fit(rows, y, groups=range(6)).predict_proba(rows)
    np.testing.assert_array_equal(BackOff(("f_stage",)).fit(rows, y).predict_proba(rows), alone)


def test_a_table_is_refined_column_by_column():
    model = BackOff(("f_stage", "f_previous_stage")).fit(X, Y)
    steps = [p.copy() for p in model.refine(X)]
    assert len(steps) == 3
    np.testing.assert_array_equal(steps[1], BackOff(("f_stage",)).fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(steps[2], model.predict_proba(X))


def groups_in_time(n_groups=40, per_group=5, seed=3):
    rng = np.random.default_rng(seed)
    begun = rng.permutation(n_groups)
    group = np.repeat(np.arange(n_groups), per_group)
    rows = pd.DataFrame({"f_stage": rng.integers(0, 3, len(group)).astype(float)})
    y = np.array(["x", "y", "z"])[(rows["f_stage"].to_numpy(int) + rng.integers(0, 2, len(group))) % 3]
    return rows, y, group, begun[group]


def test_nobody_is_forecast_from_what_began_with_them_or_later():
    rows, y, group, time = groups_in_time()
    model = BackOff(("f_stage",)).fit(rows, y)
    p = prequential(model, rows, y, group, time, None, seed=0)
    assert p.shape == (2, len(y), 3)
    for night in (9, 20, 33):
        changed = np.where(time >= night, "x", y)
        again = prequential(model, rows, changed, group, time, None, seed=0)
        is_told = (time <= night) & (time >= 4)
        np.testing.assert_array_equal(again[:, is_told], p[:, is_told])
    later = np.flatnonzero(time >= 36)
    before = time < 36
    by_hand = BackOff(("f_stage",)).fit(rows[before], y[before], groups=group[before])
    np.testing.assert_array_equal(p[1, later], by_hand.predict_proba(rows.iloc[later]))
    first, others = np.flatnonzero(time < 4), time >= 4
    by_hand = BackOff(("f_stage",)).fit(rows[others], y[others], groups=group[others])
    np.testing.assert_array_equal(p[1, first], by_hand.predict_proba(rows.iloc[first]))


def test_repeat_last_says_what_is_stays_as_often_as_it_did():
    rows = pd.DataFrame({"f_stage": [0.0, 0.0, 0.0, 1.0, 1.0, np.nan]})
    y = ["stay", "stay", "order", "stay", "stay", "cart"]
    model = RepeatLast(names=planted.STAGES, smoothing=0.0).fit(rows, y)
    assert model.classes_.tolist() == ["cart", "order", "stay"]
    p = model.predict_proba(rows.iloc[[0, 3, 5]])
    np.testing.assert_allclose(p[:, 2], 4 / 6)
    np.testing.assert_allclose(p[:, 0], [1 / 6, 0, 1 / 6])  # in the cart (1), the cart is no other stage
    assert (model.predict(rows) == "stay").all()


def test_repeat_last_where_nothing_stayed_or_nothing_else_came():
    rows = pd.DataFrame({"f_stage": [1.0, 0.0]})
    moved = RepeatLast(names=planted.STAGES, smoothing=0.0).fit(rows, ["cart", "order"])
    np.testing.assert_allclose(moved.predict_proba(rows), [[0, 1], [0.5, 0.5]])
    stayed = RepeatLast(names=planted.STAGES).fit(rows, ["stay", "stay"])
    np.testing.assert_allclose(stayed.predict_proba(rows), 1)
    same = RepeatLast(names=planted.STAGES).fit(rows, ["cart", "cart"])
    np.testing.assert_allclose(same.predict_proba(rows), 1)

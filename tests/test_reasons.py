import numpy as np
import pytest

import planted
from waymark import models, reasons
from waymark.catalogue import Feature

FEATURES, TARGETS = planted.tables()
LEARNERS = ["lightgbm", "logistic"]


SETTINGS = {"lightgbm": {"n_estimators": 20}, "logistic": {"C": 0.1}}


def fitted(target, name, **settings):
    rows = models.labelled(FEATURES, TARGETS, target)
    settings = SETTINGS.get(name, {}) | settings
    return models.fit(models.make(name, settings, planted.CATALOGUE, 7, target=target), rows)


def raw_scores(model, X):
    """Return the scores before they become probabilities, one column a class."""
    if isinstance(model, models.Boosting):
        raw = model.trees_.predict(model.matrix(X), raw_score=True)
    else:
        raw = model.linear_.decision_function(model.design(X))
    return raw if raw.ndim > 1 else np.column_stack([-raw, raw])


@pytest.mark.parametrize("target", ["next_stage", "churn"])
@pytest.mark.parametrize("name", LEARNERS)
def test_contributions_add_up_to_the_score_of_the_class(name, target):
    model = fitted(target, name)
    for k, label in enumerate(model.classes_):
        parts = reasons.contributions(model, FEATURES, [label] * len(FEATURES))
        rest = raw_scores(model, FEATURES)[:, k] - parts.sum(axis=1)
        np.testing.assert_allclose(rest, rest[0], atol=1e-9)


@pytest.mark.parametrize("labels", [None, ["cart", "order"]])
def test_contributions_of_a_start_add_up_too(labels):
    rows = models.labelled(FEATURES, TARGETS, "next_stage")
    rows = rows if labels is None else rows[rows["label"].isin(labels)]
    settings = {"n_estimators": 20, "start_order": 3}
    model = models.fit(models.make("lightgbm", settings, planted.CATALOGUE, 7), rows)
    assert model.start_.order >= 2
    p = np.log(model.predict_proba(rows))
    for k, label in enumerate(model.classes_):
        parts = reasons.contributions(model, rows, [label] * len(rows))
        other = (k + 1) % len(model.classes_)
        others = reasons.contributions(model, rows, [model.classes_[other]] * len(rows))
        between = parts - others if len(model.classes_) > 2 else parts
        rest = p[:, k] - p[:, other] - between.sum(axis=1)
        np.testing.assert_allclose(rest, rest[0], atol=1e-9)


@pytest.mark.parametrize("name", LEARNERS)
def test_each_row_is_explained_for_its_own_class(name):
    model = fitted("next_stage", name)
    asked = np.array(model.classes_)[np.arange(len(FEATURES)) % len(model.classes_)]
    mixed = reasons.contributions(model, FEATURES, asked)
    for label in model.classes_:
        own = reasons.contributions(model, FEATURES, [label] * len(FEATURES))
        np.testing.assert_allclose(mixed[asked == label], own[asked == label], atol=1e-12)


def test_the_trees_of_one_class_explain_as_all_of_them_do():
    model = fitted("next_stage", "lightgbm")
    x = model.matrix(FEATURES)
    every = model.trees_.predict(x, pred_contrib=True).reshape(len(x), len(model.classes_), -1)
    for k, label in enumerate(model.classes_):
        own = reasons.contributions(model, FEATURES, [label] * len(x))
        np.testing.assert_allclose(own, every[:, k, :-1], atol=1e-12)


@pytest.mark.parametrize("name", LEARNERS)
def test_silence_is_explained_by_what_makes_silence(name):
    model = fitted("churn", name)
    parts = reasons.contributions(model, FEATURES, ["silent"] * len(FEATURES))
    texts = reasons.top_reasons(parts, FEATURES, planted.CATALOGUE, ["silent"] * len(FEATURES))[:, 0]
    days = FEATURES["f_days_since_last_activity"]
    for is_side, verdict in ((days > 40, "silence likelier"), (days < 4, "silence less likely")):
        named = [t.endswith(f" since the last activity: {verdict}") for t in texts[is_side]]
        assert np.mean(named) > 0.95


def test_a_next_stage_is_explained_by_what_leads_there():
    model = fitted("next_stage", "lightgbm")
    parts = reasons.contributions(model, FEATURES, ["order"] * len(FEATURES))
    texts = reasons.top_reasons(parts, FEATURES, planted.CATALOGUE, ["order"] * len(FEATURES))
    pays = FEATURES["f_last_type_1"] == planted.TYPES.index("pay")
    assert set(texts[pays, 0]) == {"the latest event is pay: order likelier"}
    assert set(texts[~pays, 0]) <= {
        "the latest event is call: order less likely",
        "the latest event is click: order less likely",
    }


@pytest.mark.parametrize("name", ["most_frequent", "chain", "back_off"])
def test_models_without_parts_give_no_reasons(name):
    model = fitted("churn", name)
    parts = reasons.contributions(model, FEATURES, ["silent"] * len(FEATURES))
    assert parts.shape == (len(FEATURES), model.n_features_in_)
    known = {f.column: f for f in planted.CATALOGUE}
    features = [known[c] for c in model.feature_names_in_]
    assert set(reasons.top_reasons(parts, FEATURES, features, ["silent"] * len(FEATURES)).ravel()) == {""}


def test_reasons_name_the_strongest_and_nothing_that_moved_nothing():
    rows = FEATURES.head(3)
    parts = np.zeros((3, len(planted.CATALOGUE)))
    parts[0, [1, 2, 3, 8]] = [0.1, -0.4, 0.3, -0.2]
    parts[1, 8] = -0.5
    texts = reasons.top_reasons(parts, rows, planted.CATALOGUE, ["stay", "order", "silent"])
    number = reasons.number
    assert texts[0].tolist() == [
        f"{number(rows['f_n_activities_ever'][0])} activities so far: staying less likely",
        f"value so far is {rows['f_value_cents_ever'][0] / 100:.2f}: staying likelier",
        f"noise is {number(rows['f_noise'][0])}: staying less likely",
    ]
    assert texts[1].tolist() == [f"noise is {number(rows['f_noise'][1])}: order less likely", "", ""]
    assert texts[2].tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        (Feature("n", "g", "visits in the last 30 days", "count"), 4.0, "4 visits in the last 30 days"),
        (Feature("n", "g", "visits in the last 30 days", "count"), 1.0, "1 visit in the last 30 days"),
        (Feature("n", "g", "activities so far", "count"), 1.0, "1 activity so far"),
        (Feature("n", "g", "events of type visits so far", "count"), 1.0, "1 event of type visits so far"),
        (Feature("n", "g", "activities, halved every 14 days", "count"), 1.001, "1 activity, halved every 14 days"),
        (Feature("n", "g", "activities, halved every 14 days", "count"), 3e-9, "0 activities, halved every 14 days"),
        (Feature("n", "g", "activities, halved every 14 days", "count"), 0.25, "0.25 activities, halved every 14 days"),
        (Feature("d", "g", "days since the last order", "days"), 42.66, "42.7 days since the last order"),
        (Feature("d", "g", "days since the last order", "days"), np.nan, "days since the last order unknown"),
        (Feature("d", "g", "days since the last order", "days"), 1.0, "1 day since the last order"),
        (Feature("d", "g", "days since the last order", "days"), 1e-6 / 86400, "0 seconds since the last order"),
        (Feature("m", "g", "mean time between activities", "days"), 4.0, "mean time between activities is 4 days"),
        (Feature("m", "g", "mean time between activities", "days"), 0.25, "mean time between activities is 6 hours"),
        (Feature("v", "g", "value so far", "cents"), 123_45.0, "value so far is 123.45"),
        (Feature("s", "g", "share of web among channels", "share"), 0.404, "share of web among channels is 40 %"),
        (Feature("r", "g", "the last gap over the mean", "ratio"), 1234.4, "the last gap over the mean is 1234"),
        (Feature("r", "g", "the last gap over the mean", "ratio"), 2e-9, "the last gap over the mean is 0"),
        (Feature("x", "g", "the latest rate", "number"), 0.00125, "the latest rate is 0.00125"),
        (Feature("x", "g", "the latest rate", "number"), np.inf, "the latest rate is inf"),
        (Feature("h", "g", "the time of the latest event", "hours"), 21.9, "the time of the latest event is 21:54 UTC"),
        (Feature("h", "g", "the time of the latest event", "hours"), 0.02, "the time of the latest event is 00:01 UTC"),
        (Feature("c", "g", "the present stage", "category", ("a", "b")), 1.0, "the present stage is b"),
        (Feature("c", "g", "the stage before", "category", ("a", "b")), np.nan, "the stage before unknown"),
    ],
)
def test_a_fact_is_worded_by_its_unit(feature, value, words):
    assert reasons.fact(feature, np.float32(value)) == words


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (2345.6, "2346 days"),
        (1.5, "1.5 days"),
        (0.9999, "1 day"),
        (0.5, "12 hours"),
        (1 / 24, "1 hour"),
        (59.9 / 1440, "59.9 minutes"),
        (0.001, "1.44 minutes"),
        (27 / 86400, "27 seconds"),
        (0.25 / 86400, "0.25 seconds"),
        (0.0, "0 seconds"),
    ],
)
def test_a_span_is_told_in_the_largest_unit_that_fits(days, words):
    assert reasons.span(days) == words

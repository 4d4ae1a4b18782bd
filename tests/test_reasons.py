import numpy as np
import pandas as pd
import pytest

import planted
from waymark import models, reasons, wording
from waymark.catalogue import Feature
from waymark.explanations import Explanation, explain
from waymark.feature_groups import GROUPS
from waymark.reason_groups import REASON_GROUPS, group_of, in_groups
from waymark.reason_rows import strongest_of_persons

FEATURES, TARGETS = planted.tables()
LEARNERS = ["lightgbm", "logistic"]
SETTINGS = {"lightgbm": {"n_estimators": 20}, "logistic": {"C": 0.1}}


def fitted(target, name):
    rows = models.labelled(FEATURES, TARGETS, target)
    return models.fit(models.make(name, SETTINGS.get(name, {}), planted.CATALOGUE, 7, target=target), rows)


def told(model, outcome, rows=FEATURES):
    """Return the reasons of one outcome for every row."""
    known = {f.column: f for f in planted.CATALOGUE}
    outcomes = [outcome] * len(rows)
    features = [known[c] for c in model.feature_names_in_]
    return reasons.strongest(explain(model, rows, outcomes), rows, features, outcomes)


# --- groups ---------------------------------------------------------------------------------------------------------


def test_every_group_of_features_has_a_reason_group_of_its_own_words():
    for group in GROUPS:
        assert group_of(Feature("x", group, "x", "count")) != "other", group
    assert len({g.name for g in REASON_GROUPS}) == len({g.words for g in REASON_GROUPS}) == len(REASON_GROUPS)


def test_every_rule_of_the_table_is_of_use():
    """A rule that an earlier one always wins against names features that belong elsewhere."""
    for group in REASON_GROUPS:
        for of, begins in group.holds:
            assert of in GROUPS
            assert group_of(Feature(begins or "zzz", of, "x", "count")) == group.name


def test_groups_hold_each_feature_once_so_that_sums_stay():
    parts = np.random.default_rng(0).normal(size=(5, len(planted.CATALOGUE)))
    names, sums = in_groups(parts, planted.CATALOGUE)
    assert names == ["known_for", "recency", "frequency", "value", "last", "journey", "other"]
    np.testing.assert_allclose(sums.sum(axis=1), parts.sum(axis=1))
    np.testing.assert_allclose(sums[:, names.index("journey")], parts[:, 4] + parts[:, 5])


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_silence_is_explained_by_what_makes_silence(name):
    texts = pd.Series(told(fitted("churn", name), "silent").texts[:, 0])
    days = FEATURES["f_days_since_last_activity"]
    for is_side, verdict in ((days > 40, r"likelier \(\+\d+ points?\)"), (days < 4, r"less likely \(-\d+ points?\)")):
        assert texts[is_side].str.fullmatch(f".* since the last activity: silence {verdict}").mean() > 0.95


def test_a_next_stage_is_explained_by_what_leads_there():
    found = told(fitted("next_stage", "lightgbm"), "order")
    pays = FEATURES["f_last_type_1"] == planted.TYPES.index("pay")
    first = pd.Series(found.texts[:, 0]).str.replace(r" \(.*", "", regex=True)
    assert set(first[pays]) == {"the latest event is pay: order likelier"}
    assert set(first[~pays]) == {
        "the latest event is call: order less likely",
        "the latest event is click: order less likely",
    }
    assert set(found.groups[:, 0]) == {"last"}


def test_the_points_are_those_of_the_forecast_against_the_one_without_the_group():
    model = fitted("churn", "lightgbm")
    found, p = told(model, "silent"), model.predict_proba(FEATURES)[:, 1]
    explained = explain(model, FEATURES, ["silent"] * len(FEATURES))
    names, sums = in_groups(explained.parts, planted.CATALOGUE)
    moved = sums[np.arange(len(sums)), [names.index(g) for g in found.groups[:, 0]]]
    without = 1 / (1 + (1 - p) / p * np.exp(moved))
    points = pd.Series(found.texts[:, 0]).str.extract(r"\(([+-][\d.]+) points?\)")[0].astype(float)
    assert points.notna().mean() > 0.9
    np.testing.assert_allclose(points, 100 * (p - without), atol=0.56)


def test_models_that_nothing_moves_give_no_reasons():
    found = told(fitted("churn", "most_frequent"), "silent")
    assert set(found.texts.ravel()) == {""} == set(found.groups.ravel())


def test_reasons_name_the_strongest_groups_by_the_member_that_moved_most_their_way():
    rows = FEATURES.head(3)
    parts = np.zeros((3, len(planted.CATALOGUE)))
    parts[0, [1, 2, 3, 8]] = [0.1, -0.4, 0.3, -0.2]
    parts[0, [4, 5]] = [-0.5, 0.7]  # of one group: together weaker than frequency, and told by the one that won
    parts[1, 8] = -0.5
    found = reasons.strongest(
        Explanation(np.zeros(3), parts), rows, planted.CATALOGUE, ["stay", "order", "silent"], n=4
    )
    texts = [[text.partition(" (")[0] for text in row] for row in found.texts]
    number = wording.number
    assert texts[0] == [
        f"{number(rows['f_n_activities_ever'][0])} activities so far: staying less likely",
        f"value so far is {rows['f_value_cents_ever'][0] / 100:.2f}: staying likelier",
        f"{wording.fact(planted.CATALOGUE[5], rows['f_previous_stage'][0])}: staying likelier",
        f"noise is {number(rows['f_noise'][0])}: staying less likely",
    ]
    assert found.groups[0].tolist() == ["frequency", "value", "journey", "other"]
    assert texts[1] == [f"noise is {number(rows['f_noise'][1])}: order less likely", "", "", ""]
    assert texts[2] == ["", "", "", ""]
    assert (np.sign(found.points[0]) == [-1, 1, 1, -1]).all()


def test_the_strongest_over_two_forecasts_come_first():
    """Of equals, silence."""
    texts = [["a", "b", "e"], ["c", "d", ""]]
    points = [[-3.0, 1.0, 0.5], [2.0, -1.0, 0.0]]
    rows = pd.DataFrame(texts, columns=["reason_1", "reason_2", "reason_3"])
    rows[["points_1", "points_2", "points_3"]] = points
    assert strongest_of_persons(rows).tolist() == [["a", "c", "b"]]


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
    assert wording.fact(feature, np.float32(value)) == words


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
    assert wording.span(days) == words

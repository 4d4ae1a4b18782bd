"""Features of the user's own."""

from __future__ import annotations

import numpy as np
import pytest

import by_hand
from by_hand import SHOP, time
from waymark import custom, features, models
from waymark.config import FeaturesConfig, check
from waymark.errors import InputError
from waymark.ledger import link_identities
from waymark.points import Points
from waymark.wording import fact

LINES = (
    "ann 2025-01-18 web view",  # a Saturday
    "ann 2025-01-20 web view",
    "ann 2025-01-20 web order 500",
    "ann 2025-01-25 email email_sent actor=brand",  # a Saturday, and not hers
    "bob 2025-01-19 web view",  # a Sunday
    "cid 2025-01-21 web view",
)


@pytest.fixture
def registry(monkeypatch):
    """The registered features; what a test adds goes with it."""
    monkeypatch.setattr(custom, "REGISTERED", dict(custom.REGISTERED))
    return custom.REGISTERED


def settings(*names: str, **changed) -> FeaturesConfig:
    return by_hand.settings(groups=[*by_hand.GROUPS, "custom"], custom=list(names), **changed)


def build(*names: str, **changed):
    log = by_hand.events(*LINES)
    return features.build_features(log, link_identities(log), time("2025-02-01"), SHOP, settings(*names, **changed))


def column(name: str, **changed) -> dict[str, float]:
    table, _ = build(name, **changed)
    return dict(zip(table["person_id"], table[f"f_{name}"].tolist(), strict=True))


def test_the_example_shipped_counts_weekends_and_is_off():
    expected = {"customer:ann": pytest.approx(1 / 3), "customer:bob": 1.0, "customer:cid": 0.0}
    assert column("share_weekend") == expected
    assert column("share_weekend", points="every_event") == expected
    assert "f_share_weekend" not in build()[0]


def test_a_function_gets_the_points_and_its_numbers_are_the_feature(registry):
    @custom.feature("events seen so far", unit="count")
    def n_seen(points: Points) -> np.ndarray:
        return points.end - points.first

    assert column("n_seen") == {"customer:ann": 4.0, "customer:bob": 1.0, "customer:cid": 1.0}


def test_the_catalogue_holds_its_words_and_unit_and_reasons_use_them(registry):
    @custom.feature("orders on rainy days so far", unit="count")
    def n_rainy(points: Points) -> np.ndarray:
        return np.ones(len(points), bool)

    _, catalogue = build("n_rainy")
    found = next(f for f in catalogue if f.name == "n_rainy")
    assert (found.group, found.unit) == ("custom", "count")
    assert fact(found, 1.0) == "1 order on rainy days so far"


@pytest.mark.parametrize("name", ["lightgbm", "logistic"])
def test_it_reaches_the_models(name):
    _, catalogue = build("share_weekend")
    model = models.make(name, {}, catalogue, seed=0, groups=["counts", "custom"])
    assert "f_share_weekend" in model.columns


def test_training_and_scoring_call_the_same_function(registry):
    times = []

    @custom.feature("the time of the forecast", unit="number")
    def called_at(points: Points) -> np.ndarray:
        times.append(points.cutoff[0])
        return points.cutoff / 1e6

    log = by_hand.events(*LINES)
    cutoff = time("2025-02-01")
    given = (log, link_identities(log))
    trained, _, known = features.build_training_features(*given, [cutoff], cutoff, SHOP, settings("called_at"))
    scored, _ = features.build_features(*given, cutoff, SHOP, settings("called_at"), known)
    assert trained["f_called_at"].tolist() == scored["f_called_at"].tolist()
    assert len(times) == 2


def test_a_name_that_a_shipped_feature_has_gets_a_number(registry):
    @custom.feature("visits as we count them", unit="count")
    def n_visits(points: Points) -> np.ndarray:
        return np.full(len(points), 7)

    table, _ = build("n_visits")
    assert table["f_n_visits_2"].tolist() == [7.0, 7.0, 7.0]
    assert table["f_n_visits"].tolist() != [7.0, 7.0, 7.0]


def test_nobody_to_describe_asks_no_function(registry):
    @custom.feature("the largest of nothing", unit="number")
    def largest(points: Points) -> np.ndarray:
        return np.full(len(points), points.cutoff.max())

    log = by_hand.events("ann 2025-03-01 web view")
    table, catalogue = features.build_features(log, link_identities(log), time("2025-02-01"), SHOP, settings("largest"))
    assert table.empty
    assert catalogue[-1].name == "largest"


# --- one sentence each ----------------------------------------------------------------------------------------------


def test_a_wrong_name_is_told_with_the_choices():
    with pytest.raises(InputError, match=r"features.custom has no 'weekend'; src/custom_features.py registers share_"):
        build("weekend")


def boom(points: Points) -> np.ndarray:
    return np.ones(len(points)) / {}["rain"]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda points: points.end[:-1], r"returned int64 of shape \(2,\); .* each of the 3 points, shape \(3,\)"),
        (lambda points: np.ones((len(points), 1)), r"returned float64 of shape \(3, 1\); .* shape \(3,\)"),
        (lambda points: 1.0, r"returned float64 of shape \(\)"),
        (lambda points: None, r"returned object of shape \(\)"),
        (lambda points: points.person_ids, r"returned object of shape \(3,\)"),
        (lambda points: 1.0 / np.zeros(len(points)), r"returned infinity; return NaN"),
        (boom, r"failed: KeyError: 'rain'"),
    ],
)
def test_a_function_that_does_wrong_is_named(registry, returned, sentence):
    @custom.feature("something wrong", unit="number")
    def wrong(points: Points) -> np.ndarray:
        with np.errstate(all="ignore"):
            return returned(points)

    with pytest.raises(InputError, match=f"custom feature wrong {sentence}"):
        build("wrong")


def test_an_unknown_unit_is_told_with_the_choices(registry):
    with pytest.raises(InputError, match="custom feature boom has the unit 'euros'; there are count, days"):
        custom.feature("euros", unit="euros")(boom)


def test_two_functions_of_one_name_are_refused_and_one_defined_again_is_not(registry):
    custom.feature("something", unit="number")(boom)
    custom.feature("something else", unit="number")(boom)
    assert registry["boom"].feature.words == "something else"
    other = type(boom)(boom.__code__, boom.__globals__, "boom")
    other.__module__ = "elsewhere"
    with pytest.raises(InputError, match="custom feature boom is registered twice"):
        custom.feature("something", unit="number")(other)


def test_a_name_that_fits_no_column_is_refused(registry):
    with pytest.raises(InputError, match="a custom feature cannot be called '<lambda>'"):
        custom.feature("something", unit="number")(lambda points: points.end)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"groups": ["counts"], "custom": ["share_weekend"]}, "groups does not name custom; add it to groups"),
        ({"groups": ["custom"], "custom": ["a", "a"]}, "custom names a feature twice"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed, sentence):
    chosen = by_hand.settings().model_dump() | changed
    with pytest.raises(InputError, match=sentence):
        check(FeaturesConfig, chosen, "conf/")

"""How well persons are found, against the truth of the simulated brand: docs/benchmark-stitching.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from identity_quality import RULES, measure, pairwise
from waymark.config import SimulateConfig


def quality(seed: int, shared_device_share: float) -> pd.DataFrame:
    """Return one row a rule and time, on a brand of some hundred persons."""
    brand = {"n_persons": 600, "start": "2025-01-01", "days": 90, "shared_device_share": shared_device_share}
    return measure(SimulateConfig.model_validate(brand), seed).set_index(["rule", "as of"])


@pytest.fixture(scope="module", params=[1, 2])
def shared(request) -> pd.DataFrame:
    return quality(request.param, 0.05)


def test_pairs_are_counted_as_by_hand():
    found = pairwise(pd.Series(list("aaabb")), np.array([0, 0, 1, 1, 1]))
    assert found == {"precision": 2 / 4, "recall": 2 / 4, "f1": 4 / 8}


def test_where_no_device_is_shared_nobody_is_taken_for_another():
    table = quality(1, 0.0)
    assert (table["precision"] == 1).all()
    one, *others = (table.xs(rule)["recall"] for rule in RULES)
    assert all(other.equals(one) for other in others)


@pytest.mark.parametrize("when", ["then", "now"])
def test_links_find_most_of_a_person_and_few_others(shared, when):
    table = shared.xs(when, level="as of")
    assert (table.loc[list(RULES), "f1"] > table.loc["no links", "f1"] + 0.1).all()
    # What one device did cannot be told apart by any link, so that no rule is better than none of them.
    assert table["precision"].idxmax() == "no links"
    assert table.loc["device_split", "precision"] > table.loc["no links", "precision"] - 0.02
    assert table.loc["device_split", "precision"] > table.loc["none", "precision"]
    assert table.loc["device_split", "recall"] < table.loc["none", "recall"]


def test_hindsight_finds_more_of_a_person_than_was_known_then(shared):
    for rule in RULES:
        assert shared.loc[(rule, "now"), "recall"] > shared.loc[(rule, "then"), "recall"] + 0.01
    assert shared.loc[("no links", "now"), "recall"] == shared.loc[("no links", "then"), "recall"]

"""Which points train and which test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import by_hand
from by_hand import ACTIVITIES, time
from waymark.eventlog import micro, read_log
from waymark.journeys import StageMap
from waymark.ledger import link_identities
from waymark.points import every_event
from waymark.splits import case_folds, cutoff_folds, keep_persons_apart, order_cases, split_cases


def folds(*lines: str, label: str | None = "2024-01-01", **changed: object) -> dict[str, list[str]]:
    """Return the fold of each prefix of each case; each label is known at `label`, or at the event itself."""
    log = by_hand.events(*lines)
    arrays = read_log(log, link_identities(log))
    points = every_event(arrays, StageMap(arrays, ACTIVITIES), micro(time("2030-01-01")))
    label_time = points.grouped.time if label is None else np.full(len(points), micro(time(label)))
    split = by_hand.split("cases", **changed)
    fold = case_folds(points, label_time, split, split_cases(order_cases(points, split), split))
    return pd.Series(fold).groupby(points.person_ids).agg(list).rename(lambda p: p.removeprefix("customer:")).to_dict()


def cases(n: int) -> list[str]:
    return [f"case{i:03} 2025-{1 + i // 25:02}-{1 + i % 25:02} - open" for i in range(n)]


@pytest.mark.parametrize(
    ("n", "fraction", "n_train"), [(10, 0.8, 8), (7, 0.8, 5), (10, 0.7, 7), (100, 0.29, 29), (1, 0.8, 0), (3, 0.5, 1)]
)
def test_the_earliest_share_of_the_cases_trains(n, fraction, n_train):
    found = folds(*cases(n)[::-1], train_fraction=fraction)
    assert list(found.values()) == [["train"]] * n_train + [["test"]] * (n - n_train)


def test_a_case_is_never_divided():
    found = folds(
        *("a 2025-01-01 - open", "b 2025-01-02 - open", "a 2025-01-05 - close", "b 2025-01-06 - close"),
        train_fraction=0.5,
    )
    assert found == {"a": ["train", "train"], "b": ["test", "test"]}


def test_cases_may_be_ordered_by_sequence():
    lines = ("a 2025-01-02 - open seq=1", "b 2025-01-01 - open seq=2", "b 2025-01-03 - close seq=3")
    by_time = folds(*lines, train_fraction=0.5, embargo=False)
    by_sequence = folds(*lines, train_fraction=0.5, order="first_sequence", embargo=False)
    assert by_time == {"a": ["test"], "b": ["train", "train"]}
    assert by_sequence == {"a": ["train"], "b": ["test", "test"]}


def test_short_prefixes_are_left_out_of_both():
    lines = [f"{case} 2025-01-0{d} - step" for case in "ab" for d in (1, 2, 3)]
    found = folds(*lines, train_fraction=0.5, min_prefix=2)
    assert found == {"a": ["embargo", "train", "train"], "b": ["embargo", "test", "test"]}


def test_labels_not_known_when_the_first_test_case_began_are_under_embargo():
    lines = ("a 2025-01-01 - open", "a 2025-01-03 - check", "b 2025-01-03 - open")
    assert folds(*lines, train_fraction=0.5, label=None)["a"] == ["train", "embargo"]
    assert folds(*lines, train_fraction=0.5, label=None, embargo=False)["a"] == ["train", "train"]
    assert folds(*lines, train_fraction=0.5, label="2025-01-02")["a"] == ["train", "train"]


def test_a_log_without_cases_has_no_folds():
    assert folds() == {}


def test_nights_test_by_name():
    nights = pd.Series([time("2025-01-01"), time("2025-01-08"), time("2025-01-15")])
    assert cutoff_folds(nights, (time("2025-01-15"), time("2025-01-08"))).tolist() == ["train", "test", "test"]
    assert cutoff_folds(nights, ()).tolist() == ["train"] * 3


def test_persons_kept_apart_test_or_train_and_the_earlier_rows_of_who_tests_are_not_used():
    lot = np.tile(pd.util.hash_array(np.arange(2000)), 3)
    night = np.repeat(["train", "train", "test"], 2000).astype(object)
    fold = keep_persons_apart(night, lot, 0.2)
    of_person = pd.Series(fold).groupby(lot).agg(set)
    assert set(map(frozenset, of_person)) == {frozenset({"train", "embargo"}), frozenset({"test", "embargo"})}
    assert (fold == "test").sum() == pytest.approx(400, abs=60)
    assert (fold[night == "train"] != "test").all() and (fold[night == "test"] != "train").all()
    again = keep_persons_apart(night[::-1], lot[::-1], 0.2)
    np.testing.assert_array_equal(again[::-1], fold)

"""Silence and next stage as one coherent forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waymark.errors import InputError
from waymark.forecast import at_horizon, combine

STAGES = ["bought", "looking", "new"]


def forecast(present: list[str], p_silent: list[float], p_next: list[list[float]], classes: list[str]) -> pd.DataFrame:
    table = np.array(p_next, float).reshape(len(present), len(classes))
    return combine(pd.Series(present, dtype="str"), {30: np.array(p_silent, float)}, table, classes, 30)


def one(present: str, p_silent: float, **p_next: float) -> dict[str, object]:
    return forecast([present], [p_silent], [list(p_next.values())], list(p_next)).iloc[0].to_dict()


def test_a_forecast_by_hand():
    row = one("looking", 0.5, bought=0.3, looking=0.0, stay=0.7)
    assert row == pytest.approx(
        {"p_silent_30d": 0.5, "p_stay": 0.35, "p_next_bought": 0.15, "p_next_looking": 0, "next_stage": "silent"}
    )


def test_the_present_stage_cannot_come_next():
    row = one("looking", 0.0, bought=0.2, looking=0.5, stay=0.3)
    assert (row["p_next_looking"], row["p_next_bought"], row["p_stay"]) == pytest.approx((0, 0.4, 0.6))


def test_the_end_of_a_case_is_left_to_silence():
    row = one("looking", 0.2, bought=0.25, stay=0.25, end=0.5)
    assert row == pytest.approx({"p_silent_30d": 0.2, "p_stay": 0.4, "p_next_bought": 0.4, "next_stage": "stay"})


@pytest.mark.parametrize(
    ("p_silent", "p_next", "expected"),
    [
        (0.9, {"bought": 0.9, "stay": 0.1}, "silent"),
        (0.1, {"bought": 0.9, "stay": 0.1}, "bought"),
        (0.1, {"bought": 0.1, "stay": 0.9}, "stay"),
        (0.3, {"bought": 0.1, "new": 0.5, "stay": 0.4}, "new"),
    ],
)
def test_the_likeliest_of_all_is_the_next_stage(p_silent, p_next, expected):
    assert one("looking", p_silent, **p_next)["next_stage"] == expected


@pytest.mark.parametrize(
    "p_next",
    [
        {"looking": 1.0, "stay": 0.0},
        {"looking": 1.0},
        {"end": 1.0},
        {"looking": 0.5, "end": 0.5},
        {"looking": 0.5, "end": 0.5, "bought": 0.0},
        {},
    ],
)
def test_whoever_is_active_and_has_nowhere_to_go_stays(p_next):
    row = one("looking", 0.25, **p_next)
    assert (row["p_silent_30d"], row["p_stay"]) == (0.25, 0.75)
    assert row["next_stage"] == "stay"


def test_stages_whose_names_read_alike_keep_columns_of_their_own():
    table = forecast(["new"], [0.0], [[0.2, 0.3, 0.5]], ["on hold", "on-hold", "stay"])
    assert len(set(table.columns)) == 5
    assert sum(table.filter(like="p_next_").iloc[0]) == pytest.approx(0.5)


def test_nobody_has_a_forecast_of_no_rows():
    table = forecast([], [], [], ["bought", "stay"])
    assert table.empty
    assert list(table.columns) == ["p_silent_30d", "p_stay", "p_next_bought", "next_stage"]


def test_rows_keep_their_index():
    stage = pd.Series(["new", "looking"], index=[7, 3], dtype="str")
    table = combine(stage, {30: np.zeros(2)}, np.full((2, 2), 0.5), ["bought", "stay"], 30)
    assert table.index.tolist() == [7, 3]


_chance = st.floats(0, 1)


@given(
    classes=st.lists(st.sampled_from([*STAGES, "stay", "end"]), min_size=1, unique=True),
    present=st.sampled_from([*STAGES, "unseen"]),
    p_silent=_chance,
    weights=st.lists(_chance, min_size=5, max_size=5),
)
@example(classes=["new", "end"], present="new", p_silent=0.5, weights=[1.0, 0.0, 0.0, 0.0, 0.0])
def test_a_forecast_is_coherent(classes, present, p_silent, weights):
    p_next = np.array(weights[: len(classes)])
    p_next = p_next / p_next.sum() if p_next.sum() > 0 else p_next
    row = forecast([present], [p_silent], [list(p_next)], classes).iloc[0]
    parts = row.drop("next_stage").astype(float)
    assert parts.sum() == pytest.approx(1, abs=1e-12)
    assert parts.between(0, 1).all()
    assert row["p_silent_30d"] == p_silent
    assert row.get(f"p_next_{present}", 0.0) == 0.0
    assert row["next_stage"] not in (present, "end")
    words = {"silent": "p_silent_30d", "stay": "p_stay"}
    assert row[words.get(row["next_stage"], f"p_next_{row['next_stage']}")] == parts.max()
    assert set(parts.index) == {"p_silent_30d", "p_stay", *(f"p_next_{c}" for c in classes if c in STAGES)}


# --- several horizons -----------------------------------------------------------------------------------------------


@given(
    silent=st.lists(_chance, min_size=3, max_size=3).map(lambda p: sorted(p, reverse=True)),
    bought=_chance,
    present=st.sampled_from(STAGES),
)
@example(silent=[1.0, 1.0, 1.0], bought=0.5, present="new")
@example(silent=[1.0, 0.0, 0.0], bought=0.0, present="looking")
def test_every_horizon_splits_into_silence_and_the_same_stages(silent, bought, present):
    by_days = {days: np.array([p]) for days, p in zip((7, 30, 90), silent, strict=True)}
    p_next = np.array([[bought, 1 - bought]])
    table = combine(pd.Series([present], dtype="str"), by_days, p_next, ["bought", "stay"], 30)
    assert [table[f"p_silent_{days}d"][0] for days in by_days] == silent
    at_30 = at_horizon(table, 30)
    assert at_30.iloc[0].to_dict() == pytest.approx(table[at_30.columns].iloc[0].to_dict())
    for days, p in zip((7, 30, 90), silent, strict=True):
        split = at_horizon(table, days).iloc[0]
        assert list(split.index) == [f"p_silent_{days}d", "p_stay", "p_next_bought"]
        assert split.sum() == pytest.approx(1)
        assert split.iloc[0] == p
        if max(silent[1], p) < 1:
            assert split["p_stay"] / (1 - p) == pytest.approx(table["p_stay"][0] / (1 - silent[1]))


def test_a_horizon_that_was_not_forecast_is_named():
    with pytest.raises(InputError, match=r"no p_silent_14d; there are p_silent_30d: see targets\.horizons_days"):
        at_horizon(forecast(["new"], [0.5], [[1.0]], ["stay"]), 14)

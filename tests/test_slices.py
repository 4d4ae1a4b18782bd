import numpy as np
import pandas as pd

from waymark.catalogue import Feature
from waymark.slices import groups_of

CATALOGUE = [
    Feature("tenure_days", "recency", "days since the first activity", "days"),
    Feature("n_activities_ever", "counts", "activities so far", "count"),
    Feature("last_channel", "channels", "the latest channel", "category", ("web", "store")),
]
ROWS = pd.DataFrame(
    {
        "stage": ["new", "new", "old", "old", "old", "old"],
        "f_tenure_days": [1.0, 2.0, 30.5, 40.0, 5000.0, np.nan],
        "f_n_activities_ever": [1.0, 1.0, 1.0, 1.0, 1.0, 9.0],
        "f_last_channel": [0.0, 1.0, np.nan, 0.0, 0.0, 1.0],
    }
)


def test_rows_are_told_apart_in_words():
    assert {by: group.tolist() for by, group in groups_of(ROWS, CATALOGUE).items()} == {
        "stage": ROWS["stage"].tolist(),
        "tenure": ["up to 2 days", "up to 2 days", "2 to 30.5 days", "over 30.5 days", "over 30.5 days", "unknown"],
        "activities": ["up to 1"] * 5 + ["over 1"],
        "channel": ["web", "store", "unknown", "web", "web", "store"],
    }


def test_what_the_features_do_not_tell_is_left_out():
    assert set(groups_of(ROWS[["stage"]], [])) == {"stage"}
    assert set(groups_of(ROWS.iloc[:0], CATALOGUE)) == {"stage", "channel"}


def test_features_without_any_value_are_one_group():
    rows = ROWS.assign(f_tenure_days=np.nan)
    assert set(groups_of(rows, CATALOGUE)["tenure"]) == {"unknown"}

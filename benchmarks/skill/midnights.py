"""BPI 2012's work items at every midnight: what comes next in each open case, whenever it comes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skill.judging import judge
from skill.logs import Points, describe, settings_of, take_in
from waymark import schema
from waymark.clock import TrainClock
from waymark.ledger import CUSTOMER
from waymark.targets import STAY

TEST_SHARE = 0.2  # of the nights, the newest
DAY = pd.Timedelta(days=1)
SNAPSHOTS = {
    "features": {"points": "snapshots", "population": {"active_within_days": 400}},
    "targets": {"end_of_case": "excluded"},
    "split": {"kind": "cutoffs", "step_days": 1},
}


def judge_midnights(logs: Path, without: Sequence[str] = ()) -> dict[str, Any]:
    """Judge forecasts of the next work item of every case that goes on; of models `without` some groups of features."""
    points = midnights(logs)
    used = points.settings.features
    features = used.model_copy(update={"groups": [group for group in used.groups if group not in without]})
    settings = points.settings.model_copy(update={"features": features})
    return judge(replace(points, settings=settings), "next_stage")


def midnights(logs: Path) -> Points:
    """Return a point for each open case and midnight; one whose label was known when the tests begin trains."""
    settings = settings_of("bpic2012", logs / "bpic2012", **SNAPSHOTS)
    with tempfile.TemporaryDirectory() as folder:
        events = take_in(settings, Path(folder)).events()
    events = events[events["event_type"].astype("str").str.startswith("W_")].reset_index(drop=True)
    first, end = events["event_time"].min().ceil("D"), events["event_time"].max().ceil("D")
    nights = tuple(t.as_unit("us") for t in pd.date_range(first, end - DAY, freq="D"))
    n_train = round(len(nights) * (1 - TEST_SHARE))
    points = describe(events, TrainClock(end.as_unit("us"), nights[:n_train], nights[n_train:], ""), settings)
    return what_comes_next(points, events)


def what_comes_next(points: Points, events: pd.DataFrame) -> Points:
    """Return the points of cases that go on, the type of their next event in the place of the next stage.

    `stay` is one of the type that the latest event had.
    """
    key = list(schema.FEATURES.key)
    ahead = events.sort_values(["event_time", "sequence"])[["customer_id", "event_time", "event_type"]]
    ahead = ahead.assign(person_id=(CUSTOMER + ahead.pop("customer_id").astype("str")).astype("str"))
    now = points.rows[[*key, "stage"]].sort_values("cutoff_time")
    on = {"left_on": "cutoff_time", "right_on": "event_time", "by": "person_id", "direction": "forward"}
    now = pd.merge_asof(now, ahead, **on).dropna(subset="event_type")
    truth = points.truth.merge(now, on=key, validate="one_to_one")
    is_test, comes = truth["fold"] == "test", truth["event_type"].to_numpy(object)
    is_late = ~is_test & (truth["event_time"] >= truth.loc[is_test, "cutoff_time"].min())
    label = np.where(is_late, None, np.where(comes == truth["stage"].to_numpy(object), STAY, comes))
    status = np.where(is_late, "immature", "mature").astype(object)
    truth = truth.assign(next_stage=pd.array(label, "str"), next_stage_status=pd.array(status, "str"))
    rows = points.rows.merge(truth[key], on=key, validate="one_to_one")
    return replace(points, rows=rows, truth=truth[points.truth.columns])

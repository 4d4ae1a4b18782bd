"""Logs in which one target cannot be modelled: the other one is, everybody is forecast, and the page says why."""

import html
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from small_project import finish
from waymark import tables

pytestmark = pytest.mark.slow

SOURCE = """\
# @package _global_
{defaults}
source:
  name: tiny
  feeds:
    log:
      files: ["*.csv"]
      columns: {{event_time: at, customer_id: who, event_type: what}}
"""
CASES = """\
defaults:
  - override /journey: activities
  - override /features: every_event
  - override /targets: next_activity
  - override /split: cases
  - _self_
"""
PARAMS = {
    "source": "tiny",
    "landing": "data/landing/tiny",
    "model": "hazard",
    "cutoff_time": "latest",
    "seed": 7,
    "set": {"split": {"n_train": 6, "n_test": 2}, "evaluate": {"n_bootstrap": 20}},
}
SCRIPT = """\
import sys
sys.path.insert(0, {tests!r})
import small_project
import test_tiny_logs
test_tiny_logs.write({name!r})
small_project.main()
"""
BEGIN = pd.Timestamp("2025-01-06")


def visits(n_persons, rate, types, days=200, leave=True):
    """Return events: each person comes on some days, and half of them stay away for good where they `leave`."""
    rng = np.random.default_rng(1)
    events = []
    for person in range(n_persons):
        last = rng.integers(20, days * 2) if leave else days
        events += [
            (BEGIN + pd.Timedelta(days=day, minutes=int(rng.integers(600, 1200))), f"c{person:03d}", rng.choice(types))
            for day in range(days)
            if day < last and rng.random() < rate
        ]
    return events


def cases():
    """Return cases that all end within a day, the last of them a week before the log does."""
    rng = np.random.default_rng(1)
    events = []
    for case in range(200):
        at = BEGIN + pd.Timedelta(hours=3 * case)
        for what in ["open", *rng.choice(["ask", "check"], rng.integers(1, 4)), "close"]:
            events.append((at, f"case{case:03d}", what))
            at += pd.Timedelta(minutes=30)
    return events


LOGS = {
    "one event type": (lambda: visits(300, 0.05, ["ping"]), ""),
    "no churner": (
        lambda: visits(150, 0.7, ["page_view", "product_view", "add_to_cart", "order"], 120, leave=False),
        "",
    ),
    "cases that all end": (cases, CASES),
    "one person": (lambda: visits(1, 0.5, ["page_view", "product_view", "order"]), ""),
}


def made(folder, name):
    """Return the project of a log, all steps done."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), name=name))
    return finish(folder / "project", PARAMS, str(script))


def write(name):
    """Make a log, and its mapping, in the project that one is in."""
    make, defaults = LOGS[name]
    Path("conf/source/tiny.yaml").write_text(SOURCE.format(defaults=defaults))
    log = pd.DataFrame(make(), columns=["at", "who", "what"]).sort_values("at", kind="stable")
    Path("data/landing/tiny").mkdir(parents=True)
    log.to_csv("data/landing/tiny/log.csv", index=False)


@pytest.mark.parametrize(
    ("name", "missing", "why"),
    [
        ("one event type", "next_stage", "rows to learn from are 'stay'"),
        ("no churner", "churn", "rows to learn from are 'active'"),
        ("cases that all end", "churn", "0 rows to learn from, and at least 50 are needed"),
    ],
)
def test_what_cannot_be_modelled_does_not_hold_up_the_rest(tmp_path, name, missing, why):
    project = made(tmp_path, name)
    [other] = {"next_stage", "churn"} - {missing}
    evaluation, promotion = (tables.read_json(project / f"reports/{n}.json") for n in ("evaluation", "promotion"))
    assert why in evaluation["not_modelled"][missing]
    assert list(evaluation["targets"]) == [other] and evaluation["targets"][other]["models"]
    assert promotion[missing]["reigns"][-1]["name"] == "most_frequent"
    assert promotion[missing]["verdict"].endswith(evaluation["not_modelled"][missing])
    assert promotion[other]["contenders"]
    [night] = (project / "data/predictions").iterdir()
    predictions, baseline = (pd.read_parquet(night / f"{n}.parquet") for n in ("predictions", "baseline"))
    assert len(predictions) == len(baseline) > 100
    for forecast in (predictions, baseline):
        [silent] = [c for c in forecast if c.startswith("p_silent_")][:1]
        assert forecast[silent].between(0, 1).all()
        if missing == "churn":
            assert len(set(forecast[silent])) == 1 and 0 < forecast[silent].iloc[0] < 1
    assert f"not modelled: {html.escape(evaluation['not_modelled'][missing])}" in (
        project / "reports/report.html"
    ).read_text(encoding="utf-8")


def test_a_log_of_one_person_ends_in_one_sentence(tmp_path):
    with pytest.raises(AssertionError) as stopped:
        made(tmp_path, "one person")
    last = str(stopped.value).splitlines()
    assert any("next_stage cannot be modelled: " in line and "churn cannot be modelled: " in line for line in last)
    assert not (tmp_path / "project/models/next_stage").exists()

"""The rivals of `make benchmark` compute what we compute, and the harness measures something."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from kernels import JOURNEY, SETTINGS, draw_log, end_of, learn
from speed.agreement import differences
from speed.canonical import events_of, plan_for
from speed.costs import Costs
from speed.goals import goals
from speed.measuring import Cost, Failed, measure
from speed.plan import DAY
from speed.sizes import PROFILED
from speed.table import show
from waymark.config import FeaturesConfig, JourneyConfig
from waymark.features import describe_tonight

RIVALS = ["duckdb", "polars", "pandas"]
DETOURS = JourneyConfig(**JOURNEY.model_dump() | {"allowed": {"s0": ["s1"], "s2": ["s0", "s3"], "none": ["s4"]}})


@pytest.mark.parametrize("rival", RIVALS)
def test_rivals_compute_what_we_compute(rival, tmp_path: Path):
    pytest.importorskip(rival)
    log = draw_log(6000)
    settings = FeaturesConfig(points="snapshots", population={}, max_categories=250, **SETTINGS["some"])
    known, tonight = learn(log, settings), end_of(log) - 60 * DAY
    ours, _ = describe_tonight(log, pd.Timestamp(tonight, unit="us", tz="UTC"), DETOURS, settings, known)
    pq.write_table(events_of(log, end_of(log)), tmp_path / "events.parquet")
    module = importlib.import_module(f"speed.in_{rival}")
    module.write_features(
        tmp_path / "events.parquet", plan_for(tonight, DETOURS, settings, known), tmp_path / "theirs.parquet"
    )
    assert len(ours) > 100
    assert differences(ours.to_pandas(), pd.read_parquet(tmp_path / "theirs.parquet")) == []


@pytest.mark.parametrize("script", ["walks", "canonical", "deliveries", "profiling", "nochange"])
def test_scripts_find_what_they_import_of_ours(script):
    importlib.import_module(f"speed.{script}")


def test_a_feature_that_differs_is_named():
    ours = pd.DataFrame({"f_n_visits": [1.0, 2.0], "f_tenure_days": [3.0, 4.0]})
    assert differences(ours, ours[::-1]) == []
    assert differences(ours, ours.assign(f_tenure_days=[3.0, 4.1])) == ["f_tenure_days"]
    assert differences(ours, ours[["f_n_visits"]]) == ["f_tenure_days"]
    assert differences(ours, ours[:1]) == ["1 persons instead of 2"]


WORK = "import time; room = bytearray(b'1' * 100_000_000)\nwhile time.process_time() < 0.3: pass\nprint(len(room))"


def test_the_harness_measures_the_child_and_not_itself(tmp_path: Path):
    cost, printed = measure([sys.executable, "-c", WORK], tmp_path)
    assert printed == "100000000\n"
    assert 0.3 <= cost.cpu < 5
    assert cost.wall >= 0.2
    assert cost.peak > 100


ORPHAN = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORK!r}])"


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else adopts orphans")
def test_the_harness_measures_what_outlives_the_child(tmp_path: Path):
    cost, printed = measure([sys.executable, "-W", "ignore", "-c", ORPHAN], tmp_path)
    assert printed == "100000000\n"
    assert cost.cpu >= 0.3
    assert cost.peak > 100


def test_a_failure_tells_what_was_printed(tmp_path: Path):
    with pytest.raises(Failed, match=r"ended with 3: no such thing"):
        measure([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], tmp_path)


def test_what_was_measured_is_not_measured_again(tmp_path: Path):
    Costs(tmp_path / "costs.json").measure("ingest", lambda: Cost(20.0, 30.0, 40.0))
    again = Costs(tmp_path / "costs.json")
    again.measure("ingest", lambda: os.abort())
    assert again.total("ingest") == 20.0
    assert again.total("ingest", "clock") is None


def test_the_tables_have_a_line_for_each_thing_that_was_measured(tmp_path: Path):
    sizes = {}
    for n in (1_000_000, 10_000_000):
        sizes[n] = costs = Costs(tmp_path / f"{n}.json")
        for name in ("read", "sort", "features_score", "dask features_score", "peer tsfresh"):
            costs.measure(name, lambda cpu=n / 1e6: Cost(cpu, 2 * cpu, 100.0))
        costs.measure("pandas", lambda: measure([sys.executable, "-c", "print('too\\nlarge'); exit(1)"], tmp_path)[0])
        costs.note("duckdb differs", lambda: "f_stage")
        costs.note("version of tsfresh", lambda: "tsfresh 1, pandas 3")
        for step in PROFILED:
            costs.note(f"profile of {step}", lambda: [["7.0", "CPU seconds"], ["60.0", "here"], ["40.0", "(rest)"]])
    printed = show(sizes, Costs(tmp_path / "none.json"), [])
    assert "| **features of tonight**, the step | 1.00 | 1.00 | 10.0 | 20.0 | 100 |" in printed
    assert "| the same features in pandas | failed: " in printed and "too large" in printed
    assert "duckdb differs in f_stage." in printed
    assert "| **features of tonight**, the step | 1.00 | 1 M to 10 M |" in printed
    assert "### Profile of ingest, 10 M events, 7.0 CPU s\n\n| where | % of CPU time |" in printed
    assert "| tsfresh 1, pandas 3, 1 M events | 1.00 | 1.0 | 2.0 | 100 |" in printed


def test_a_goal_that_is_missed_says_so(tmp_path: Path):
    costs = Costs(tmp_path / "costs.json")
    for name, cpu in (("walk snapshots", 8.0), ("sort", 10.0), ("features_score", 1.0), ("duckdb", 9.0)):
        costs.measure(name, lambda cpu=cpu: Cost(cpu, cpu, 100.0))
    found = {(goal.what, goal.wanted): goal.is_reached for goal in goals({10: costs}, Costs(tmp_path / "none.json"))}
    assert found["features of tonight, made and not written", "<= 0.7 x DuckDB's read + sort"] is False
    assert found["features of tonight, the step", "<= 1/8 of duckdb"] is True
    assert found["features of tonight, the step", "<= 1/8 of pandas"] is None

"""What `make repro` ends with."""

from pathlib import Path

import pandas as pd
import pytest

from waymark import tables, tracking
from waymark.clock import ScoreClock
from waymark.errors import InputError
from waymark.where import where

NIGHT = pd.Timestamp("2025-06-02", tz="UTC")


@pytest.fixture
def night(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "ROOT", tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tables.PREDICTIONS / "cutoff_date=2025-06-02"
    clock = ScoreClock(NIGHT, NIGHT - pd.Timedelta(hours=3), "data0001")
    tables.write_json(clock.to_json(), tables.CLOCK / "score.json")
    tables.write_json({"n_persons": 12345}, folder / "manifest.json")
    tables.write_json({"run_id": "run77"}, tables.REPORTS / "mlflow_run.json")
    return tmp_path


def test_three_lines_say_where_predictions_report_and_experiments_are(night: Path):
    predictions, report, store = where().splitlines()
    assert "data/predictions/cutoff_date=2025-06-02/predictions.parquet" in predictions
    assert "12,345 persons as of 2025-06-02 00:00 UTC" in predictions
    assert str(night / "reports/report.html") in report
    assert f"sqlite:///{night}/mlflow.db" in store and "run77" in store


def test_a_store_elsewhere_is_named(night: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    assert "http://mlflow.example.org" in where()


def test_before_the_first_night_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"data/clock/score.json does not exist; `dvc repro -P` makes it"):
        where()

"""Two full runs from nothing, in two folders that share nothing, end with the same bytes."""

from pathlib import Path

import pytest

from project import ALL_STEPS, RESULTS, finished, new

pytestmark = pytest.mark.slow


def test_two_runs_from_nothing_write_the_same_bytes(tmp_path_factory, tmp_path: Path):
    ours = finished(tmp_path_factory.getbasetemp())
    twin = new(tmp_path / "elsewhere" / "called_otherwise")
    assert twin.repro() == ALL_STEPS
    assert twin.files(*RESULTS) == ours.files(*RESULTS)
    published = next(twin.path("data/predictions").iterdir()).relative_to(twin.root).as_posix()
    assert {
        *(
            "data/store/manifest.json",
            "data/features/score.arrow",
            "data/targets.parquet",
            "reports/metrics.json",
        ),
        *("models/churn/model.skops", "models/next_stage/model.skops", "reports/mlflow_run.json"),
        *("models/champion/succession.json", "reports/promotion.json"),
        *(f"{published}/predictions.parquet", f"{published}/manifest.json", "reports/report.html"),
    } <= set(ours.files(*RESULTS))

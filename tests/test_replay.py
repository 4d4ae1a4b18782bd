"""Any past night is rebuilt from the delivered files, to the byte, whatever was delivered since."""

from datetime import date, timedelta

import pandas as pd
import pytest

from project import Project, finished

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nights(tmp_path_factory) -> tuple[Project, list[str]]:
    """A simulated brand with three published nights, the latest first; then a file with news of before came in."""
    base = tmp_path_factory.getbasetemp()
    project = finished(base).copy(base / "replay")
    [latest] = [p.name.removeprefix("cutoff_date=") for p in project.path("data/predictions").iterdir()]
    dates = [latest, *(str(date.fromisoformat(latest) - timedelta(days=n)) for n in (1, 40))]
    for night in dates[1:]:
        project.choose(cutoff_time=night)
        project.repro()
    late = pd.read_csv(sorted(project.path("data/landing/simulated/store").glob("*.csv"))[0], dtype="str").head(30)
    late = late.assign(receipt="late " + late["receipt"], received_at=f"{latest}T12:00:00")
    late.to_csv(project.path("data/landing/simulated/store/late.csv"), index=False)
    return project, dates


@pytest.mark.parametrize("nth", range(3))
def test_a_past_night_comes_out_the_same(nights, nth):
    project, dates = nights
    before = project.files("data", "models", "reports", "mlflow.db", "resolved.yaml")
    said = project.run("python", "src/run.py", "waymark.replay", f"cutoff_date={dates[nth]}")
    assert said.splitlines()[-1] == f"cutoff_date={dates[nth]}: the same bytes"
    assert project.files("data", "models", "reports", "mlflow.db", "resolved.yaml") == before


def test_a_night_whose_files_were_changed_is_refused_by_name(nights):
    project, dates = nights
    first = sorted(project.path("data/landing/simulated/store").glob("*.csv"))[0]
    kept = first.read_text()
    first.write_text("".join(kept.splitlines(keepends=True)[:-5]))
    said = project.run("python", "src/run.py", "waymark.replay", f"cutoff_date={dates[0]}", fails=True)
    first.write_text(kept)
    assert "no longer holds what the night" in said


def test_a_night_that_never_was_is_refused_with_the_choices(nights):
    project, dates = nights
    said = project.run("python", "src/run.py", "waymark.replay", "cutoff_date=1999-01-01", fails=True)
    assert all(night in said for night in dates)

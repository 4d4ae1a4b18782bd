"""Any past night is rebuilt from the delivered files, to the byte, whatever was delivered since."""

from datetime import date, timedelta

import pandas as pd
import pytest
import yaml

from project import Project, finished
from waymark import tables
from waymark.clock import ScoreClock, TrainClock
from waymark.config import IdentityConfig, SourceConfig, check
from waymark.errors import InputError
from waymark.replay import replay
from waymark.scoring import MANIFEST, SETTINGS
from waymark.store.landing import ingest
from waymark.store.store import Store

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


@pytest.mark.parametrize("delivered", [None, r"(\d{4}-\d\d-\d\d)"])
def test_events_of_before_that_came_later_are_named_as_a_cause_where_nothing_dates_them(tmp_path, delivered):
    feed = {"files": ["*.csv"], "columns": {"event_time": "at", "customer_id": "who"}, "delivered": delivered}
    source = {"name": "shop", "feeds": {"visits": feed | {"constants": {"event_type": "visit"}}}}
    landing, published = tmp_path / "landing", tmp_path / "cutoff_date=2024-01-04"
    for name, text in {
        "2024-01-03.csv": "at,who\n2024-01-01,ann\n",
        "2024-01-05.csv": "at,who\n2024-01-02,bob\n",
    }.items():
        tables.write_text(text, landing / name)
        if name < "2024-01-04":
            ingest(landing, check(SourceConfig, source, "source"), IdentityConfig(), tmp_path / "store")
    night = pd.Timestamp("2024-01-04", tz="UTC")
    version = Store(tmp_path / "store").facts.version_as_of(night)
    clocks = {
        "train": TrainClock(night, (), (), version).to_json(),
        "score": ScoreClock(night, night, version).to_json(),
    }
    tables.write_text(yaml.safe_dump({"landing": str(landing), "source": source, "identity": {}}), published / SETTINGS)
    tables.write_json({"clocks": clocks}, published / MANIFEST)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as stop:
        replay(published, tmp_path / "folder")
    assert ("no longer holds what the night cutoff_date=2024-01-04 saw" in str(stop.value)) == (delivered is None)
    cause = "a later file holds events dated before it (nothing tells when those of feed visits were known)"
    assert (cause in str(stop.value)) == (delivered is None)


def test_a_night_that_never_was_is_refused_with_the_choices(nights):
    project, dates = nights
    said = project.run("python", "src/run.py", "waymark.replay", "cutoff_date=1999-01-01", fails=True)
    assert all(night in said for night in dates)

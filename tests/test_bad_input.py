"""Bad input through the command line: one sentence, exit code not 0, and everything made before stays as it was."""

import gzip

import pytest

from project import SHOP, Project, finished, new

pytestmark = pytest.mark.slow

GOOD = "at,seen,who,what,paid\n" + "".join(
    f"2025-01-{day:02d}T10:00:00Z,2025-01-{day:02d}T11:00:00Z,ann,bought,9.90\n" for day in range(1, 21)
)
KEPT = ("data", "reports", "resolved.yaml", "params.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Project:
    """A shop that has ingested one good file."""
    project = new(tmp_path_factory.mktemp("shop") / "shop")
    project.path("conf/source/corner_shop.yaml").write_text(SHOP)
    landing = project.root.parent / "landing"
    landing.mkdir()
    (landing / "day.csv").write_text(GOOD)
    project.choose(source="corner_shop", landing=str(landing), set={})
    project.step("config")
    project.step("ingest")
    return project


@pytest.fixture
def shop(made, tmp_path) -> Project:
    twin = made.copy(tmp_path / "shop")
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "day.csv").write_text(GOOD)
    twin.choose(landing=str(landing))
    twin.step("config")
    return twin


def says(project: Project, step: str, *words: str) -> None:
    """The step fails with one sentence of ours that holds all `words`, and leaves every file as it was."""
    before = project.files(*KEPT)
    assert {"data/store/manifest.json", "resolved.yaml"} <= set(before)
    printed = project.step(step, fails=True)
    sentences = [line for line in printed.splitlines() if line.startswith("waymark: ")]
    assert len(sentences) == 1 and "Traceback" not in printed, printed
    assert all(word in sentences[0] for word in words), sentences[0]
    assert project.files(*KEPT) == before


def landing(project: Project):
    return project.root.parent / "landing"


def test_a_missing_column(shop):
    (landing(shop) / "day.csv").write_text(GOOD.replace("who", "whom", 1))
    says(shop, "ingest", "day.csv", "who", "whom")


def test_dates_that_cannot_be_read(shop):
    (landing(shop) / "day.csv").write_text(GOOD.replace("2025-01-0", "in January "))
    says(shop, "ingest", "day.csv", "event_time", "max_reject_share", "in January")


def test_a_gzip_that_was_cut_off(shop):
    shop.edit("conf/source/corner_shop.yaml", '["*.csv"]', '["*.csv*"]')
    shop.step("config")
    (landing(shop) / "more.csv.gz").write_bytes(gzip.compress(GOOD.encode() * 50)[:-20])
    says(shop, "ingest", "more.csv.gz", "cut off")


def test_an_empty_landing_folder(shop):
    (landing(shop) / "day.csv").unlink()
    says(shop, "ingest", str(landing(shop)), "*.csv")


def test_a_landing_folder_that_is_not_there(shop):
    shop.choose(landing="nowhere")
    shop.step("config")
    says(shop, "ingest", "nowhere")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"source": "corner_shopp"}, ("corner_shopp", "corner_shop", "online_retail")),
        ({"sauce": "corner_shop"}, ("sauce", "source")),
        ({"set": {"targets": {"horizon_days": -3}}}, ("targets.horizon_days", "-3")),
        ({"set": {"features": {"window_days": [3]}}}, ("window_days", "windows_days")),
        ({"cutoff_time": "tonight"}, ("cutoff_time", "tonight")),
    ],
)
def test_choices_and_settings_that_do_not_exist(shop, choices, words):
    shop.choose(**choices)
    says(shop, "config", *words)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"cutoff_time": "2020-01-01"}, ("cutoff_time", "2020-01-01", "2025-01")),
        ({"cutoff_time": "2030-01-01"}, ("cutoff_time", "2030-01-01", "latest")),
        ({}, ("no training cut-off", "days")),
    ],
)
def test_a_night_that_cannot_be(shop, choices, words):
    shop.choose(**choices)
    shop.step("config")
    says(shop, "clock", *words)


def test_the_nightly_run_stops_and_yesterdays_results_stay(tmp_path_factory, tmp_path):
    project = finished(tmp_path_factory.getbasetemp()).copy(tmp_path / "brand")
    kept = ("data/store", "data/predictions", "reports/report.html", "resolved.yaml")
    before = project.files(*kept)
    assert len(before) >= 5
    project.choose(source="no_such_brand")
    printed = project.run("dvc", "repro", "-P", fails=True)
    assert "waymark: params.yaml: no source is called 'no_such_brand'" in printed
    assert project.files(*kept) == before


def test_the_next_night_repairs_what_a_stopped_one_took_away(tmp_path_factory, tmp_path):
    project = finished(tmp_path_factory.getbasetemp()).copy(tmp_path / "brand")
    before = project.files("data", "models", "reports", "resolved.yaml")
    project.choose(cutoff_time="2020-01-01")
    assert "is before the first known event" in project.run("dvc", "repro", "-P", fails=True)
    project.choose(cutoff_time="latest")
    project.repro()
    assert project.files("data", "models", "reports", "resolved.yaml") == before


def test_a_choice_that_cannot_be_is_not_written(shop):
    before = shop.files("params.yaml")
    for choice, word in (("landing=nowhere", "nowhere does not exist"), ("source=shed", "no source is called 'shed'")):
        assert word in shop.run("python", "src/run.py", "waymark.choose", choice, fails=True)
    assert shop.files("params.yaml") == before

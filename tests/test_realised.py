"""Past nights are graded once, by what was known when their horizon had passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import by_hand
from by_hand import ACTIVITIES, SHOP, time
from project import N_DAYS, OPENED, Project, deliver, finished_shop
from waymark import schema, scoring, tables
from waymark.clock import ScoreClock, TrainClock
from waymark.eventlog import read_log
from waymark.ledger import link_identities
from waymark.realised import grade_nights, nights_to_grade, read_grades

NIGHT, RIPE = time("2025-02-01"), time("2025-03-03")  # 30 days later
BEFORE = ("ann 2025-01-20 web view", "bob 2025-01-21 web view", "cal 2025-01-22 web view", "dan 2025-01-23 store order")
AFTER = ("ann 2025-02-10 store order", "bob 2025-02-11 web view", "dan 2025-02-12 store complaint")
# Person: p(silent), p(stay), p(bought), p(looking); all but Dan are `looking`.
FORECAST = {"ann": (0.1, 0.3, 0.6, 0), "bob": (0.4, 0.3, 0.3, 0), "cal": (0.8, 0.1, 0.1, 0), "dan": (0.6, 0.2, 0, 0.2)}
SHARES = dict.fromkeys(FORECAST, (0.5, 0.25, 0.125, 0.125))
MODELS = {
    "champion": {"next_stage": {"name": "lightgbm", "version": "n1"}, "churn": {"name": "lightgbm", "version": "c1"}},
    "baseline": {"next_stage": {"name": "back_off", "version": "b1"}, "churn": {"name": "recency", "version": "r1"}},
}


def table(forecast: dict[str, tuple], role: str) -> pd.DataFrame:
    p = pd.DataFrame(list(forecast.values()), columns=["p_silent_30d", "p_stay", "p_next_bought", "p_next_looking"])
    frame = p.assign(person_id=pd.array([f"customer:{who}" for who in forecast], "str"))
    frame.attrs = {"models": MODELS[role], "next_stages": {"p_next_bought": "bought", "p_next_looking": "looking"}}
    return frame


def publish(
    root: Path,
    forecast: dict[str, tuple] = FORECAST,
    *,
    night: pd.Timestamp = NIGHT,
    learnt_until: pd.Timestamp = NIGHT,
    source: str = "shop",
    gap_days: int = 0,
    has_baseline: bool = True,
    **changed: Any,
) -> Path:
    """Publish a night of forecasts typed by hand."""
    predictions = table(forecast, "champion")
    attrs = predictions.attrs
    words = ["next_stage", *(f"reason_{i}" for i in (1, 2, 3)), "data_version"]
    words += [f"{what}_{target}" for what in ("model_version", "mlflow_run_id") for target in ("next_stage", "churn")]
    stage = ["bought" if who == "dan" else "looking" for who in forecast]
    predictions = predictions.assign(
        **dict.fromkeys(words, "-"),
        **dict.fromkeys(("return_days", "return_days_low", "return_days_high")),
        stage=stage,
        stage_since=night,
        cutoff_time=night,
        scored_at_cutoff=night,
    )
    predictions.attrs = attrs
    settings = {
        "journey": SHOP.model_dump(mode="json"),
        "identity": {},
        "features": by_hand.settings(population={}).model_dump(mode="json"),
        "targets": by_hand.targets().model_dump(mode="json"),
        "split": by_hand.split(gap_days=gap_days).model_dump(mode="json"),
    } | changed
    baseline = table(dict.fromkeys(forecast, SHARES["ann"]), "baseline") if has_baseline else None
    clocks = ScoreClock(night, night, "d1"), TrainClock(learnt_until, (), (), "d0")
    why = pd.DataFrame(columns=list(schema.REASONS.columns))  # nobody was told why
    scored = [(predictions, why)]
    return scoring.publish(
        scored, len(predictions), *clocks, source, root, settings, None if baseline is None else [baseline]
    )


def grade(root: Path, *lines: str, tonight: pd.Timestamp = RIPE, done: pd.DataFrame | None = None) -> pd.DataFrame:
    log = by_hand.events(*(lines or (*BEFORE, *AFTER)))
    nights = nights_to_grade(tonight, "shop", root)
    return grade_nights(nights, lambda rules: [read_log(log, link_identities(log), rules)], done)


def of(grades: pd.DataFrame, target: str, role: str = "champion") -> dict[str, Any]:
    [row] = grades[(grades["target"] == target) & (grades["role"] == role)].to_dict("records")
    return row


def test_grades_are_what_a_sum_by_hand_says(tmp_path):
    publish(tmp_path)
    grades = grade(tmp_path)
    churn = of(grades, "churn")  # Cal alone went silent
    assert churn["n"] == 4 and (churn["model"], churn["version"]) == ("lightgbm", "c1")
    assert churn["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.8, 0.4]).mean(), abs=1e-6)
    assert churn["brier"] == pytest.approx(np.mean([0.01, 0.16, 0.04, 0.36]), abs=1e-6)
    assert churn["auc"] == 1
    assert (churn["predicted"], churn["observed"]) == (pytest.approx(0.475), 0.25)
    # Of the active: Ann bought, Bob stayed, Dan got into trouble, which no model had foreseen.
    stage = of(grades, "next_stage")
    assert stage["n"] == 3
    assert stage["log_loss"] == pytest.approx(-np.log([0.6 / 0.9, 0.3 / 0.6, 1e-6]).mean(), abs=1e-6)
    assert np.isnan(stage["auc"])
    assert stage["observed"] == pytest.approx(2 / 3, abs=1e-6)  # Bob's tie goes to the first, which is to stay
    assert of(grades, "churn", "baseline")["log_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert of(grades, "next_stage", "baseline")["model"] == "back_off"
    schema.to_arrow(grades, schema.REALISED)


@pytest.mark.parametrize("is_earlier", [False, True])
def test_a_baseline_that_knows_other_stages_than_the_champion_is_graded_by_its_own(tmp_path, monkeypatch, is_earlier):
    """A champion of an earlier training may know a stage that tonight's baseline does not, and the other way round."""

    def differing(forecast, role, plain=table):
        frame = plain(forecast, role)
        if role == "champion":
            return frame
        attrs = frame.attrs | {"next_stages": {"p_next_bought": "bought"}}
        frame = frame.assign(p_stay=frame["p_stay"] + frame["p_next_looking"]).drop(columns="p_next_looking")
        frame.attrs = attrs
        return frame

    monkeypatch.setitem(globals(), "table", differing)
    folder = publish(tmp_path)
    if is_earlier:
        manifest = tables.read_json(folder / "manifest.json")
        tables.write_json({k: v for k, v in manifest.items() if k != "next_stages_of"}, folder / "manifest.json")
    stage = of(grade(tmp_path), "next_stage", "baseline")  # Ann bought, Bob stayed, Dan did what nobody had foreseen
    assert stage["log_loss"] == pytest.approx(-np.log([0.125 / 0.5, 0.375 / 0.5, 1e-6]).mean(), abs=1e-6)


def test_a_night_is_graded_from_the_moment_on_when_its_horizon_has_passed(tmp_path):
    publish(tmp_path)
    assert grade(tmp_path, tonight=RIPE - pd.Timedelta(days=1)).empty
    assert len(grade(tmp_path, tonight=RIPE)) == 4
    schema.to_arrow(grade(tmp_path, tonight=NIGHT), schema.REALISED)


def test_what_is_told_after_that_changes_no_grade(tmp_path):
    publish(tmp_path)
    told_late = (
        "cal 2025-02-20 web view known=2025-03-03",
        "cal~phone 2025-03-04 app login",
        "dan 2025-03-05 web view",
    )
    later = time("2025-06-01")
    assert_frame_equal(grade(tmp_path, *BEFORE, *AFTER, *told_late, tonight=later), grade(tmp_path))
    told_in_time = grade(tmp_path, *BEFORE, *AFTER, "cal 2025-02-20 web view known=2025-03-02")
    assert of(told_in_time, "churn")["observed"] == 0
    assert np.isnan(of(told_in_time, "churn")["auc"])


def test_the_gap_of_the_split_is_waited_for_what_is_told_late(tmp_path):
    publish(tmp_path, gap_days=2)
    late = (*BEFORE, *AFTER, "cal 2025-02-20 web view known=2025-03-04")
    assert grade(tmp_path, *late, tonight=time("2025-03-04")).empty
    assert of(grade(tmp_path, *late, tonight=time("2025-03-05")), "churn")["observed"] == 0


def test_a_night_whose_models_had_seen_what_came_after_is_no_forecast(tmp_path):
    publish(tmp_path, learnt_until=NIGHT + pd.Timedelta(days=1))
    assert grade(tmp_path).empty


def test_nights_of_other_sources_and_of_earlier_versions_are_left_alone(tmp_path):
    publish(tmp_path, source="elsewhere")
    old = publish(tmp_path, night=NIGHT - pd.Timedelta(days=1))
    manifest = tables.read_json(old / "manifest.json")
    tables.write_json({k: v for k, v in manifest.items() if k != "models"}, old / "manifest.json")
    assert grade(tmp_path).empty


def test_a_night_without_baselines_is_graded_alone(tmp_path):
    publish(tmp_path, has_baseline=False)
    assert set(grade(tmp_path)["role"]) == {"champion"}


def test_only_new_nights_are_graded_and_it_comes_to_the_same(tmp_path):
    publish(tmp_path)
    first = grade(tmp_path)
    publish(tmp_path, night=NIGHT + pd.Timedelta(days=2), learnt_until=NIGHT)
    later = RIPE + pd.Timedelta(days=2)
    tables.write(first, tmp_path / "realised.parquet", schema.REALISED)
    done = read_grades(tmp_path / "realised.parquet")
    assert read_grades(tmp_path / "none.parquet") is None
    both = grade(tmp_path, tonight=later, done=done)
    assert_frame_equal(both, grade(tmp_path, tonight=later), check_dtype=False)
    assert_frame_equal(both.iloc[:4], first, check_dtype=False)
    assert_frame_equal(grade(tmp_path, tonight=NIGHT, done=done), first, check_dtype=False)  # nor does looking back
    # A grade that was given stays even where the past is rewritten, and one of other forecasts does not.
    rewritten = grade(tmp_path, *BEFORE, tonight=later, done=done)
    assert_frame_equal(rewritten.iloc[:4], first, check_dtype=False)
    publish(tmp_path, SHARES)
    assert of(grade(tmp_path, done=done), "churn")["log_loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_a_customer_known_by_then_is_the_device_of_the_night(tmp_path):
    publish(tmp_path, {"ann": FORECAST["ann"]})
    silent = ("ann 2025-01-20 web view", "~phone 2025-01-20 web view", "~phone 2025-02-20 web view")
    assert of(grade(tmp_path, *silent), "churn")["observed"] == 1
    assert of(grade(tmp_path, *silent, "ann~phone 2025-03-02 app login"), "churn")["observed"] == 0
    assert of(grade(tmp_path, *silent, "ann~phone 2025-03-02 app login known=2025-03-04"), "churn")["observed"] == 1


def test_running_cases_are_graded_by_the_event_that_came_next(tmp_path):
    changed = {
        "journey": ACTIVITIES.model_dump(mode="json"),
        "features": by_hand.settings(points="every_event").model_dump(mode="json"),
        "split": by_hand.split("cases").model_dump(mode="json"),
    }
    publish(tmp_path, dict.fromkeys(("ann", "bob", "cal"), (0.2, 0.2, 0.2, 0.4)), **changed)
    lines = (
        *("ann 2025-01-10 - looking", "ann 2025-01-20 - opened", "ann 2025-02-03 - looking", "ann 2025-02-04 - bought"),
        *("bob 2025-01-25 - opened", "bob 2025-02-20 - bought"),
        *("cal 2025-01-05 - opened", "cal 2025-03-01 - bought"),  # more than 30 days after its latest event
    )
    grades = grade(tmp_path, *lines)
    stage, churn = of(grades, "next_stage"), of(grades, "churn")
    assert (stage["n"], churn["n"]) == (2, 3)
    assert stage["log_loss"] == pytest.approx(-np.log([0.5, 0.25]).mean(), abs=1e-6)
    assert churn["observed"] == pytest.approx(1 / 3, abs=1e-6)


# --- in a project ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_night_is_graded_when_a_month_of_files_has_come(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    project: Project = finished_shop(base).copy(base / "realised")
    assert tables.read(project.path("reports/realised.parquet")).empty
    assert "No past night" in project.path("reports/report.html").read_text()
    deliver(project, range(N_DAYS, N_DAYS + 30))
    assert "realise" in project.repro()
    grades = tables.read(project.path("reports/realised.parquet"))
    night = (OPENED + pd.Timedelta(days=N_DAYS)).tz_localize("UTC")
    assert set(grades["cutoff_time"]) == {night}
    assert sorted(zip(grades["target"], grades["role"], strict=True)) == [
        (target, role) for target in ("churn", "next_stage") for role in ("baseline", "champion")
    ]
    assert grades["n"].gt(20).all() and grades["log_loss"].between(0, 3).all()
    assert "How past nights came out" in project.path("reports/report.html").read_text()
    assert project.repro() == set()

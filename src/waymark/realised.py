"""How the forecasts of past nights came out: frozen when they were made, graded once what they speak of has passed.

What happened is what was known of the horizon `split.gap_days` after its end. What is told later changes nothing any
more, so that a grade, once given, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from waymark import config, metrics, schema, tables
from waymark.clock import ScoreClock, TrainClock
from waymark.eventlog import EventLog, micro
from waymark.forecast import silent_column
from waymark.journeys import StageMap
from waymark.points import latest_event
from waymark.scoring import FORECASTS, MANIFEST, SETTINGS
from waymark.splits import split_cases
from waymark.targets import END, STAY, follow_events, follow_nights, list_cases

_DIGITS = 6  # what is written; sums may differ beyond from machine to machine


@dataclass(frozen=True)
class Night:
    """A published night."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def cutoff_time(self) -> pd.Timestamp:
        """When it was."""
        return ScoreClock.from_json(self.manifest["clocks"]["score"]).cutoff_time

    @property
    def was_forecast(self) -> bool:
        """Whether its models had not seen what came after it."""
        return TrainClock.from_json(self.manifest["clocks"]["train"]).as_of <= self.cutoff_time

    @property
    def known_until(self) -> pd.Timestamp:
        """End of what may count as having happened."""
        gap = self.section(config.SplitConfig, "split").gap_days
        return self.cutoff_time + pd.Timedelta(days=self.horizon_days + gap)

    @property
    def horizon_days(self) -> int:
        """The judged horizon."""
        return self.section(config.TargetsConfig, "targets").horizon_days

    @property
    def files(self) -> dict[str, str]:
        """The file of each role's forecasts."""
        return {role: FORECASTS[role] for role in self.manifest["models"]}

    def next_stages(self, role: str, forecast: pd.DataFrame) -> dict[str, str]:
        """Return the columns of a role's forecast that hold the probability of a next stage, each with its stage."""
        told = self.manifest.get("next_stages_of", {}).get(role, self.manifest["next_stages"])
        return {column: stage for column, stage in told.items() if column in forecast}  # earlier versions told one list

    def section(self, cls: type, name: str) -> Any:
        """Return a section of the settings that the night was made with."""
        return config.check(cls, self._settings[name], f"section {name} of {self.folder / SETTINGS}")

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / SETTINGS).read_text(encoding="utf-8"))


def nights_to_grade(tonight: pd.Timestamp, source: str, root: Path = tables.PREDICTIONS) -> list[Night]:
    """Return the nights of `source` that were forecasts, and whose horizon has passed by `tonight`, in their order."""
    return [
        n for n in _published(root) if n.manifest["source"] == source and n.was_forecast and n.known_until <= tonight
    ]


def _published(root: Path) -> Iterator[Night]:
    for folder in sorted(root.glob("cutoff_date=*")):
        manifest = tables.read_json(folder / MANIFEST)
        if "models" in manifest:  # earlier versions kept too little to be graded
            yield Night(folder, manifest)


def read_grades(path: Path = tables.REALISED) -> pd.DataFrame | None:
    """Return the grades given so far, or None where there are none yet."""
    return tables.read(path) if path.exists() else None


Logs = Callable[[config.IdentityConfig], Iterable[EventLog]]  # rules of identity -> all events, a bucket at a time


def grade_nights(nights: list[Night], logs: Logs, done: pd.DataFrame | None = None) -> pd.DataFrame:
    """Grade every night.

    Parameters
    ----------
    nights
        As `nights_to_grade` returns them.
    logs
        Returns all events under the rules of a night.
    done
        What this returned before. Its grades stay, those of other nights and sources too; only a night whose forecasts
        were made anew is graded anew.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.REALISED`. A target has none for a night of which there is nobody to grade.
    """
    kept: dict[tuple, list[dict[str, Any]]] = {}
    for row in [] if done is None else done.to_dict("records"):
        kept.setdefault((row["source"], row["cutoff_time"]), []).append(row)
    for night in nights:
        files = {(role, night.manifest["sha256"][file]) for role, file in night.files.items()}
        key = (night.manifest["source"], night.cutoff_time)
        if {(row["role"], row["forecast_sha256"]) for row in kept.get(key, [])} != files:
            kept[key] = _grade(night, logs)
    grades = pd.DataFrame([row for rows in kept.values() for row in rows], columns=list(schema.REALISED.columns))
    return grades.sort_values(list(schema.REALISED.key), ignore_index=True)


def _grade(night: Night, logs: Logs) -> list[dict[str, Any]]:
    predictions = tables.read(night.folder / FORECASTS["champion"])
    rules = night.section(config.IdentityConfig, "identity")
    truth = pd.concat([_what_happened(night, predictions, log) for log in logs(rules)]).set_index("person_id")
    times = {"source": night.manifest["source"], "cutoff_time": night.cutoff_time, "known_until": night.known_until}
    rows = []
    for role, file in night.files.items():
        forecast = tables.read(night.folder / file).set_index("person_id")
        for target, model in night.manifest["models"][role].items():
            if target == "churn":
                y, p = _silence(forecast, truth, silent_column(night.horizon_days))
            else:
                y, p = _next_stage(forecast, truth, night.next_stages(role, forecast))
            if len(y):
                about = {"target": target, "role": role, "model": model["name"], "version": model["version"]}
                rows.append(times | about | _marks(target, y, p) | {"forecast_sha256": night.manifest["sha256"][file]})
    return rows


def _what_happened(night: Night, predictions: pd.DataFrame, log: EventLog) -> pd.DataFrame:
    """Return rows of `schema.TARGETS`, one a person of the night in `log`, as known when its horizon had passed."""
    journey = night.section(config.JourneyConfig, "journey")
    targets = night.section(config.TargetsConfig, "targets")
    if night.section(config.FeaturesConfig, "features").points == "snapshots":
        points = predictions[["person_id", "cutoff_time", "stage"]].assign(prefix_length=np.int32(0))
        return follow_nights(points, log, night.known_until, journey, targets)
    latest = latest_event(log, StageMap(log, journey), micro(night.cutoff_time))
    points = pd.DataFrame(
        {
            "person_id": pd.array(latest.person_ids, "str"),
            "cutoff_time": pd.DatetimeIndex(latest.cutoff.astype("datetime64[us]")).tz_localize("UTC"),
            "prefix_length": (latest.end - latest.first).astype(np.int32),
        }
    )
    points = points[points["person_id"].isin(predictions["person_id"])]
    # Nothing is trained here, so no row is held back from a test.
    split = night.section(config.SplitConfig, "split").model_copy(update={"embargo": False})
    cases = split_cases(list_cases(log, night.known_until, journey, split), split)
    return follow_events(points, log, night.known_until, journey, targets, split, cases)


def _silence(forecast: pd.DataFrame, truth: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each person went silent, and the probabilities of coming back and of silence."""
    happened = truth.loc[truth["churn_status"] == "mature", "is_silent"].astype(bool)
    p = forecast.loc[happened.index, column].to_numpy()
    return happened.to_numpy().astype(int), np.column_stack([1 - p, p])


def _next_stage(
    forecast: pd.DataFrame, truth: pd.DataFrame, next_stages: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each active person's next stage, and the probabilities of all, given activity."""
    is_graded = (truth["next_stage_status"] == "mature") & ~truth["is_silent"].fillna(True).astype(bool)
    happened = truth.loc[is_graded & (truth["next_stage"] != END), "next_stage"]
    p = forecast.loc[happened.index, ["p_stay", *next_stages]].to_numpy()
    p = p / np.maximum(p.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    outcomes = [STAY, *next_stages.values()]
    unforeseen = sorted(set(happened) - set(outcomes))
    p = np.hstack([p, np.zeros((len(p), len(unforeseen)))])
    return pd.Index([*outcomes, *unforeseen]).get_indexer(happened), p


def _marks(target: str, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    judges = [metrics.log_loss, metrics.brier, metrics.calibration_error()]
    _, forecast, came_true = metrics.calibration_bins(y, p, 1)
    auc = metrics.auc(y, p) if target == "churn" else np.nan
    marks = {judge.name: judge(y, p) for judge in judges}
    marks |= {"auc": auc, "predicted": float(forecast.mean()), "observed": float(came_true.mean())}
    return {"n": len(y)} | {name: round(value, _DIGITS) for name, value in marks.items()}

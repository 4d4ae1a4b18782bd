"""DVC step: who forecasts from now on."""

import logging
from typing import Any

import pandas as pd

from waymark import catalogue, champions, config, eligibility, models, promotion, tables, tracking
from waymark.champions import Reign
from waymark.clock import TrainClock
from waymark.console import timed
from waymark.promotion import BASELINE, CANDIDATE, CHAMPION

log = logging.getLogger(__name__)


def main() -> None:
    """Decide on the champion of each target, put it in force, and write why."""
    with timed(log, "promote") as facts:
        targets = tables.read(tables.TARGETS)
        features = _tested(targets)
        decisions = {target: _decide(target, features, targets) for target in models.TARGETS}
        tables.write_json(decisions, tables.REPORTS / "promotion.json")
        facts.extend(f"{target}: {decided['verdict']}" for target, decided in decisions.items())
        experiment = config.load(config.TrackingConfig, "tracking").experiment
        run_id = tables.read_json(tables.REPORTS / "mlflow_run.json")["run_id"]
        told = [_tell(experiment, target, features) for target in models.TARGETS]
        facts.extend(sorted({*told, tracking.record_decision(run_id, decisions)} - {""}))


def _tested(targets: pd.DataFrame) -> pd.DataFrame:
    """Read the features of the nights that test."""
    first = targets.loc[targets["fold"] == "test", "cutoff_time"].min()
    nights = (tables.read(night) for night in sorted((tables.FEATURES / "train").glob("*.parquet")))
    return pd.concat([rows[rows["cutoff_time"] >= first] for rows in nights], ignore_index=True)


def _decide(target: str, features: pd.DataFrame, targets: pd.DataFrame) -> dict[str, Any]:
    settings = config.load_all()
    promote, asked = config.load(config.PromoteConfig, "promote"), config.load(config.TargetsConfig, "targets")
    known = catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json"))
    clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
    run_id = tables.read_json(tables.REPORTS / "mlflow_run.json")["run_id"]
    places = {CANDIDATE: tables.MODELS / target, BASELINE: tables.MODELS / "baseline" / target}
    found = {role: models.load(place) for role, place in places.items() if place.exists()}
    versions = {role: card["version"] for role, (_, card) in found.items()} | {"data": clock.data_version}
    reigns = {role: Reign.of(card, role, clock, settings, run_id, versions) for role, (_, card) in found.items()}
    succession = champions.read(target).before(versions)
    if succession.present is not None:
        found[CHAMPION] = models.load(champions.folder_of(target, succession.present.version))
    if "not_modelled" in found[CANDIDATE][1]:
        champion = eligibility.able_champion(succession, found, known, reigns[CANDIDATE])
        decided = promotion.decide_unmodelled(found[CANDIDATE][1], champion)
    else:
        contest = eligibility.contest(
            target,
            promotion.test_rows(features, targets, target, asked.end_of_case),
            known,
            found,
            succession,
            reigns[CANDIDATE],
            tables.read_json(tables.REPORTS / "leakcheck.json")["findings"],
            trained_until={
                role: models.newest_training_cutoff(targets, target, model) for role, (model, _) in found.items()
            },
            horizon_days=asked.horizon_days,
            min_persons=promote.min_persons,
        )
        n_bins = config.load(config.EvaluateConfig, "evaluate").n_calibration_bins
        decided = promotion.decide(contest, promote, n_bins, config.value("seed"))
    winner = decided["champion"]
    after = champions.settle(target, succession, reigns.get(winner), places.get(winner), promote.keep)
    return decided | {"reigns": [reign.told() for reign in after.reigns]}


def _tell(experiment: str, target: str, features: pd.DataFrame) -> str:
    """Move the alias in the experiment store to the champion."""
    reign, (model, card) = champions.reign_of(target), champions.load(target)
    tracked = tracking.TrackedModel(model, models.TRUSTED, features[card["columns"]].head(5), card)
    return tracking.set_champion(experiment, target, reign.run_id, reign.role, tracked)


if __name__ == "__main__":
    main()

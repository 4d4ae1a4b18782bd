"""DVC step: tonight's predictions."""

import logging

import numpy as np

from waymark import catalogue, champions, config, models, scoring, tables, tonight
from waymark.clock import ScoreClock, TrainClock
from waymark.console import timed
from waymark.recoding import with_features

log = logging.getLogger(__name__)


def main() -> None:
    """Write tonight's partition of the predictions, a stretch of persons at a time."""
    with timed(log, "score") as facts:
        clock = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json"))
        trained = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        known = catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json"))
        reigns = {target: champions.reign_of(target) for target in models.TARGETS}
        next_stage, churn = (with_features(champions.load(target), known) for target in models.TARGETS)
        baselines = scoring.load_baselines()
        horizon_days = config.load(config.TargetsConfig, "targets").horizon_days
        max_explained = config.load(config.ScoringConfig, "scoring").max_explained
        run_ids = {target: reign.run_id for target, reign in reigns.items()}
        n, stretches = tonight.n_rows(), tonight.read_in_groups
        is_explained = np.ones(n, bool)
        if n > max_explained:
            is_explained = scoring.least_certain(stretches(), churn, max_explained)
        # All that a forecast hangs on; how the night was asked for is in its clocks.
        settings = {k: v for k, v in config.load_all().items() if k not in ("clock", "report", "simulate")}
        # Of the tables, none tells which engine made it; baselines are always trained here.
        settings["engine"] = next((c["engine"] for _, c in (churn, next_stage) if "engine" in c), {"kind": "local"})
        folder = scoring.publish(
            (
                scoring.score(rows, next_stage, churn, clock, horizon_days, run_ids, is_explained[rows.index])
                for rows in stretches()
            ),
            n,
            clock,
            trained,
            settings["source"]["name"],
            settings=settings,
            baseline=(
                (scoring.score_baselines(rows, baselines, horizon_days) for rows in stretches())
                if scoring.are_complete(baselines)
                else None
            ),
            features=tonight.PATH,
            known_until={target: reign.saw_until for target, reign in reigns.items()},
        )
        facts.append(f"{n:,} persons in {folder}")
        if n > max_explained:
            facts.append(f"reasons for the {max_explained:,} least certain")


if __name__ == "__main__":
    main()

"""DVC step: tonight's predictions."""

import logging

from waymark import config, models, scoring, tables
from waymark.clock import ScoreClock, TrainClock
from waymark.console import timed

log = logging.getLogger(__name__)


def main() -> None:
    """Write tonight's partition of the predictions."""
    with timed(log, "score") as facts:
        clock = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json"))
        file = tables.FEATURES / "score.parquet"
        features = tables.read(file)
        horizon_days = config.load(config.TargetsConfig, "targets").horizon_days
        predictions = scoring.score(
            features,
            models.load(tables.MODELS / "next_stage"),
            models.load(tables.MODELS / "churn"),
            clock,
            horizon_days,
            tables.read_json(tables.REPORTS / "mlflow_run.json")["run_id"],
        )
        baseline = scoring.score_baselines(features, scoring.load_baselines(), horizon_days)
        trained = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        # All that a forecast hangs on; how the night was asked for is in its clocks.
        settings = {k: v for k, v in config.load_all().items() if k not in ("clock", "engine", "report", "simulate")}
        source = settings["source"]["name"]
        folder = scoring.publish(
            predictions, clock, trained, source, settings=settings, baseline=baseline, features=file
        )
        facts.append(f"{len(predictions):,} persons in {folder}")


if __name__ == "__main__":
    main()

"""DVC step: remember this result in MLflow."""

import logging

from waymark import config, models, tables, tracking
from waymark.clock import TrainClock
from waymark.console import timed
from waymark.on_disk import filled_from, places

log = logging.getLogger(__name__)


def main() -> None:
    """Log one run with both models; its id goes to reports/mlflow_run.json."""
    with timed(log, "track") as facts:
        files = sorted((tables.FEATURES / "train").glob("*.parquet"))
        some, fill = places(files).head(5), filled_from(files)
        result = tracking.Result(
            models={
                target: tracking.TrackedModel(model, models.TRUSTED, fill(some, card["columns"])[card["columns"]], card)
                for target in models.TARGETS
                for model, card in [models.load(tables.MODELS / target)]
            },
            params=tracking.chosen_params(config.load_all()),
            metrics=tracking.flat_metrics(tables.read_json(tables.REPORTS / "metrics.json")),
            data_version=TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json")).data_version,
            files=(
                config.RESOLVED,
                tables.REPORTS / "metrics.json",
                tables.REPORTS / "evaluation.json",
                tables.REPORTS / "plots",
            ),
        )
        run = tracking.track(result, config.load(config.TrackingConfig, "tracking").experiment)
        tables.write_json(run, tables.REPORTS / "mlflow_run.json")
        facts.append(f"run {run['run_id']} in {tracking.uri()}")


if __name__ == "__main__":
    main()

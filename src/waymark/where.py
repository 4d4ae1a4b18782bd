"""Say where the results of the latest night are; `make repro` ends with it."""

import sys

from waymark import tables, tracking
from waymark.clock import ScoreClock


def where() -> str:
    """Return three lines: the predictions, the report and the experiment store."""
    clock = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json"))
    folder = tables.PREDICTIONS / f"cutoff_date={clock.cutoff_time:%Y-%m-%d}"
    n = tables.read_json(folder / "manifest.json")["n_persons"]
    run = tables.read_json(tables.REPORTS / "mlflow_run.json")["run_id"]
    night = f"{clock.cutoff_time:%Y-%m-%d %H:%M} UTC"
    return (
        f"predictions       {folder / 'predictions.parquet'} ({n:,} persons as of {night})\n"
        f"report            {(tables.REPORTS / 'report.html').resolve()}\n"
        f"experiment store  {tracking.uri()} (run {run}; `make mlflow` opens it)\n"
    )


if __name__ == "__main__":
    sys.stdout.write(where())

"""DVC step: one page on what the night found."""

import logging

from waymark import config, kept, tables, workbench
from waymark.clock import ScoreClock, TrainClock
from waymark.console import timed
from waymark.report.nights import read_night, read_night_before
from waymark.report.page import build_page

log = logging.getLogger(__name__)

PAGE = tables.REPORTS / "report.html"
SHOWN = ("model", "features", "targets", "split", "seed")


def main() -> None:
    """Write the report of tonight."""
    with timed(log, "report") as facts:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        trained = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        predictions, manifest = read_night(tonight)
        report = config.load(config.ReportConfig, "report")
        source = config.value("source")["name"]
        page = build_page(
            title=report.title,
            source=source,
            cutoff_time=tonight,
            horizon_days=config.load(config.TargetsConfig, "targets").horizon_days,
            path=config.load(config.JourneyConfig, "journey").path,
            evaluation=tables.read_json(tables.REPORTS / "evaluation.json"),
            judged=tables.read_json(tables.REPORTS / "champions.json"),
            ingest=tables.read_json(tables.REPORTS / "ingest.json"),
            exposure=tables.read_json(tables.REPORTS / "exposure.json"),
            backtests={f.stem: tables.read_json(f) for f in sorted(tables.BACKTEST.glob("*.json"))},
            backtest_of=workbench.version(config.load_all(), trained.data_version),
            leakcheck=tables.read_json(tables.REPORTS / "leakcheck.json"),
            promotion=tables.read_json(tables.REPORTS / "promotion.json"),
            realised=tables.read(tables.REALISED),
            journeys=kept.read(tables.JOURNEYS),
            predictions=predictions,
            previous=read_night_before(tonight, source),
            manifest=manifest,
            settings={section: config.value(section) for section in SHOWN},
            max_flows=report.max_flows,
        )
        tables.write_text(page, PAGE)
        facts.append(f"{len(page):,} characters in {PAGE}")


if __name__ == "__main__":
    main()

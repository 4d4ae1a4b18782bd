"""The end of the DVC step ingest: what training and scoring may see."""

import logging

from waymark import clock, config, tables
from waymark.console import timed
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Write the two clocks."""
    with timed(log, "clock") as facts:
        known = Store().facts
        score = clock.set_score_clock(known, config.load(config.ClockConfig, "clock"))
        train = clock.set_train_clock(
            known, config.load(config.SplitConfig, "split"), config.load(config.TargetsConfig, "targets")
        )
        tables.write_json(score.to_json(), tables.CLOCK / "score.json")
        tables.write_json(train.to_json(), tables.CLOCK / "train.json")
        facts.append(f"scoring at {score.cutoff_time}, training up to {train.as_of}")
        facts.extend(clock.strays(known))


if __name__ == "__main__":
    main()

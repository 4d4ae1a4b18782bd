"""DVC step: what happened after each training point."""

import logging

from waymark import schema, tables
from waymark.clock import TrainClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, SplitConfig, TargetsConfig, load
from waymark.console import timed
from waymark.targets import build_targets

log = logging.getLogger(__name__)


def main() -> None:
    """Write the targets."""
    with timed(log, "targets") as facts:
        clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        targets = build_targets(
            tables.read(tables.FEATURES / "train.parquet", columns=[*schema.POINT, "stage"]),
            tables.read(tables.EVENTS),
            tables.read(tables.LINKS),
            clock,
            load(FeaturesConfig, "features").points,
            load(JourneyConfig, "journey"),
            load(TargetsConfig, "targets"),
            load(SplitConfig, "split"),
            load(IdentityConfig, "identity"),
        )
        n = tables.write(targets, tables.TARGETS, schema.TARGETS)
        facts.append(f"{n:,} rows, {(targets['fold'] == 'test').sum():,} of them for testing")


if __name__ == "__main__":
    main()

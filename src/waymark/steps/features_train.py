"""DVC step: the features of past nights, for training and testing."""

import logging

from waymark import catalogue, schema, tables
from waymark.clock import TrainClock, known_before
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.features import build_training_features

log = logging.getLogger(__name__)


def main() -> None:
    """Write the training features, their catalogue and the vocabulary."""
    with timed(log, "features train") as facts:
        clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        features, known, vocabulary = build_training_features(
            known_before(tables.read(tables.EVENTS), clock.as_of),
            tables.read(tables.LINKS),
            (*clock.train_cutoffs, *clock.test_cutoffs),
            clock.as_of,
            load(JourneyConfig, "journey"),
            load(FeaturesConfig, "features"),
            load(IdentityConfig, "identity"),
            learn_until=clock.learn_until,
        )
        n = tables.write(features, tables.FEATURES / "train.parquet", schema.FEATURES)
        tables.write_json(catalogue.to_json(known), tables.FEATURES / "catalogue.json")
        tables.write_json(vocabulary.to_json(), tables.FEATURES / "vocabulary.json")
        facts.append(f"{n:,} rows of {len(known)} features")


if __name__ == "__main__":
    main()

"""DVC step: the features of tonight."""

import logging

from waymark import schema, tables
from waymark.clock import ScoreClock, known_before
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.features import build_features
from waymark.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def main() -> None:
    """Write tonight's features."""
    with timed(log, "features score") as facts:
        tonight = ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time
        features, _ = build_features(
            known_before(tables.read(tables.EVENTS), tonight),
            tables.read(tables.LINKS),
            tonight,
            load(JourneyConfig, "journey"),
            load(FeaturesConfig, "features"),
            Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
            load(IdentityConfig, "identity"),
        )
        facts.append(f"{tables.write(features, tables.FEATURES / 'score.parquet', schema.FEATURES):,} persons")


if __name__ == "__main__":
    main()

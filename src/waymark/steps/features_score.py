"""The second half of the DVC step tonight: the features."""

import logging

from waymark import tables
from waymark.clock import ScoreClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, load
from waymark.console import timed
from waymark.engine import chosen
from waymark.renewing import renew
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def main() -> None:
    """Write tonight's features: anew of those whom tonight's news concern, and counts of those whom the clock does."""
    with timed(log, "features score") as facts, chosen() as engine:
        n_rows, n_new = renew(
            engine,
            Store(tables.STORE, load(IdentityConfig, "identity")),
            ScoreClock.from_json(tables.read_json(tables.CLOCK / "score.json")).cutoff_time,
            load(JourneyConfig, "journey"),
            load(FeaturesConfig, "features"),
            Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
        )
        facts.append(f"{n_rows:,} persons; {n_new:,} were described or counted anew")


if __name__ == "__main__":
    main()

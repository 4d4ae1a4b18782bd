"""DVC step: one model, for the target named on the command line."""

import logging
import sys

from waymark import catalogue, config, models, tables, training
from waymark.console import timed
from waymark.periods import Horizons

log = logging.getLogger(__name__)


def main(target: str) -> None:
    """Train the configured model on `target` and write it with its card."""
    with timed(log, f"train {target}") as facts:
        cfg = config.load(config.ModelConfig, "model").of(target)
        targets = config.load(config.TargetsConfig, "targets")
        model, card = training.train(
            config.load(config.EngineConfig, "engine"),
            tables.FEATURES / "train",
            tables.read(tables.TARGETS),
            catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json")),
            target,
            cfg.name,
            cfg.settings,
            config.load(config.FeaturesConfig, "features").groups,
            config.value("seed"),
            Horizons(targets.horizon_days, tuple(targets.horizons_days)),
            targets.end_of_case,
        )
        card = models.write(model, card, tables.MODELS / target)
        facts.append(f"{card['name']} {card['version']}")
        facts.append(f"{card['n_train_rows']:,} rows of {card['n_train_persons']:,} persons")
        if "not_modelled" in card:
            facts.append(f"class shares, not modelled: {card['not_modelled']}")


if __name__ == "__main__":
    main(sys.argv[1])

"""DVC step: the delivered files of the simulated brand, and the truth behind them."""

import logging
from pathlib import Path

from waymark import config, tables
from waymark.console import timed
from waymark.simulate.brand import simulate
from waymark.simulate.landing import write_landing
from waymark.simulate.truth import write_truth

log = logging.getLogger(__name__)

LANDING = Path("data/landing/simulated")
TRUTH = Path("data/simulated_truth")


def main() -> None:
    """Draw the brand, deliver it, and keep its truth apart; where files are read from elsewhere, leave both empty."""
    with timed(log, "simulate") as facts:
        landing = config.value("landing")
        if Path(landing).resolve() != LANDING.resolve():
            for folder in (TRUTH, LANDING):
                with tables.new_folder(folder):
                    pass
            facts.append(f"nothing to do, for deliveries are in {landing}")
            return
        brand = simulate(config.load(config.SimulateConfig, "simulate"), config.value("seed"))
        with tables.new_folder(TRUTH) as folder:
            write_truth(brand, folder)
        with tables.new_folder(LANDING) as folder:
            n_rows = write_landing(brand, folder)
        facts.append(f"{n_rows:,} rows of {len(brand.events):,} events of {len(brand.persons):,} persons")


if __name__ == "__main__":
    main()

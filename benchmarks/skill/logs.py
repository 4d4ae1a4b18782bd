"""A public log as the library takes it in: features and labels of its prediction points."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from waymark import clock, features, targets
from waymark.catalogue import Feature
from waymark.clock import TrainClock
from waymark.config import Settings, check
from waymark.ledger import link_identities
from waymark.periods import Horizons
from waymark.steps.config import compose_settings
from waymark.store.landing import ingest
from waymark.store.store import Store

CONF = Path(__file__).parents[2] / "conf"


@dataclass(frozen=True)
class Points:
    """The prediction points of a log, and the settings they were made by."""

    rows: pd.DataFrame  # of schema.FEATURES
    truth: pd.DataFrame  # of schema.TARGETS
    catalogue: Sequence[Feature]
    settings: Settings

    @property
    def horizons(self) -> Horizons:
        """The horizons of churn."""
        return Horizons(self.settings.targets.horizon_days, tuple(self.settings.targets.horizons_days))

    def at(self, horizons_days: Sequence[int]) -> Points:
        """Return the same points for other horizons, the longest of which is judged."""
        aims = {"horizon_days": max(horizons_days), "horizons_days": list(horizons_days)}
        targets_now = self.settings.targets.model_copy(update=aims)
        return replace(self, settings=self.settings.model_copy(update={"targets": targets_now}))


def settings_of(source: str, landing: Path, **changed: Any) -> Settings:
    """Return the settings of a shipped source, some of them changed."""
    chosen = {"source": source, "landing": str(landing), "set": changed}
    return check(Settings, yaml.safe_load(compose_settings(chosen, CONF)), "conf/")


def read(source: str, landing: Path, **changed: Any) -> Points:
    """Take in a log with the settings of a shipped source, and describe its points as the pipeline does."""
    settings = settings_of(source, landing, **changed)
    with tempfile.TemporaryDirectory() as folder:
        store = take_in(settings, Path(folder))
        events = store.events()
        known = clock.set_train_clock(store.facts, settings.split, settings.targets)
    return describe(events, known, settings)


def take_in(settings: Settings, folder: Path) -> Store:
    """Return the store in `folder` of all that was delivered of the log."""
    ingest(Path(settings.landing), settings.source, settings.identity, folder / "store", 1)
    return Store(folder / "store")


def describe(events: pd.DataFrame, known: TrainClock, settings: Settings) -> Points:
    """Return the training and test points of events, looked at from the cut-offs of `known`."""
    links = link_identities(events)
    rows, catalogue, _ = features.build_training_features(
        clock.known_before(events, known.as_of),
        links,
        (*known.train_cutoffs, *known.test_cutoffs),
        known.as_of,
        settings.journey,
        settings.features,
        learn_until=known.learn_until,
    )
    kind, journey = settings.features.points, settings.journey
    truth = targets.build_targets(rows, events, links, known, kind, journey, settings.targets, settings.split)
    return Points(rows, truth, catalogue, settings)

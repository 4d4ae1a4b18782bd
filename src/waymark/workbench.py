"""What the commands of experiments work on: the tables that `dvc repro` has left, and the settings behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from waymark import catalogue, config, tables
from waymark.catalogue import Feature
from waymark.clock import TrainClock
from waymark.errors import InputError
from waymark.periods import Horizons

_TRAIN = tables.FEATURES / "train"
_CATALOGUE = tables.FEATURES / "catalogue.json"


@dataclass(frozen=True)
class Bench:
    """Tables and settings."""

    settings: config.Settings
    resolved: dict[str, Any]  # the settings as plain values
    features: pd.DataFrame
    targets: pd.DataFrame
    catalogue: list[Feature]
    clock: TrainClock
    rows_version: str  # hash of the tables: of data, features, targets and split together


def read() -> Bench:
    """Read what `dvc repro targets` leaves."""
    resolved = config.load_all()
    clock = tables.CLOCK / "train.json"
    files = [*sorted(_TRAIN.glob("*.parquet")), _CATALOGUE, tables.TARGETS]
    return Bench(
        config.check(config.Settings, resolved, str(config.RESOLVED)),
        resolved,
        tables.read(_TRAIN),
        tables.read(tables.TARGETS),
        catalogue.from_json(tables.read_json(_CATALOGUE)),
        TrainClock.from_json(tables.read_json(clock)),
        hashlib.sha256("".join(tables.sha256(f) for f in files).encode()).hexdigest()[:12],
    )


def horizons(settings: config.Settings) -> Horizons:
    """Return the horizons of the settings."""
    return Horizons(settings.targets.horizon_days, tuple(settings.targets.horizons_days))


def version(resolved: Mapping[str, Any], data_version: str) -> dict[str, Any]:
    """Return what a backtest is of: the data and the settings of its rows. Of others, it says nothing."""
    return {
        "data_version": data_version,
        "source": resolved["source"]["name"],
        **{section: resolved[section] for section in ("journey", "features", "targets", "split")},
    }


def models(conf: Path = config.CONF) -> dict[str, config.ModelConfig]:
    """Return every model of `conf/model/` by the name of its file."""
    found = {}
    for file in sorted((conf / "model").glob("*.yaml")):
        try:
            value = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise InputError(f"{file} is not YAML: {' '.join(str(error).split())[:200]}") from None
        found[file.stem] = config.check(config.ModelConfig, value, str(file))
    return found


def model(name: str) -> config.ModelConfig:
    """Return the model of the file `conf/model/<name>.yaml`."""
    found = models()
    if name not in found:
        raise InputError(f"no model is called {name!r}; conf/model/ has {', '.join(found)}")
    return found[name]

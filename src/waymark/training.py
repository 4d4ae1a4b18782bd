"""Where a model is trained: in this process, or by workers of Dask that grow the trees of LightGBM together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import models
from waymark.catalogue import Feature
from waymark.config import EngineConfig
from waymark.engine import started
from waymark.enough import not_modelled
from waymark.estimators import Boosting
from waymark.hazard import Hazard
from waymark.on_disk import as_they_are, filled_from, places
from waymark.periods import Horizons
from waymark.shares import train_shares


def train(
    engine: EngineConfig,
    features: Path,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    target: str,
    name: str,
    settings: Mapping[str, Any],
    groups: Sequence[str],
    seed: int,
    horizons: Horizons | None = None,
    end_of_case: str = "candidate",
) -> tuple[ClassifierMixin, dict[str, Any]]:
    """Do as `models.train` does, with the tables of the folder `features`; the card says which engine trained.

    With `training: dask`, workers read the features of LightGBM's rows from the folder, each a share of them; here are
    only the labels, what the trees start from, and what a hazard is tried with. Other models are trained here.

    Where too little is known of the target, its class shares take the place of a model (`shares.train_shares`);
    `end_of_case` says which rows would be judged.
    """
    if why := not_modelled(targets, end_of_case).get(target):
        model, card = train_shares(targets, target, seed, why, horizons)
        return model, card | {"engine": {"kind": "local"}}
    files = sorted(features.glob("*.parquet"))
    what = (targets, catalogue, target, name, settings, groups, seed)
    if engine.training == "local" or not issubclass(models.MODELS[name][0], (Boosting, Hazard)):
        model, card = models.train(places(files), *what, horizons=horizons, fill=filled_from(files))
        return model, card | {"engine": {"kind": "local"}}

    from waymark.growing import Together  # and with it what LightGBM has for Dask

    made = models.make(name, settings, catalogue, seed, groups, target, horizons)
    if isinstance(made, Hazard):  # which reads the rows that it needs here
        start_columns, fill = (), filled_from(files)
    else:
        start_columns, fill = made.start_columns, as_they_are
    with started(engine) as there:
        workers = Together(there, files, engine.workers)
        model, card = models.train(places(files, start_columns), *what, workers.grow_for, horizons, fill)
        return model, card | {"engine": {"kind": "dask", "training": "dask", "workers": workers.n}}

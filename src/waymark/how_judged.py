"""On what rows and how models are judged, as the settings say: the same for what was trained last and for champions."""

from __future__ import annotations

from typing import Any

from waymark import catalogue, tables
from waymark.config import EvaluateConfig, TargetsConfig
from waymark.on_disk import filled_from, places
from waymark.periods import Horizons


def read_how(cfg: EvaluateConfig, aims: TargetsConfig, seed: int) -> dict[str, Any]:
    """Return on what and how models are judged: what `evaluation.evaluate` takes besides targets and models."""
    files = sorted((tables.FEATURES / "train").glob("*.parquet"))
    return {
        "features": places(files, ["stage"]),
        "catalogue": catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json")),
        "baselines": cfg.baselines,
        "horizons": Horizons(aims.horizon_days, tuple(aims.horizons_days)),
        "end_of_case": aims.end_of_case,
        "n_bootstrap": cfg.n_bootstrap,
        "interval": cfg.interval,
        "n_bins": cfg.n_calibration_bins,
        "n_explained": cfg.n_explained,
        "seed": seed,
        "fill": filled_from(files),
    }

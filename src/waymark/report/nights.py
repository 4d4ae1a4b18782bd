"""The kept nights: which partitions of the predictions there are, and what is in them. Reads files."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from waymark import tables


def folder_of(cutoff_time: datetime, root: Path = tables.PREDICTIONS) -> Path:
    """Return the folder of a night."""
    return root / f"cutoff_date={cutoff_time:%Y-%m-%d}"


def read_night(cutoff_time: datetime, root: Path = tables.PREDICTIONS) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a night's predictions and manifest."""
    folder = folder_of(cutoff_time, root)
    return tables.read(folder / "predictions.parquet"), tables.read_json(folder / "manifest.json")


def read_night_before(cutoff_time: datetime, source: str, root: Path = tables.PREDICTIONS) -> pd.DataFrame | None:
    """Return the predictions of `source` on the latest kept night before `cutoff_time`, or None where there is none."""
    tonight = folder_of(cutoff_time, root)
    for folder in sorted(root.glob("cutoff_date=*"), reverse=True):
        if folder.name < tonight.name and tables.read_json(folder / "manifest.json")["source"] == source:
            return tables.read(folder / "predictions.parquet")
    return None

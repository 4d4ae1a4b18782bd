"""Groups of prediction points that a model is judged in apart: by stage, tenure, activities and channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from waymark.catalogue import Feature

_THIRDS = {"tenure": ("f_tenure_days", " days"), "activities": ("f_n_activities_ever", "")}
_CHANNEL = "f_last_channel"
UNKNOWN = "unknown"


def groups_of(rows: pd.DataFrame, catalogue: Sequence[Feature]) -> dict[str, np.ndarray]:
    """Return the group of each row, in words, by each thing that tells rows apart.

    Parameters
    ----------
    rows
        Rows of `schema.FEATURES`.
    catalogue
        What their features are.

    Returns
    -------
    dict
        `stage`, and of `tenure`, `activities` (thirds of the rows each) and `channel` (the latest) what features tell.
    """
    known = {f.column: f for f in catalogue}
    found = {"stage": rows["stage"].to_numpy(object)}
    for by, (column, unit) in _THIRDS.items():
        if column in known and len(rows):
            found[by] = _thirds(rows[column].to_numpy(float), unit)
    if _CHANNEL in known:
        names = np.array([*known[_CHANNEL].categories, UNKNOWN], object)
        found["channel"] = names[np.nan_to_num(rows[_CHANNEL].to_numpy(float), nan=-1).astype(int)]
    return found


def _thirds(values: np.ndarray, unit: str) -> np.ndarray:
    """Return which third of the rows each is in; rows of one value are in one, and a third may be empty."""
    if np.isnan(values).all():
        return np.full(len(values), UNKNOWN, object)
    low, high = np.nanquantile(values, [1 / 3, 2 / 3], method="lower")
    ends = [f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in (low, high)]
    names = np.array([f"up to {ends[0]}{unit}", f"{ends[0]} to {ends[1]}{unit}", f"over {ends[1]}{unit}"], object)
    return np.where(np.isnan(values), UNKNOWN, names[np.searchsorted([low, high], values)])

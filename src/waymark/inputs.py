"""What every estimator does with its inputs first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from waymark.errors import InputError


def select(X: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return `columns` of `X` in their order; raise `InputError` where some are missing."""
    missing = [c for c in columns if c not in X.columns]
    if missing:
        raise InputError(f"the features lack {', '.join(missing[:5])}, which the model needs; run `dvc repro -P`")
    place = X.columns.get_indexer(columns)
    if len(place) and (np.diff(place) == 1).all():
        return X.iloc[:, place[0] : place[-1] + 1]  # where they lie, without a copy
    return X[list(columns)]


def labels(y: Sequence) -> np.ndarray:
    """Return class names as a NumPy array of text, which a model file holds as it is."""
    return np.asarray(y).astype(str)

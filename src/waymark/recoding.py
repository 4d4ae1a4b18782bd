"""Features of today in the terms that an older model learnt: categories are coded anew by every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from waymark.catalogue import Feature, from_json
from waymark.eventlog import OTHER
from waymark.inputs import select


def missing(card: Mapping[str, Any], catalogue: Sequence[Feature]) -> list[str]:
    """Return the columns that the model of `card` needs and that the features of `catalogue` lack.

    A number is not what a category was, nor the other way round.
    """
    is_number = {f.column: f.categories is None for f in catalogue}
    other = {f.column for f in from_json(card["catalogue"]) if is_number.get(f.column) != (f.categories is None)}
    return [c for c in card["columns"] if c not in is_number or c in other]


def recode(features: pd.DataFrame, catalogue: Sequence[Feature], card: Mapping[str, Any]) -> pd.DataFrame:
    """Code the categories of `features` as the model of `card` knows them.

    Parameters
    ----------
    features
        Rows of `schema.FEATURES`.
    catalogue
        What they are today.
    card
        What they were when the model was trained.

    Returns
    -------
    pandas.DataFrame
        `features` itself where nothing differs. A category that the model does not know is one of its `(other)`, or,
        where it has none, a missing one.
    """
    learnt = {f.column: f.categories for f in from_json(card["catalogue"])}
    other = {
        f.column: _translated(features[f.column].to_numpy(), f.categories or (), learnt[f.column] or ())
        for f in catalogue
        if f.column in learnt and f.categories != learnt[f.column]
    }
    return features.assign(**other) if other else features


def with_features(model: tuple[Any, Mapping[str, Any]], catalogue: Sequence[Feature]) -> tuple[Any, dict[str, Any]]:
    """Let a model be given the features of `catalogue`, in the terms that it learnt: its card holds them as `given`."""
    return model[0], {**model[1], "given": catalogue}


def in_terms_of(card: Mapping[str, Any], features: pd.DataFrame) -> pd.DataFrame:
    """Return `features`, which `given` in the card describes, if there, as the model of `card` knows them."""
    return recode(features, card["given"], card) if "given" in card else features


def inputs_of(card: Mapping[str, Any], features: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the model of `card` is given of `in_terms_of`."""
    return select(in_terms_of(card, features), card["columns"])


def _translated(codes: np.ndarray, names: tuple[str, ...], learnt: tuple[str, ...]) -> np.ndarray:
    at = {name: float(i) for i, name in enumerate(learnt)}
    unknown = at.get(OTHER, np.nan)
    table = np.array([*(at.get(name, unknown) for name in names), np.nan], np.float32)
    return table[np.nan_to_num(codes, nan=len(names)).astype(np.int64)]

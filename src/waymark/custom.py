"""Features of your own: functions that `src/custom_features.py` registers by name and `features.custom` switches on.

The settings pick among registered names; no code that they name is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from waymark.catalogue import Feature
from waymark.errors import InputError
from waymark.points import Points

GROUP = "custom"
UNITS = ("count", "days", "hours", "cents", "share", "ratio", "number")
_NAME = re.compile(r"[a-z][a-z0-9_]*")

Compute = Callable[[Points], np.ndarray]


@dataclass(frozen=True)
class Registered:
    """A feature and the function that computes it."""

    feature: Feature
    compute: Compute


REGISTERED: dict[str, Registered] = {}


def feature(words: str, unit: str) -> Callable[[Compute], Compute]:
    """Register the function below as the feature of its name.

    Parameters
    ----------
    words
        What it is, to complete "moved by ...": `orders on weekends so far`. Those of a count begin with the plural.
    unit
        One of `UNITS`.

    Returns
    -------
    Callable
        A decorator of a function that takes `Points` and returns one float a point, NaN where nothing is known. A
        point sees the grouped events from its `first` up to but not including its `end`, and `cutoff` is its time.
    """

    def register(compute: Compute) -> Compute:
        name = compute.__name__
        if not _NAME.fullmatch(name):
            raise InputError(f"a custom feature cannot be called {name!r}: small letters, digits and _ after a letter")
        if unit not in UNITS:
            raise InputError(f"custom feature {name} has the unit {unit!r}; there are {', '.join(UNITS)}")
        taken = REGISTERED.get(name)
        if taken and _origin(taken.compute) != _origin(compute):  # a notebook may define its own again
            raise InputError(f"custom feature {name} is registered twice; give one of them another name")
        REGISTERED[name] = Registered(Feature(name, GROUP, words, unit), compute)
        return compute

    return register


def _origin(compute: Compute) -> tuple[str, str]:
    return compute.__module__, compute.__qualname__


def find(name: str) -> Registered:
    """Return the feature registered as `name`, and its function; `InputError` names the choices where there is none."""
    if name not in REGISTERED:
        known = ", ".join(sorted(REGISTERED)) or "none"
        raise InputError(f"features.custom has no {name!r}; src/custom_features.py registers {known}")
    return REGISTERED[name]


def compute(name: str, points: Points) -> np.ndarray:
    """Return the values of the feature registered as `name`, (n_points,) float64.

    Raises
    ------
    InputError
        No feature has this name, its function failed, or it returned something else than one number a point.
    """
    function = find(name).compute
    if not len(points):
        return np.zeros(0)
    try:
        returned = np.asarray(function(points))
    except Exception as error:
        raise InputError(f"custom feature {name} failed: {type(error).__name__}: {error}") from error
    if returned.shape != (len(points),) or returned.dtype.kind not in "biuf":
        raise InputError(
            f"custom feature {name} returned {returned.dtype} of shape {returned.shape};"
            f" it must return one number for each of the {len(points)} points, shape ({len(points)},)"
        )
    if np.isinf(returned).any():
        raise InputError(f"custom feature {name} returned infinity; return NaN where nothing is known")
    return returned.astype(np.float64)

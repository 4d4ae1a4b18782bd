"""What a feature's value is, in words."""

from __future__ import annotations

import re

import numpy as np

from waymark.catalogue import Feature

_FIRST_PLURAL = re.compile(r"^(\w+?)(ies|s)\b")


def facts(feature: Feature, values: np.ndarray) -> np.ndarray:
    """Return a phrase a value; each distinct value is worded once."""
    distinct, codes = np.unique(values, return_inverse=True)
    return np.array([fact(feature, value) for value in distinct], dtype=object)[codes]


def fact(feature: Feature, value: float) -> str:
    """Say what a feature's value is: `4 visits in the last 30 days`, `the present stage is intent`."""
    value = float(value)
    if np.isnan(value):
        return f"{feature.words} unknown"
    if feature.categories is not None:
        return f"{feature.words} is {feature.categories[int(value)]}"
    if feature.unit == "count":
        return counted(value, feature.words)
    if feature.unit == "days":
        which = feature.words.removeprefix("days ")
        return f"{feature.words} is {span(value)}" if which == feature.words else f"{span(value)} {which}"
    if feature.unit == "cents":
        return f"{feature.words} is {value / 100:.2f}"
    if feature.unit == "share":
        return f"{feature.words} is {100 * value:.0f} %"
    if feature.unit == "ratio":
        return f"{feature.words} is {number(round(value, 2))}"
    if feature.unit == "hours":
        hour, minute = divmod(round(60 * value) % (24 * 60), 60)
        return f"{feature.words} is {hour:02}:{minute:02} UTC"
    return f"{feature.words} is {number(value)}"


def counted(value: float, words: str) -> str:
    """Put a number, to hundredths, before what it counts: `1 visit so far`; `words` begin with the plural."""
    n = number(round(value, 2))
    return f"{n} {_FIRST_PLURAL.sub(_singular, words) if n == '1' else words}"


def _singular(plural: re.Match) -> str:
    return plural[1] + ("y" if plural[2] == "ies" else "")


def span(days: float) -> str:
    """Write a time span in the largest unit of which there is one: `2.5 days`, `1 hour`, `27 seconds`."""
    for unit, per_day in (("days", 1), ("hours", 24), ("minutes", 24 * 60)):
        if float(number(days * per_day)) >= 1:
            return counted(days * per_day, unit)
    return counted(days * 24 * 60 * 60, "seconds")


def number(value: float) -> str:
    """Write a number to three digits, and whole ones without a point."""
    if value.is_integer() or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"

"""Numbers, dates and names as a reader writes them."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd

NONE = "–"
SILENT, STAY = "silent", "stay"
# Not strftime's names, which follow the machine's language.
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
MONTHS += ("November", "December")

METRICS = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "top_3_accuracy": "top-3 accuracy",
    "auc": "AUC",
    "average_precision": "average precision",
    "ece": "calibration error",
    "bias": "mean forecast less outcome",
}
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})
MODELS = {
    "lightgbm": "LightGBM",
    "hazard": "hazard of return",
    "logistic": "logistic regression",
    "most_frequent": "most frequent",
    "repeat_last": "repeat last",
    "chain": "transition chain",
    "back_off": "back-off",
    "recency": "recency",
    "rfm_logistic": "RFM logistic",
    "bg_nbd": "BG/NBD",
}
TARGETS = {"next_stage": "Next stage", "churn": "Going silent"}


def is_missing(value: Any) -> bool:
    """Say whether there is no such number, word or time."""
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def count(value: Any) -> str:
    """Return a number of things, with its thousands apart.

    Examples
    --------
    >>> count(1234567), count(11.6)
    ('1,234,567', '12')
    """
    return NONE if is_missing(value) else f"{round(value):,}"


def number(value: Any, digits: int = 3) -> str:
    """Return a measured number, with a true minus sign."""
    return NONE if is_missing(value) else f"{value:,.{digits}f}".replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """Return a difference, with its sign."""
    return NONE if is_missing(value) else f"{value:+,.{digits}f}".replace("-", "−")


def share(value: Any, digits: int = 1) -> str:
    """Return a share of one in percent.

    Examples
    --------
    >>> share(0.123), share(0.0001), share(0.0)
    ('12.3%', '<0.1%', '0.0%')
    """
    if is_missing(value):
        return NONE
    least = 10.0**-digits
    return f"<{least:.{digits}f}%" if 0 < 100 * value < least / 2 else f"{100 * value:.{digits}f}%"


def portion(part: float, whole: float, digits: int = 1) -> str:
    """Return `part` of `whole` in percent, and a dash of nothing."""
    return share(part / whole, digits) if whole else NONE


def interval(estimate: Any, digits: int = 3) -> str:
    """Return a value with its interval: `0.512 (0.498 to 0.526)`."""
    value, low, high = bounds(estimate)
    if is_missing(low) or is_missing(high):
        return number(value, digits)
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"


def bounds(estimate: Any) -> tuple[Any, Any, Any]:
    """Return value, low and high of an estimate, with None for what is absent."""
    if isinstance(estimate, dict):
        return estimate.get("value"), estimate.get("low"), estimate.get("high")
    return estimate, None, None


def luck(noise: Any) -> str | None:
    """Say how large a calibration error is that forecasts which are right have by luck, and seldom pass.

    Examples
    --------
    >>> luck({"mean": 0.012, "high": 0.0181})
    'by luck alone 0.012, seldom above 0.018'
    """
    return None if noise is None else f"by luck alone {number(noise['mean'])}, seldom above {number(noise['high'])}"


def moment(value: Any) -> str:
    """Return a time as `30 September 2025, 14:05 UTC`, and a date alone as such; other text stays as it is."""
    time = as_time(value)
    is_date = time is None or (isinstance(value, str) and len(value) == len("2025-09-30"))
    return day(value) if is_date else f"{day(value)}, {time:%H:%M} UTC"


def day(value: Any) -> str:
    """Return the date of a time as `30 September 2025`; other text stays as it is."""
    time = as_time(value)
    if time is None:
        return NONE if is_missing(value) else str(value)
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}"


def as_time(value: Any) -> datetime | None:
    """Return a time in UTC, from ISO text or a time; None where it is neither."""
    if is_missing(value):
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def duration(days: Any) -> str:
    """Return a length of time in the unit that suits it.

    Examples
    --------
    >>> duration(8.25), duration(0.5), duration(0.002)
    ('8.2 days', '12.0 h', '2.9 min')
    """
    if is_missing(days):
        return NONE
    if days >= 2:
        return f"{days:,.1f} days"
    return f"{24 * days:.1f} h" if days >= 1 / 24 else f"{1440 * days:.1f} min"


def plain(name: Any) -> str:
    """Return a name from code or configuration without its underscores."""
    return str(name).replace("_", " ").strip()


def outcome(name: Any) -> str:
    """Return a forecast outcome in words: `silent` and `stay` are not stages."""
    return {SILENT: "goes silent", STAY: "stays in stage"}.get(str(name), str(name))


def sentence_list(parts: Iterable[str]) -> str:
    """Return `a, b and c`."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def target(name: str) -> str:
    """Return the name of what is forecast, in words."""
    return TARGETS.get(name, plain(name))


def model(name: str) -> str:
    """Return a model's name in words."""
    return MODELS.get(name, plain(name))


def metric(name: str) -> str:
    """Return a metric's name in words."""
    return METRICS.get(name, plain(name))


def shorten(text: str, length: int) -> str:
    """Return at most `length` characters; what was cut off ends in an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"

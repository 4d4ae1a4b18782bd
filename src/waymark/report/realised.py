"""How the forecasts of past nights came out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from waymark.report import words
from waymark.report.figures import time_figure
from waymark.report.markup import Markup, details, figure, note, section, table, tag

_ROLES = {"champion": ("model", "the model"), "baseline": ("best", "the best baseline")}
_LATEST = 10  # nights listed at once; the others are folded away


def came_out(realised: pd.DataFrame, source: str, tonight: datetime) -> Markup:
    """Return the section on past nights: their loss over time, of the model and of the best baseline of its day.

    `realised` holds rows of `schema.REALISED`; those of other sources, and what was not known by `tonight`, are left
    out.
    """
    key, title = "realised", "How past nights came out"
    realised = realised[(realised["source"] == source) & (realised["known_until"] <= tonight)]
    if realised.empty:
        return section(key, title, note("No past night's horizon has passed yet, so none has been graded."))
    intro = note(
        "Each night's forecasts were kept as they were made, with those of the best baseline of that day, and graded "
        "once their horizon had passed. Nothing here was known when the forecast was made; what was told only later "
        "does not count."
    )
    ordered = realised.sort_values(["cutoff_time", "target", "role"], ignore_index=True)
    shown = (_target(words.target(name), ordered[ordered["target"] == name]) for name in ("next_stage", "churn"))
    return section(key, title, intro, tag("div", *shown, class_="columns"))


def _target(title: str, graded: pd.DataFrame) -> Markup | str:
    if graded.empty:
        return ""
    curves = {
        name: (kind, list(zip(rows["cutoff_time"], rows["log_loss"], strict=True)))
        for role, (kind, name) in _ROLES.items()
        if len(rows := graded[graded["role"] == role])
    }
    drawing = time_figure(f"{title}: log loss of each past night", curves, "log loss (lower is better)")
    keys = (
        tag("li", tag("span", class_="key" if kind == "model" else "key best", aria_hidden="true"), " ", name)
        for name, (kind, _) in curves.items()
    )
    rows = _rows(graded)
    head = ["Night", "Forecast by", "People", *map(words.metric, ("log_loss", "brier", "auc", "ece"))]
    head += ["Mean forecast", "Came true"]
    earlier = rows[:-_LATEST]
    more = details(f"{len(earlier)} earlier ones", table(f"{title}: earlier nights", head, earlier)) if earlier else ""
    return tag(
        "div",
        tag("h3", title),
        figure(drawing, tag("ul", *keys, class_="legend")),
        table(f"{title}: the latest nights that were graded", head, rows[-_LATEST:]),
        more,
    )


def _rows(graded: pd.DataFrame) -> list[Sequence[Any]]:
    return [
        (
            words.day(row["cutoff_time"].isoformat()),
            words.model(row["model"]),
            words.count(row["n"]),
            *(words.number(row[metric]) for metric in ("log_loss", "brier", "auc", "ece")),
            words.share(row["predicted"]),
            words.share(row["observed"]),
        )
        for row in graded.to_dict("records")
    ]

"""The whole page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from waymark.report import overview, quality, reliability, tonight, words
from waymark.report.flows import count_flows
from waymark.report.journey import journey
from waymark.report.leaderboard import leaderboard
from waymark.report.leaks import leak_warning, leaks
from waymark.report.markup import Markup, paragraph, tag
from waymark.report.moves import moves
from waymark.report.outlook import Outlook
from waymark.report.people import who_is_who
from waymark.report.realised import came_out
from waymark.report.style import CSS
from waymark.report.succession import who_forecasts

CONTENTS = {
    "ran": "What ran",
    "rows": "Rows",
    "journey": "Journey",
    "champions": "Who forecasts",
    "models": "Against baselines",
    "leaderboard": "Back in time",
    "calibration": "Calibration",
    "honest": "In the large",
    "horizons": "Every horizon",
    "realised": "Past nights",
    "leaks": "Leaks",
    "slices": "For whom",
    "moves": "What moves it",
    "nights": "Against last night",
    "stages": "Who is where",
    "people": "Who is who",
}
STAMPS = ("model_version_next_stage", "model_version_churn", "data_version")
STAMPS += ("mlflow_run_id_next_stage", "mlflow_run_id_churn")


def build_page(
    *,
    title: str,
    source: str,
    cutoff_time: datetime,
    horizon_days: int,
    path: Sequence[str],
    evaluation: Mapping[str, Any],
    judged: Mapping[str, Any],
    ingest: Mapping[str, Any],
    exposure: Mapping[str, Any],
    leakcheck: Mapping[str, Any],
    backtests: Mapping[str, Mapping[str, Any]],
    backtest_of: Mapping[str, Any],
    promotion: Mapping[str, Any],
    realised: pd.DataFrame,
    journeys: pd.DataFrame,
    predictions: pd.DataFrame,
    previous: pd.DataFrame | None,
    manifest: Mapping[str, Any],
    settings: Mapping[str, Any],
    max_flows: int,
) -> str:
    """Write one night as an HTML page that needs nothing else.

    Parameters
    ----------
    path
        The designed order of stages.
    evaluation, judged, ingest, manifest
        As written by the steps evaluate, judge, ingest and score. What is absent is left out of the page or said to be.
    exposure
        As `exposure.measure_exposure` returns it.
    leakcheck
        As `findings.to_json` returns it; an alarm heads the page.
    backtests, backtest_of
        As `leaderboard` takes them.
    promotion
        By target, what `promotion.decide` returned, and the `reigns` that are kept.
    realised
        Rows of `schema.REALISED`, of any source and night.
    journeys, predictions
        Rows of `schema.JOURNEYS` and, of the night at `cutoff_time`, of `schema.PREDICTIONS`.
    previous
        Rows of `schema.PREDICTIONS` of the night before, or None where there is none.
    settings
        Sections of the settings; those in `overview.MATTERS` are shown.
    max_flows
        Moves drawn in the map of the journey.

    Returns
    -------
    str
        A complete document. The same input gives the same text.
    """
    names = tuple(sorted({*path, *journeys["stage"].unique(), *predictions["stage"].unique()}))
    outlook = _outlook(predictions, horizon_days, names)
    before = None if previous is None else _outlook(previous, horizon_days, names)
    flows = count_flows(journeys, cutoff_time, path, outlook.is_likely_silent)
    body = [
        leak_warning(leakcheck),
        overview.tiles(outlook, judged, ingest),
        overview.what_ran(source, cutoff_time, ingest, manifest, settings, _stamps(predictions)),
        overview.reconciliation(ingest),
        journey(flows, max_flows),
        who_forecasts(promotion),
        quality.against_baselines(evaluation),
        leaderboard(backtests, backtest_of),
        quality.calibration(judged),
        reliability.in_the_large(judged),
        reliability.horizons(judged),
        came_out(realised, source, cutoff_time),
        leaks(leakcheck),
        quality.slices(judged),
        moves(judged),
        tonight.against_last_night(outlook, before),
        tonight.counts_by_stage(outlook, path),
        who_is_who(exposure),
    ]
    lede = (overview.summary(outlook, cutoff_time), overview.champions(promotion), overview.verdicts(evaluation))
    return _document(
        f"{title}, {words.moment(cutoff_time)}",
        overview.header(title, source, cutoff_time, *lede),
        _contents(),
        tag("main", *body, class_="wrap", id="main"),
        _footer(cutoff_time),
    )


def _outlook(predictions: pd.DataFrame, horizon_days: int, names: tuple[str, ...]) -> Outlook:
    # Sorted, so that sums of probabilities do not depend on the order of the rows.
    return Outlook(predictions.sort_values("person_id", ignore_index=True), horizon_days, names)


def _stamps(predictions: pd.DataFrame) -> dict[str, str]:
    """Return the versions that the forecasts carry."""
    found = {}
    for name in STAMPS:
        values = sorted(predictions[name].dropna().unique()) if name in predictions else []
        if values:
            found[name] = ", ".join(values)
    return found


def _contents() -> Markup:
    links = (tag("li", tag("a", text, href=f"#{key}")) for key, text in CONTENTS.items())
    return tag("nav", tag("div", tag("ul", *links), class_="wrap"), class_="contents", aria_label="Contents")


def _footer(cutoff_time: datetime) -> Markup:
    return tag(
        "footer",
        paragraph(
            "To make this page again: ",
            tag("code", "make repro"),
            ", or for this very night ",
            tag("code", f'make repro ARGS="cutoff_time={_typed(cutoff_time)}"'),
            ". The same data, settings and code give the same page, byte for byte.",
        ),
        class_="wrap",
    )


def _typed(time: datetime) -> str:
    """Return a time as a user types it: a date alone where it is midnight."""
    return f"{time:%Y-%m-%dT%H:%M:%S}".removesuffix("T00:00:00")


def _document(title: str, *body: Markup) -> str:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    skip = tag("a", "Skip to the content", href="#main", class_="skip")
    return f"<!doctype html>\n{tag('html', head, tag('body', skip, *body), lang='en')}\n"

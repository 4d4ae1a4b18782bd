"""Who is compared, on rows that nobody learnt from, and who may become champion: no stale and no leaking model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from waymark.catalogue import Feature
from waymark.champions import Reign, Succession, differences
from waymark.findings import ALARM
from waymark.models import Model, features_of
from waymark.promotion import BASELINE, CANDIDATE, CHAMPION, Contest
from waymark.recoding import missing

_SHOWN = 3  # features named in a sentence
_HAZARD = "hazard"  # learns from silences that are still watched, so that its rows end later than those of the others


def contest(
    target: str,
    rows: pd.DataFrame,
    catalogue: Sequence[Feature],
    contenders: Mapping[str, Model],
    succession: Succession,
    tonight: Reign,
    alarms: Sequence[Mapping[str, str]],
    *,
    trained_until: Mapping[str, pd.Timestamp],
    horizon_days: int,
    min_persons: int,
) -> Contest:
    """Say who is compared, on which rows, and who may not win.

    Parameters
    ----------
    target
        `next_stage` or `churn`.
    rows
        Test rows, as `promotion.test_rows` returns them.
    catalogue
        What their features are.
    contenders
        Role -> model and card: the candidate, the baseline where one was judged, the champion where there is one.
    succession
        The reigns so far.
    tonight
        What a reign of the candidate would be.
    alarms
        The findings of leakcheck, as in reports/leakcheck.json.
    trained_until
        Role -> newest cut-off among the present training rows of a model of its kind: some learn from rows that others
        cannot use yet.
    horizon_days
        How far a label reaches.
    min_persons
        Of so many there must be test rows that the champion did not learn from, or it stays unchallenged.
    """
    present, found, absent = succession.present, dict(contenders), {}
    is_spared = False
    if present is not None:
        champion = found[CHAMPION][1]
        absent = {
            role: "it is the champion"
            for role in (CANDIDATE, BASELINE)
            if role in found and found[role][1]["version"] == present.version
        }
        why = _why_set_aside(present, champion, catalogue, tonight)
        if "not_modelled" in champion:
            why = "it is class shares, in the place of a model"
        if why is not None:
            absent, present = {CHAMPION: why}, None
        elif present.training != tonight.training:
            # Of the same training, the split kept the test rows apart. Of another, time has to.
            end = pd.Timestamp(champion["trained_until"]) + pd.Timedelta(days=horizon_days)
            fair = rows[rows["cutoff_time"] >= end]
            is_spared = fair["person_id"].nunique() < min(min_persons, rows["person_id"].nunique())
            if is_spared:
                absent = {CHAMPION: f"it learnt from what happened until {end:%Y-%m-%d}; too few test rows are newer"}
            else:
                rows = fair
        found = {role: model for role, model in found.items() if role not in absent}
    refused = {
        role: why
        for role in (CANDIDATE, BASELINE)
        if role in found
        and (
            why := _why_stale(found[role][1], trained_until[role], tonight, present)
            or _why_leaking(found[role][1], catalogue, alarms)
            or _why_taken_back(found[role][1], succession)
        )
    }
    return Contest(target, rows, catalogue, found, refused, absent, is_spared)


def able_champion(
    succession: Succession, contenders: Mapping[str, Model], catalogue: Sequence[Feature], tonight: Reign
) -> Mapping[str, Any] | None:
    """Return the card of the champion where there is one that can forecast what is asked tonight."""
    if succession.present is None:
        return None
    card = contenders[CHAMPION][1]
    return None if _why_set_aside(succession.present, card, catalogue, tonight) else card


def _why_set_aside(present: Reign, card: Mapping[str, Any], catalogue: Sequence[Feature], tonight: Reign) -> str | None:
    """Say why the champion cannot forecast what is asked tonight."""
    if differing := differences(present.question, tonight.question):
        return f"it forecasts something else: {', '.join(differing)} changed"
    if lacking := missing(card, catalogue):
        return f"it needs features that are no longer built: {_some(lacking)}"
    return None


def _why_stale(
    card: Mapping[str, Any], trained_until: pd.Timestamp, tonight: Reign, present: Reign | None
) -> str | None:
    own = pd.Timestamp(card["trained_until"])
    if own != trained_until:
        return f"stale: its training rows end {own:%Y-%m-%d}, and those there are now {trained_until:%Y-%m-%d}"
    is_alike = present is not None and (present.name == _HAZARD) == (card["name"] == _HAZARD)
    if present is not None and is_alike and own < (theirs := pd.Timestamp(present.trained_until)):
        return f"stale: its training rows end {own:%Y-%m-%d}, those of the champion {theirs:%Y-%m-%d}"
    if present is not None and (own := tonight.saw_until) < (theirs := present.saw_until):
        return f"stale: it learnt from what was known by {own:%Y-%m-%d}, the champion by {theirs:%Y-%m-%d}"
    return None


def _why_leaking(
    card: Mapping[str, Any], catalogue: Sequence[Feature], alarms: Sequence[Mapping[str, str]]
) -> str | None:
    """Say which alarms speak of the model: of features that it uses, or of what is no feature, such as a label."""
    unused = {f.name for f in catalogue} - {f.name for f in features_of(card)}
    names = sorted({f["name"] for f in alarms if f["verdict"] == ALARM} - unused)
    return f"leaking: leakcheck raised an alarm for {_some(names)}" if names else None


def _why_taken_back(card: Mapping[str, Any], succession: Succession) -> str | None:
    is_taken_back = card["version"] in {reign.version for reign in succession.taken_back}
    return "it was champion and was taken back" if is_taken_back else None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""Which model forecasts from now on: the champion, the newly trained candidate or the best baseline.

All forecast the same test rows, the newest nights whose horizon has passed. A challenger takes the champion's place
where it is proven better, or equal and simpler, and clearly worse in no group of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from waymark import metrics, models
from waymark.catalogue import Feature
from waymark.comparison import Comparison
from waymark.config import PromoteConfig
from waymark.errors import InputError
from waymark.evaluation import aligned, rounded
from waymark.inputs import labels
from waymark.models import END, MODELS
from waymark.recoding import recode
from waymark.slices import groups_of

CHAMPION, CANDIDATE, BASELINE = "champion", "candidate", "baseline"
_ROWS_OF_BIN = 200  # at least: the calibration error of few rows is mostly noise, and is never below nought
_PAIRS = ((CANDIDATE, CHAMPION), (CANDIDATE, BASELINE), (BASELINE, CHAMPION))  # challenger, rival


@dataclass(frozen=True)
class Contest:
    """Who is compared on which rows. `eligibility` makes it."""

    target: str
    rows: pd.DataFrame  # of `models.labelled`: test rows, the same for all
    catalogue: Sequence[Feature]  # what the features of `rows` are
    contenders: Mapping[str, models.Model]  # role -> model; no model twice
    refused: Mapping[str, str]  # role -> why it may not become champion
    absent: Mapping[str, str]  # role -> why it is not compared
    is_spared: bool = False  # the champion is absent and stays

    def card(self, role: str) -> Mapping[str, Any]:
        """Return the card of a contender."""
        return self.contenders[role][1]


def test_rows(features: pd.DataFrame, targets: pd.DataFrame, target: str, end_of_case: str) -> pd.DataFrame:
    """Return the rows that models are judged on, as `evaluation.evaluate` does, with `label`."""
    rows = models.labelled(features, targets[targets["fold"] == "test"], target)
    return rows if target == "churn" or end_of_case == "scored" else rows[rows["label"] != END]


def decide(contest: Contest, settings: PromoteConfig, n_bins: int, seed: int) -> dict[str, Any]:
    """Compare the contenders and say who is champion from now on.

    Parameters
    ----------
    contest
        Whom, and on which rows.
    settings
        What is proven, equal and clearly worse.
    n_bins, seed
        Bins of equal mass for calibration, and the seed of the samples of persons.

    Returns
    -------
    dict
        Plain values for JSON: `champion` is the role that won, `verdict` says so in a sentence, `contenders` holds
        the measures of each and `comparisons` the differences of pairs, challenger minus rival, also by group of rows.
        Where the rows are of too few persons, none of them proves anything.
    """
    measured, comparisons = _compare(contest, settings, n_bins, seed)
    answers = {(c["challenger"], c["rival"]): c for c in comparisons}
    winner = _winner(contest, {pair for pair, c in answers.items() if c["is_accepted"]})
    return rounded(
        {
            "champion": winner,
            "verdict": _verdict(contest, winner, answers),
            "n_rows": len(contest.rows),
            "n_persons": int(contest.rows["person_id"].nunique()),
            "first_cutoff": contest.rows["cutoff_time"].min().isoformat(),
            "last_cutoff": contest.rows["cutoff_time"].max().isoformat(),
            "contenders": {
                role: {k: card[k] for k in ("name", "version", "trained_until")}
                | {"refused": contest.refused.get(role), "metrics": measured[role]}
                for role, (_, card) in contest.contenders.items()
            },
            "absent": dict(contest.absent),
            "comparisons": comparisons,
        }
    )


def decide_unmodelled(card: Mapping[str, Any], champion: Mapping[str, Any] | None) -> dict[str, Any]:
    """Say who is champion of a target that cannot be modelled tonight, where nobody can be judged.

    Parameters
    ----------
    card
        Of the class shares that take the place of a candidate.
    champion
        The card of the champion, where there is one that can forecast what is asked.

    Returns
    -------
    dict
        As `decide` returns it, without any comparison. A model that won its place stays; class shares follow others.
    """
    is_kept = champion is not None and ("not_modelled" not in champion or champion["version"] == card["version"])
    who = f"the champion {champion['name']} stays" if is_kept else f"the candidate {card['name']} becomes"
    return {
        "champion": CHAMPION if is_kept else CANDIDATE,
        "verdict": f"{who} champion: not modelled, {card['not_modelled']}",
        "n_rows": 0,
        "n_persons": 0,
        "first_cutoff": None,
        "last_cutoff": None,
        "contenders": {},
        "absent": {} if champion is None else {CHAMPION: f"not modelled: {card['not_modelled']}"},
        "comparisons": [],
    }


def _compare(
    contest: Contest, settings: PromoteConfig, n_bins: int, seed: int
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return the measures of each contender, and the differences of each pair of them."""
    rows, label = contest.rows, labels(contest.rows["label"])
    classes = tuple(np.unique([*label, *(c for m, _ in contest.contenders.values() for c in m.classes_)]).tolist())
    y, person = np.searchsorted(classes, label), rows["person_id"].to_numpy(object)
    p = {
        role: aligned(model, recode(rows, contest.catalogue, card), classes)
        for role, (model, card) in contest.contenders.items()
    }
    n_bins = max(1, min(n_bins, len(rows) // _ROWS_OF_BIN))
    judges = [metrics.log_loss, metrics.calibration_error(n_bins), metrics.bias]
    how = {"n_bootstrap": settings.n_bootstrap, "coverage": settings.interval, "seed": seed}
    whole = Comparison(y, p, person, judges, **how)
    measured = {role: whole.of(role) for role in p}
    parts = []
    for by, group in groups_of(rows, contest.catalogue).items():
        for value in np.unique(group.astype(str)).tolist():
            at = np.flatnonzero(group == value)
            n_persons = len(np.unique(person[at].astype(str)))
            if n_persons >= settings.min_persons and len(at) < len(rows):
                part = Comparison(y[at], {r: q[at] for r, q in p.items()}, person[at], judges[:1], **how)
                parts.append(({"by": by, "group": value, "n": len(at), "n_persons": n_persons}, part))
    found = []
    for challenger, rival in _PAIRS:
        if challenger in p and rival in p:
            groups = [facts | _guard(part, challenger, rival, settings.margin) for facts, part in parts]
            between = whole.between(challenger, rival)
            overall = {k: between[k] for k in ("log_loss", "ece")}
            margin = settings.margin * whole.values[rival]["log_loss"]
            is_off = measured[challenger]["ece"]["low"] > settings.max_ece and overall["ece"]["low"] > 0
            is_simpler = _rank(contest.card(challenger)) < _rank(contest.card(rival))
            is_accepted, answer = _answer(overall, groups, is_simpler, is_off, margin)
            if is_accepted and (n_persons := rows["person_id"].nunique()) < settings.min_persons:
                few = f"that rests on {n_persons} persons, and a proof needs {settings.min_persons} at least"
                is_accepted, answer = False, f"{answer}, but {few}"
            pair = {"challenger": challenger, "rival": rival, "is_accepted": is_accepted, "answer": answer}
            found.append(pair | overall | {"groups": groups})
    return measured, found


def _guard(part: Comparison, challenger: str, rival: str, margin: float) -> dict[str, Any]:
    """Return the difference in log loss in a group of rows, and whether it is proven to be more than the margin."""
    more = part.between(challenger, rival)["log_loss"]
    return more | {"is_worse": bool(more["low"] > margin * part.values[rival]["log_loss"])}


def _rank(card: Mapping[str, Any]) -> int:
    return list(MODELS).index(card["name"])


def _answer(
    overall: Mapping[str, Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    is_simpler: bool,
    is_off: bool,
    margin: float,
) -> tuple[bool, str]:
    """Say whether a challenger may take its rival's place, and why."""
    loss, ece = overall["log_loss"], overall["ece"]
    low, value, high = (0.0 - loss[k] for k in ("high", "value", "low"))
    gain = f"{value:.3f} log loss [{low:.3f}, {high:.3f}]"
    worse = [g for g in groups if g["is_worse"]]
    if loss["low"] > 0:
        return False, f"proven worse, by {loss['value']:.3f} log loss [{loss['low']:.3f}, {loss['high']:.3f}]"
    is_better = loss["high"] < 0
    is_equal = is_simpler and loss["high"] <= margin
    if not is_better and not is_equal:
        return False, f"not proven better, nor equal and simpler: a gain of {gain}"
    if worse:
        worst = max(worse, key=lambda g: g["low"])
        bounds = f"{worst['value']:.3f} log loss [{worst['low']:.3f}, {worst['high']:.3f}]"
        return False, f"clearly worse where {worst['by']} is {worst['group']}, by {bounds}"
    if is_off:
        return False, f"badly calibrated, worse by {ece['value']:.3f} [{ece['low']:.3f}, {ece['high']:.3f}]"
    return True, f"proven better, by {gain}" if is_better else f"equal and simpler: a gain of {gain}"


def _winner(contest: Contest, accepted: set[tuple[str, str]]) -> str:
    """Return the role that is champion from now on."""

    def may(role: str, *rivals: str) -> bool:
        is_free = role in contest.contenders and role not in contest.refused
        return is_free and all((role, r) in accepted for r in rivals if r in contest.contenders)

    if contest.is_spared:
        return CHAMPION
    if may(CANDIDATE, CHAMPION, BASELINE):
        return CANDIDATE
    if CHAMPION in contest.contenders:
        return BASELINE if may(BASELINE, CHAMPION) else CHAMPION
    if BASELINE in contest.contenders:
        return BASELINE
    raise InputError(
        f"no model can forecast {contest.target}: the candidate is refused ({contest.refused[CANDIDATE]}), and"
        " evaluate.baselines names none"
    )


def _verdict(contest: Contest, winner: str, answers: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Say in a sentence who is champion, and what spoke for it and against the others."""
    words = {CHAMPION: "the champion", CANDIDATE: "the candidate", BASELINE: "the best baseline"}
    named = {role: f"{words[role]} {contest.card(role)['name']}" for role in contest.contenders}
    said = []
    for role in (CANDIDATE,) if winner == CANDIDATE else (CANDIDATE, BASELINE):
        if role in contest.refused:
            said.append(f"{named[role]} is refused, {contest.refused[role]}")
            continue
        for (challenger, rival), found in answers.items():
            if challenger == role and (winner in (role, rival) or not found["is_accepted"]):
                said.append(f"against {named[rival]}, {named[role]} is {found['answer']}")
    if why := contest.absent.get(CHAMPION):
        said.append(f"the champion is not compared, {why}")
    outcome = "stays champion" if winner == CHAMPION else "becomes champion"
    return f"{named.get(winner, words[winner])} {outcome}: {'; '.join(said) or 'nobody challenges it'}"

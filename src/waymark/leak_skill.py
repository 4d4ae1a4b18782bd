"""Skill that cannot be: on futures dealt out at random, or of one feature against all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from waymark import custom, lone_skill, schema, tampering
from waymark.catalogue import Feature
from waymark.config import LeakcheckConfig
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding
from waymark.leak_subject import Sample, halves, ids_of
from waymark.models import SILENT, labelled
from waymark.splits import TEST, TRAIN

_PERMUTED, _TOO_GOOD = "permuted_targets", "alone_too_good"
CHECKS = (_PERMUTED, _TOO_GOOD)
_KEY = list(schema.FEATURES.key)
_MAX_ROWS = 20_000
_MAX_STAGES = 3  # next stages looked at one by one, the commonest
_STAGES = ("stage", "previous_stage")  # always witnesses: the journey's own rules tie the next stage to them
_SAME = 0.9  # a feature of which the suspect tells so much is the same in other words, and no witness
_LEAST_USE = 0.05  # of the trees' gain: who gives less is not worth the trees without it
_LEAST_ERRORS = 2  # standard errors: a smaller gain may be chance


# --- futures dealt out at random ------------------------------------------------------------------------------------


def find_permuted(
    sample: Sample,
    cutoff: pd.Timestamp,
    rows: pd.DataFrame,
    settings: LeakcheckConfig,
    rng: np.random.Generator,
    seed: int,
) -> Iterator[Finding]:
    """Deal out the futures at random before the features are built: whoever still tells who comes back has seen it."""
    subject = sample.subject
    latest = rows.sort_values("prefix_length", kind="stable").drop_duplicates("person_id", keep="last")
    latest = latest.assign(person=sample.code(latest["person_id"]))
    latest = latest[~latest["person"].duplicated(keep=False)].sort_values("person", ignore_index=True)
    giver = pd.Series(sample.code(ids_of(subject.events)), index=subject.events.index)
    order = rng.permutation(len(latest))
    taker_of = dict(zip(latest["person"], latest["person_id"].to_numpy(object)[order], strict=True))
    y = np.zeros(len(latest), bool)
    y[order] = latest["person"].isin(_who_comes_back(subject.events, giver, cutoff, subject.horizon))
    half = halves(latest["person"])
    if not lone_skill.can_be_judged(y, half):
        yield Finding(_PERMUTED, "all features", NOT_JUDGED, f"too few of {len(y):,} persons come back, or stay away")
        return
    swapped = subject.build(tampering.swap_futures(subject.world, cutoff, giver, taker_of, rng), cutoff)
    x = swapped.set_index(_KEY).reindex(pd.MultiIndex.from_frame(latest[_KEY])).reset_index()
    bound = 0.5 + settings.n_sigma * lone_skill.standard_error(y, half)
    alone = {f.name: lone_skill.alone(x[f.column].to_numpy(), [y], half)[0] for f in subject.catalogue}
    together = lone_skill.together(x, subject.catalogue, y, half, seed)
    told = {name: auc for name, auc in alone.items() if auc > bound}
    if not told and together > bound:
        told = {"all features together": together}
    for name, auc in told.items():
        detail = f"tells who comes back (AUC {auc:.3f}) where futures were dealt out at random"
        yield Finding(_PERMUTED, name, ALARM, detail)
    if not told:
        detail = f"AUC {together:.3f} on futures dealt out at random, below {bound:.3f}"
        yield Finding(_PERMUTED, "all features", OK, detail, near=together - bound)


def _who_comes_back(events: pd.DataFrame, person: pd.Series, cutoff: pd.Timestamp, horizon: pd.Timedelta) -> np.ndarray:
    is_after = (events["event_time"] >= cutoff) & (events["event_time"] < cutoff + horizon)
    return person[is_after & (events["actor"] == "customer")].unique()


# --- one feature that knows it all ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    """An outcome to be told, and how well each feature alone does."""

    outcome: str
    rows: pd.DataFrame
    y: np.ndarray  # whether it came to pass
    half: np.ndarray
    person: np.ndarray  # code
    alone: dict[Feature, float]

    def values(self, feature: Feature) -> np.ndarray:
        """Return the feature in each row."""
        return self.rows[feature.column].to_numpy(np.float64)

    def are_same(self, feature: Feature, suspect: Feature) -> bool:
        """Say whether a feature is the suspect in other words."""
        return (
            feature.name not in _STAGES and lone_skill.share_told(self.values(feature), self.values(suspect)) >= _SAME
        )


def find_too_good(sample: Sample, settings: LeakcheckConfig, rng: np.random.Generator, seed: int) -> Iterator[Finding]:
    """Find what tells an outcome too well beside all the rest: a status that was filled in later."""
    catalogue = sample.subject.catalogue
    for target in ("churn", "next_stage"):
        every = labelled(sample.subject.features, sample.subject.targets, target)
        for fold in (TRAIN, TEST):  # a last status tells the last nights best
            rows = every[every["fold"] == fold]
            if len(rows) > _MAX_ROWS:
                rows = rows.iloc[np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))]
            cases = _cases(rows, target, sample.code(rows["person_id"]), catalogue)
            if not cases:
                yield Finding(_TOO_GOOD, target, NOT_JUDGED, f"too few outcomes in {len(rows):,} rows that {fold}")
            for case in cases:
                yield from _leads(case, catalogue, settings, seed)
                yield from _adds(case, catalogue, settings, seed)


def _cases(rows: pd.DataFrame, target: str, person: np.ndarray, catalogue: Sequence[Feature]) -> list[_Case]:
    half = halves(person)
    outcomes = [SILENT] if target == "churn" else rows["label"].value_counts().index[:_MAX_STAGES].tolist()
    truth = {outcome: (rows["label"] == outcome).to_numpy() for outcome in outcomes}
    truth = {outcome: y for outcome, y in truth.items() if lone_skill.can_be_judged(y, half)}
    aucs = [lone_skill.alone(rows[f.column].to_numpy(), list(truth.values()), half) for f in catalogue]
    return [
        _Case(outcome, rows, y, half, person, {f: auc[i] for f, auc in zip(catalogue, aucs, strict=True)})
        for i, (outcome, y) in enumerate(truth.items())
    ]


def _leads(case: _Case, catalogue: Sequence[Feature], settings: LeakcheckConfig, seed: int) -> Iterator[Finding]:
    """Find features that alone tell more than all the others together."""
    best = max(case.alone, key=case.alone.__getitem__)
    auc = case.alone[best]
    if auc < settings.alone_auc:
        yield Finding(_TOO_GOOD, "all features", OK, f"{best.name} tells {case.outcome} best, with AUC {auc:.3f}", auc)
        return
    witnesses = [
        f for f in catalogue if f.name in _STAGES or (case.alone[f] < settings.alone_auc and not case.are_same(f, best))
    ]
    others = _told_by(case, witnesses, lone_skill.together(case.rows, witnesses, case.y, case.half, seed))
    bound = max(settings.alone_auc, others + settings.alone_lead)
    for f in (f for f in catalogue if case.alone[f] >= bound):
        detail = f"alone tells {case.outcome} with AUC {case.alone[f]:.3f}; the others together: {others:.3f}"
        yield Finding(_TOO_GOOD, f.name, ALARM, detail)
    if auc < bound:
        detail = f"{best.name} tells {case.outcome} with AUC {auc:.3f}, the others together {others:.3f}"
        yield Finding(_TOO_GOOD, "all features", OK, detail, auc)


def _adds(case: _Case, catalogue: Sequence[Feature], settings: LeakcheckConfig, seed: int) -> Iterator[Finding]:
    """Find attributes and features of the user's own that add much to all the others."""
    suspects: dict[str, list[Feature]] = {}
    for f in catalogue:
        if f.attribute is not None or f.group == custom.GROUP:
            suspects.setdefault(f.attribute or f.name, []).append(f)
    if not suspects:
        return
    every, use = lone_skill.forecast(case.rows, catalogue, case.y, case.half, seed)
    used = dict(zip(catalogue, use, strict=True))
    auc = lone_skill.mean_auc(case.y, every, case.half)
    for name, parts in suspects.items() if auc >= settings.alone_auc else ():
        if sum(used[f] for f in parts) < _LEAST_USE:
            continue
        most = max(parts, key=used.__getitem__)
        witnesses = [f for f in catalogue if f not in parts and not case.are_same(f, most)]
        without, _ = lone_skill.forecast(case.rows, witnesses, case.y, case.half, seed)
        others = _told_by(case, witnesses, lone_skill.mean_auc(case.y, without, case.half))
        lead, error = lone_skill.lead(case.y, every, without, case.half, case.person)
        if auc - others >= settings.added_gain * (1 - others) and lead >= _LEAST_ERRORS * error:
            detail = f"{name} lifts the AUC for {case.outcome} from {others:.3f}, of all else together, to {auc:.3f}"
            yield Finding(_TOO_GOOD, parts[0].name, ALARM, detail)


def _told_by(case: _Case, witnesses: Sequence[Feature], together: float) -> float:
    """Return what the witnesses tell: few rows teach the trees less than one good witness knows."""
    return max([together, *(case.alone[f] for f in witnesses)])

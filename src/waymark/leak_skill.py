"""Skill that cannot be: on futures dealt out at random, or of one feature against all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from waymark import lone_skill, schema, tampering
from waymark.catalogue import Feature
from waymark.config import LeakcheckConfig
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding
from waymark.leak_subject import Subject, halves, ids_of
from waymark.models import SILENT, labelled
from waymark.splits import TEST, TRAIN
from waymark.vocabulary import Vocabulary

_PERMUTED, _TOO_GOOD = "permuted_targets", "alone_too_good"
CHECKS = (_PERMUTED, _TOO_GOOD)
_KEY = list(schema.FEATURES.key)
_MAX_ROWS = 20_000
_MAX_STAGES = 3  # next stages looked at one by one, the commonest
_STAGES = ("stage", "previous_stage")  # always witnesses: the journey's own rules tie the next stage to them
_SAME = 0.9  # a feature of which the suspect tells so much is the same in other words, and no witness


def find_permuted(
    subject: Subject,
    cutoff: pd.Timestamp,
    person: pd.Series,
    rows: pd.DataFrame,
    catalogue: Sequence[Feature],
    vocabulary: Vocabulary,
    settings: LeakcheckConfig,
    rng: np.random.Generator,
    seed: int,
) -> Iterator[Finding]:
    """Deal out the futures at random before the features are built: whoever still tells who comes back has seen it."""
    latest = rows.sort_values("prefix_length", kind="stable").drop_duplicates("person_id", keep="last")
    latest = latest.assign(person=person.loc[latest["person_id"]].array)
    latest = latest[~latest["person"].duplicated(keep=False)].sort_values("person", ignore_index=True)
    events = subject.events
    giver = person.loc[ids_of(events)].set_axis(events.index)
    is_after = (events["event_time"] >= cutoff) & (events["event_time"] < cutoff + subject.horizon)
    active = giver[is_after & (events["actor"] == "customer")].unique()
    order = rng.permutation(len(latest))
    taker_of = dict(zip(latest["person"], latest["person_id"].to_numpy(object)[order], strict=True))
    y = np.zeros(len(latest), bool)
    y[order] = latest["person"].isin(active)
    half = halves(latest["person"])
    if not lone_skill.can_be_judged(y, half):
        yield Finding(_PERMUTED, "all features", NOT_JUDGED, f"too few of {len(y):,} persons come back, or stay away")
        return
    world = tampering.swap_futures((events, subject.links), cutoff, giver, taker_of, rng)
    swapped, _, _ = subject.build(world, cutoff, vocabulary)
    x = swapped.set_index(_KEY).reindex(pd.MultiIndex.from_frame(latest[_KEY])).reset_index()
    bound = 0.5 + settings.n_sigma * lone_skill.standard_error(y, half)
    alarmed = False
    for feature in catalogue:
        auc = lone_skill.alone(x[feature.column].to_numpy(), [y], half)[0]
        if auc > bound:
            alarmed = True
            detail = f"tells who comes back (AUC {auc:.3f}) where futures were dealt out at random"
            yield Finding(_PERMUTED, feature.name, ALARM, detail)
    auc = lone_skill.together(x, catalogue, y, half, seed)
    if auc > bound and not alarmed:
        yield Finding(
            _PERMUTED, "all features together", ALARM, f"AUC {auc:.3f} where futures were dealt out at random"
        )
    elif not alarmed:
        yield Finding(_PERMUTED, "all features", OK, f"AUC {auc:.3f} on futures dealt out at random, below {bound:.3f}")


def find_too_good(
    subject: Subject, person: pd.Series, settings: LeakcheckConfig, rng: np.random.Generator, seed: int
) -> Iterator[Finding]:
    """Find features that alone tell an outcome, and better than all the others together: a status delivered later."""
    for target in ("churn", "next_stage"):
        every = labelled(subject.features, subject.targets, target)
        for fold in (TRAIN, TEST):  # a last status tells the last nights best
            rows = every[every["fold"] == fold]
            if len(rows) > _MAX_ROWS:
                rows = rows.iloc[np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))]
            half = halves(person.loc[rows["person_id"]])
            classes = [SILENT] if target == "churn" else rows["label"].value_counts().index[:_MAX_STAGES].tolist()
            truth = {c: (rows["label"] == c).to_numpy() for c in classes}
            truth = {c: y for c, y in truth.items() if lone_skill.can_be_judged(y, half)}
            if not truth:
                yield Finding(_TOO_GOOD, target, NOT_JUDGED, f"too few outcomes in {len(rows):,} rows that {fold}")
            yield from _suspects(subject.catalogue, rows, truth, half, settings, seed)


def _suspects(
    catalogue: Sequence[Feature],
    rows: pd.DataFrame,
    truth: dict[str, np.ndarray],
    half: np.ndarray,
    settings: LeakcheckConfig,
    seed: int,
) -> Iterator[Finding]:
    values = {f: rows[f.column].to_numpy() for f in catalogue}
    aucs = np.array([lone_skill.alone(x, list(truth.values()), half) for x in values.values()])
    for i, (outcome, y) in enumerate(truth.items()):
        alone = dict(zip(catalogue, aucs[:, i], strict=True))
        best = max(alone, key=alone.__getitem__)
        if alone[best] < settings.alone_auc:
            yield Finding(
                _TOO_GOOD, "all features", OK, f"{best.name} tells {outcome} best, with AUC {alone[best]:.3f}"
            )
            continue
        witnesses = [f for f in catalogue if _is_witness(f, alone[f], values[f], values[best], settings)]
        # Few rows teach the trees less than one good witness knows.
        others = max([lone_skill.together(rows, witnesses, y, half, seed), *(alone[f] for f in witnesses)])
        bound = max(settings.alone_auc, others + settings.alone_lead)
        for f in (f for f in catalogue if alone[f] >= bound):
            detail = f"alone tells {outcome} with AUC {alone[f]:.3f}; the others together: {others:.3f}"
            yield Finding(_TOO_GOOD, f.name, ALARM, detail)
        if alone[best] < bound:
            detail = f"{best.name} tells {outcome} with AUC {alone[best]:.3f}, the others together {others:.3f}"
            yield Finding(_TOO_GOOD, "all features", OK, detail)


def _is_witness(
    feature: Feature, alone: float, values: np.ndarray, suspect: np.ndarray, settings: LeakcheckConfig
) -> bool:
    if feature.name in _STAGES:
        return True
    return alone < settings.alone_auc and lone_skill.share_told(values, suspect) < _SAME

"""Does anything know what it cannot know? Changes what lies past a cut-off, and looks at what moves.

All of it on a sample of persons, with the project's own events, settings and custom features. See docs/leakcheck.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from waymark import lone_skill, schema, tampering
from waymark.catalogue import Feature
from waymark.clock import TrainClock
from waymark.config import (
    FeaturesConfig,
    IdentityConfig,
    JourneyConfig,
    LeakcheckConfig,
    SplitConfig,
    TargetsConfig,
)
from waymark.features import build_training_features
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding, once
from waymark.ledger import ANONYMOUS, CUSTOMER
from waymark.models import SILENT, labelled
from waymark.splits import TEST, TRAIN
from waymark.tampering import Tamper, World
from waymark.targets import build_targets
from waymark.vocabulary import Vocabulary

_TOO_GOOD = "alone_too_good"
_PERMUTED, _UNRIPE = "permuted_targets", "unripe_targets"
_KEY = list(schema.FEATURES.key)
_MAX_ROWS = 20_000
_MAX_STAGES = 3  # next stages looked at one by one, the commonest
_STAGES = ("stage", "previous_stage")  # always witnesses: the journey's own rules tie the next stage to them
_SAME = 0.9  # a feature of which the suspect tells so much is the same in other words, and no witness

# Check -> what is done to the world -> how.
TAMPERINGS: dict[str, dict[str, Tamper]] = {
    "future": {
        "later events are deleted": tampering.delete_the_future,
        "later events are scrambled": tampering.scramble_the_future,
        "wild later events are added": tampering.add_a_wild_future,
    },
    "at_cutoff": {"events exactly at the cut-off are added": tampering.add_events_at_the_cutoff},
    "late_arrival": {
        "events are delivered after the cut-off": tampering.deliver_late,
        "events are restated after the cut-off": tampering.restate_late,
    },
    "hindsight_identity": {
        "links known later are deleted": tampering.forget_later_links,
        "links known later are added": tampering.link_anybody_later,
    },
}
CHECKS = (*TAMPERINGS, _PERMUTED, _TOO_GOOD, _UNRIPE)


@dataclass(frozen=True)
class Subject:
    """What is checked: the tables of a project, and the settings that they came from."""

    events: pd.DataFrame  # rows of `schema.EVENTS`
    links: pd.DataFrame  # rows of `schema.LINKS`
    features: pd.DataFrame  # rows of `schema.FEATURES`
    targets: pd.DataFrame  # rows of `schema.TARGETS`
    catalogue: Sequence[Feature]
    clock: TrainClock
    journey: JourneyConfig
    features_config: FeaturesConfig
    targets_config: TargetsConfig
    split: SplitConfig
    rules: IdentityConfig | None = None

    @property
    def horizon(self) -> pd.Timedelta:
        """How far the targets look past a cut-off."""
        return pd.Timedelta(days=self.targets_config.horizon_days)

    def build(
        self, world: World, cutoff: pd.Timestamp, vocabulary: Vocabulary | None = None
    ) -> tuple[pd.DataFrame, list[Feature], Vocabulary]:
        """Build the features of `world` up to `cutoff` as training does, the events after it at hand."""
        rows, catalogue, vocabulary = build_training_features(
            *world,
            [cutoff],
            self.clock.as_of,
            self.journey,
            self.features_config,
            self.rules,
            vocabulary,
        )
        return rows[rows["cutoff_time"] <= cutoff], catalogue, vocabulary


def leakcheck(subject: Subject, settings: LeakcheckConfig, seed: int) -> list[Finding]:
    """Check a sample of persons for knowledge of the future.

    Parameters
    ----------
    subject
        The tables and settings of the project.
    settings
        How many persons, at how many cut-offs, and what is too much skill.
    seed
        Of what is drawn.

    Returns
    -------
    list of Finding
        At least one of each check, in the order of the checks; alarms name the feature.
    """
    person = persons_of_ids(subject.events, subject.links)
    subject, person = _sample(subject, person, settings.n_persons)
    if subject.features.empty:
        return [Finding("sample", "features", NOT_JUDGED, "no training row")]
    times = np.sort(subject.features["cutoff_time"].unique())
    spread = [times[len(times) * (i + 1) // (settings.n_cutoffs + 1)] for i in range(settings.n_cutoffs)]
    cutoffs = [pd.Timestamp(t) for t in dict.fromkeys(spread)]
    rng = np.random.default_rng(seed)
    found = [f for t in cutoffs for f in _at(subject, t, person, settings, rng, seed)]
    found += _too_good(subject, person, settings, rng, seed)
    found += _unripe(subject, rng)
    return once(found, CHECKS)


def persons_of_ids(events: pd.DataFrame, links: pd.DataFrame) -> pd.Series:
    """Return a code for each identifier, indexed by identifier: those ever linked, or carried by one event, share it.

    The widest identity there is, hindsight included: nothing that is known of anybody else belongs to these persons.
    """
    one = (ANONYMOUS + events["anonymous_id"]).where(events["customer_id"].notna())
    both = pd.DataFrame({"id_a": one, "id_b": CUSTOMER + events["customer_id"]}).dropna().drop_duplicates()
    pairs = pd.concat([both.astype(object), links[["id_a", "id_b"]].astype(object)])
    names = pd.Index(np.unique(np.concatenate([tampering.ids(events), pairs.to_numpy(object).ravel()]).astype(object)))
    a, b = names.get_indexer(pairs["id_a"]), names.get_indexer(pairs["id_b"])
    graph = coo_array((np.ones(len(pairs)), (a, b)), shape=(len(names), len(names)))
    return pd.Series(connected_components(graph, directed=False)[1], index=names)


def _sample(subject: Subject, person: pd.Series, n_persons: int) -> tuple[Subject, pd.Series]:
    """Keep `n_persons` that have a row, drawn by a hash of their first identifier, and all that belongs to them."""
    described = person.isin(person.reindex(subject.features["person_id"]))
    first = person.index[described].to_series().groupby(person[described].to_numpy()).min()
    order = np.argsort(pd.util.hash_array(first.to_numpy(object)), kind="stable")
    person = person[person.isin(first.index[order[:n_persons]])]
    kept = {
        "events": subject.events[_ids_of(subject.events).isin(person.index)],
        "links": subject.links[subject.links["id_a"].isin(person.index)],
        "features": subject.features[subject.features["person_id"].isin(person.index)],
        "targets": subject.targets[subject.targets["person_id"].isin(person.index)],
    }
    return Subject(**{**vars(subject), **kept}), person


def _ids_of(events: pd.DataFrame) -> pd.Series:
    return (CUSTOMER + events["customer_id"]).fillna(ANONYMOUS + events["anonymous_id"])


# --- what must not move ---------------------------------------------------------------------------------------------


def _at(
    subject: Subject,
    cutoff: pd.Timestamp,
    person: pd.Series,
    settings: LeakcheckConfig,
    rng: np.random.Generator,
    seed: int,
) -> Iterator[Finding]:
    world = subject.events, subject.links
    rows, catalogue, vocabulary = subject.build(world, cutoff)
    for check, ways in TAMPERINGS.items():
        alarmed = False
        for words, tamper in ways.items():
            other, _, _ = subject.build(tamper(world, cutoff, rng), cutoff, vocabulary)
            for name, n in _moved(rows, other).items():
                alarmed = True
                yield Finding(check, name, ALARM, f"{n:,} of {len(rows):,} rows change when {words}")
        if not alarmed:
            yield Finding(check, "all features", OK, f"{len(rows):,} rows stay as they are")
    yield from _permuted(subject, cutoff, person, rows, catalogue, vocabulary, settings, rng, seed)


def _moved(rows: pd.DataFrame, other: pd.DataFrame) -> dict[str, int]:
    """Return the columns that differ, and in how many rows; rows that come or go count as `person_id`."""
    rows, other = rows.set_index(_KEY), other.set_index(_KEY)
    moved = {"person_id": len(rows.index.symmetric_difference(other.index))}
    both = rows.index.intersection(other.index)
    rows, other = rows.loc[both], other.loc[both]
    for column in rows:
        a, b = rows[column], other[column]
        moved[column.removeprefix("f_")] = int((~((a == b) | (a.isna() & b.isna()))).sum())
    return {name: n for name, n in moved.items() if n}


# --- skill where there can be none ----------------------------------------------------------------------------------


def _permuted(
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
    giver = person.loc[_ids_of(events)].set_axis(events.index)
    is_after = (events["event_time"] >= cutoff) & (events["event_time"] < cutoff + subject.horizon)
    active = giver[is_after & (events["actor"] == "customer")].unique()
    order = rng.permutation(len(latest))
    taker_of = dict(zip(latest["person"], latest["person_id"].to_numpy(object)[order], strict=True))
    y = np.zeros(len(latest), bool)
    y[order] = latest["person"].isin(active)
    half = _half(latest["person"])
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


def _half(person: pd.Series) -> np.ndarray:
    """Return a half for each person code, by its hash: codes follow names, and names may follow time."""
    return (pd.util.hash_array(person.to_numpy(np.int64)) & np.uint64(1)).astype(bool)


# --- one feature that knows it all ----------------------------------------------------------------------------------


def _too_good(
    subject: Subject, person: pd.Series, settings: LeakcheckConfig, rng: np.random.Generator, seed: int
) -> Iterator[Finding]:
    """Find features that alone tell an outcome, and better than all the others together: a status delivered later."""
    for target in ("churn", "next_stage"):
        every = labelled(subject.features, subject.targets, target)
        for fold in (TRAIN, TEST):  # a last status tells the last nights best
            rows = every[every["fold"] == fold]
            if len(rows) > _MAX_ROWS:
                rows = rows.iloc[np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))]
            half = _half(person.loc[rows["person_id"]])
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


# --- labels before their time ---------------------------------------------------------------------------------------


def _unripe(subject: Subject, rng: np.random.Generator) -> Iterator[Finding]:
    """Find labels that nobody could know yet when training looked, or when the test began."""
    targets, as_of = subject.targets, subject.clock.as_of
    alarms = [*_too_early(subject), *_unlike_the_past(subject, rng)]
    yield from (Finding(_UNRIPE, name, ALARM, detail) for name, detail in alarms)
    if not alarms:
        n = int((targets["churn_status"] == "mature").sum())
        yield Finding(_UNRIPE, "all targets", OK, f"{n:,} mature labels were known by {as_of:%Y-%m-%d}")


def _too_early(subject: Subject) -> Iterator[tuple[str, str]]:
    targets, clock = subject.targets, subject.clock
    ends = targets["cutoff_time"] + subject.horizon
    ripens = {"is_silent": "churn_status"}
    if subject.split.kind == "cutoffs":  # of cases the next stage is known with the next event
        ripens["next_stage"] = "next_stage_status"
    for column, status in ripens.items():
        is_mature = targets[status] == "mature"
        early = int((is_mature & (ends > clock.as_of)).sum())
        if early:
            yield column, f"{early:,} rows are mature, but their horizon ends after {clock.as_of:%Y-%m-%d %H:%M}"
        tests = targets.loc[targets["fold"] == TEST, "cutoff_time"]
        reaching = is_mature & (targets["fold"] == TRAIN) & (ends > tests.min())
        if (subject.split.kind == "cutoffs" or subject.split.embargo) and reaching.any():
            yield (
                column,
                f"{int(reaching.sum()):,} training rows reach past the first test cut-off {tests.min():%Y-%m-%d}",
            )


def _unlike_the_past(subject: Subject, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Build the targets anew, with another future after what training may see."""
    as_of, world = subject.clock.as_of, (subject.events, subject.links)
    for tamper in (tampering.delete_the_future, tampering.add_a_wild_future, tampering.link_anybody_later):
        world = tamper(world, as_of, rng)
    points = subject.features[[*schema.POINT, "stage"]]
    again = build_targets(
        points,
        *world,
        subject.clock,
        subject.features_config.points,
        subject.journey,
        subject.targets_config,
        subject.split,
        subject.rules,
    )
    both = subject.targets.merge(again, on=_KEY, suffixes=("", "_again"), validate="one_to_one")
    for column, status in (("is_silent", "churn_status"), ("next_stage", "next_stage_status")):
        is_mature = both[status] == "mature"
        if column == "is_silent":  # whether a case trains, and when it ripens, depends on cases outside the sample
            is_mature &= both[f"{status}_again"] == "mature"
        old, new = (both[c].astype(object).where(both[c].notna(), None) for c in (column, f"{column}_again"))
        n = int((is_mature & (old != new)).sum())
        if n:
            yield column, f"{n:,} mature labels are not what was known by {as_of:%Y-%m-%d %H:%M}"

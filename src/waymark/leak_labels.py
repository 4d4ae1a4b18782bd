"""Labels before their time: targets that nobody could know when training looked, or when the test began."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from waymark import schema, tampering
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding
from waymark.leak_subject import Sample, Subject
from waymark.splits import TEST, TRAIN
from waymark.targets import build_targets

_UNRIPE = "unripe_targets"
CHECKS = (_UNRIPE,)
_KEY = list(schema.FEATURES.key)


def find_unripe(sample: Sample, rng: np.random.Generator) -> Iterator[Finding]:
    """Find labels that nobody could know yet when training looked, or when the test began."""
    as_of = sample.subject.clock.as_of
    alarms = [*_too_early(sample.subject), *_unlike_the_past(sample, rng)]
    yield from (Finding(_UNRIPE, name, ALARM, detail) for name, detail in alarms)
    if not alarms:
        n = int((sample.whole(sample.subject.targets)["churn_status"] == "mature").sum())
        detail = f"{n:,} mature labels are what was known by {as_of:%Y-%m-%d}"
        yield Finding(_UNRIPE, "all targets", OK if n else NOT_JUDGED, detail)


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


def _unlike_the_past(sample: Sample, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Build the targets anew, with another future after what training may see."""
    subject = sample.subject
    as_of, world = subject.clock.as_of, subject.world
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
    both = sample.whole(subject.targets).merge(again, on=_KEY, suffixes=("", "_again"), validate="one_to_one")
    for column, status in (("is_silent", "churn_status"), ("next_stage", "next_stage_status")):
        is_mature = both[status] == "mature"
        if column == "is_silent":  # whether a case trains, and when it ripens, depends on cases outside the sample
            is_mature &= both[f"{status}_again"] == "mature"
        old, new = (both[c].astype(object).where(both[c].notna(), None) for c in (column, f"{column}_again"))
        n = int((is_mature & (old != new)).sum())
        if n:
            yield column, f"{n:,} mature labels are not what was known by {as_of:%Y-%m-%d %H:%M}"

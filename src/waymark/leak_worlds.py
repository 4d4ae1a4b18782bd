"""What must not move: rows built anew in worlds that differ in nothing that their persons could show by the cut-off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from waymark import schema, tampering
from waymark.findings import ALARM, NOT_JUDGED, OK, Finding
from waymark.leak_subject import Sample, halves
from waymark.tampering import Tamper

_STORED, _OTHERS = "stored_rows", "other_persons"
_KEY = list(schema.FEATURES.key)

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
CHECKS = (_STORED, *TAMPERINGS, _OTHERS)


def find_stale(sample: Sample, cutoff: pd.Timestamp, rng: np.random.Generator) -> Iterator[Finding]:
    """Find features whose stored rows are not those built where nobody knows anything later.

    Has to come first: what a function keeps of its first call shall be what it saw here.
    """
    subject = sample.subject
    world = subject.world
    for tamper in (tampering.delete_the_future, tampering.forget_later_links):
        world = tamper(world, cutoff, rng)
    again = sample.whole(subject.build(world, cutoff))
    stored = sample.whole(subject.features)
    night = stored["cutoff_time"]
    stored = stored[night <= cutoff if subject.features_config.points == "every_event" else night == cutoff]
    if stored.empty:
        yield Finding(_STORED, "all features", NOT_JUDGED, "everybody is linked to an id that too many share")
        return
    moved = _moved(stored, again)
    for name, n in moved.items():
        detail = f"{n:,} of {len(stored):,} stored rows are not what was known by {cutoff:%Y-%m-%d %H:%M}"
        yield Finding(_STORED, name, ALARM, detail)
    if not moved:
        yield Finding(_STORED, "all features", OK, f"{len(stored):,} stored rows are what was known by their cut-off")


def find_moved(sample: Sample, cutoff: pd.Timestamp, rows: pd.DataFrame, rng: np.random.Generator) -> Iterator[Finding]:
    """Find features that differ from `rows` where only what could not be seen before the cut-off differs."""
    subject = sample.subject
    for check, ways in TAMPERINGS.items():
        alarmed = False
        for words, tamper in ways.items():
            other = subject.build(tamper(subject.world, cutoff, rng), cutoff)
            for name, n in _moved(rows, other).items():
                alarmed = True
                yield Finding(check, name, ALARM, f"{n:,} of {len(rows):,} rows change when {words}")
        if not alarmed:
            yield Finding(check, "all features", OK, f"{len(rows):,} rows stay as they are")


def find_crowd_effects(sample: Sample, cutoff: pd.Timestamp, rows: pd.DataFrame) -> Iterator[Finding]:
    """Find features that differ from `rows` where half of the persons are not there."""
    codes = sample.person.unique()
    kept = codes[halves(codes)]
    rows = rows[np.isin(sample.code(rows["person_id"]), kept)]
    if rows.empty:
        yield Finding(_OTHERS, "all features", NOT_JUDGED, "too few persons")
        return
    moved = _moved(rows, sample.subject.build(sample.part(kept), cutoff))
    for name, n in moved.items():
        yield Finding(_OTHERS, name, ALARM, f"{n:,} of {len(rows):,} rows change when other persons are left out")
    if not moved:
        yield Finding(_OTHERS, "all features", OK, f"{len(rows):,} rows do not depend on other persons")


def _moved(rows: pd.DataFrame, other: pd.DataFrame) -> dict[str, int]:
    """Return the columns that differ, and in how many rows; rows that come or go count as `person_id`."""
    one, two = pd.MultiIndex.from_frame(rows[_KEY]), pd.MultiIndex.from_frame(other[_KEY])
    place = two.get_indexer(one)
    is_there = place >= 0
    moved = {"person_id": len(one) + len(two) - 2 * int(is_there.sum())}
    moved |= {c.removeprefix("f_"): len(rows) for c in rows.columns.symmetric_difference(other.columns, sort=False)}
    shared = [c for c in rows if c in other and c not in _KEY]
    a = rows.loc[is_there, shared].reset_index(drop=True)
    b = other[shared].iloc[place[is_there]].reset_index(drop=True)
    differ = (a != b) & ~(a.isna() & b.isna())
    moved |= {c.removeprefix("f_"): int(n) for c, n in differ.sum().items()}
    return {name: n for name, n in moved.items() if n}

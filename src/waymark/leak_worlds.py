"""What must not move: rows built anew in worlds that differ in nothing that could be seen before a cut-off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from waymark import schema, tampering
from waymark.findings import ALARM, OK, Finding
from waymark.leak_subject import Subject
from waymark.tampering import Tamper
from waymark.vocabulary import Vocabulary

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
CHECKS = tuple(TAMPERINGS)


def find_moved(
    subject: Subject, cutoff: pd.Timestamp, rows: pd.DataFrame, vocabulary: Vocabulary, rng: np.random.Generator
) -> Iterator[Finding]:
    """Find features that differ from `rows` where only what could not be seen before the cut-off differs."""
    world = subject.events, subject.links
    for check, ways in TAMPERINGS.items():
        alarmed = False
        for words, tamper in ways.items():
            other, _, _ = subject.build(tamper(world, cutoff, rng), cutoff, vocabulary)
            for name, n in _moved(rows, other).items():
                alarmed = True
                yield Finding(check, name, ALARM, f"{n:,} of {len(rows):,} rows change when {words}")
        if not alarmed:
            yield Finding(check, "all features", OK, f"{len(rows):,} rows stay as they are")


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

"""Does anything know what it cannot know? Changes what lies past a cut-off, and looks at what moves.

All of it on a sample of persons, with the project's own events, settings and custom features. See docs/leakcheck.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from waymark import leak_files, leak_labels, leak_skill, leak_worlds
from waymark.config import LeakcheckConfig
from waymark.findings import NOT_JUDGED, Finding, once
from waymark.leak_subject import Sample, Subject, sample

CHECKS = (*leak_files.CHECKS, *leak_worlds.CHECKS, *leak_skill.CHECKS, *leak_labels.CHECKS)


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
    drawn = sample(subject, settings.n_persons)
    if drawn.subject.features.empty:
        return [Finding("sample", "features", NOT_JUDGED, "no training row")]
    with leak_files.watched_features() as opened:
        found = list(_found(drawn, settings, seed))
    return once([*leak_files.find_readers(opened), *found], CHECKS)


def _found(drawn: Sample, settings: LeakcheckConfig, seed: int) -> Iterator[Finding]:
    rng = np.random.default_rng(seed)
    times = np.sort(drawn.subject.features["cutoff_time"].unique())
    spread = [times[len(times) * (i + 1) // (settings.n_cutoffs + 1)] for i in range(settings.n_cutoffs)]
    for cutoff in map(pd.Timestamp, dict.fromkeys(spread)):
        yield from leak_worlds.find_stale(drawn, cutoff, rng)
        rows = drawn.subject.build(drawn.subject.world, cutoff)
        yield from leak_worlds.find_moved(drawn, cutoff, rows, rng)
        yield from leak_worlds.find_crowd_effects(drawn, cutoff, rows)
        yield from leak_skill.find_permuted(drawn, cutoff, rows, settings, rng, seed)
    yield from leak_skill.find_too_good(drawn, settings, rng, seed)
    yield from leak_labels.find_unripe(drawn, rng)

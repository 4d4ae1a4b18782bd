"""The categories that features know: learnt once, from what training may see, and kept with the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from waymark.config import FeaturesConfig
from waymark.eventlog import OTHER, EventLog, group_by_person
from waymark.journeys import StageMap

ARROW = " > "


@dataclass(frozen=True)
class Vocabulary:
    """Categories in the order of their codes; those of `*_categories` serve last values, the others counts."""

    counted_types: tuple[str, ...]
    type_categories: tuple[str, ...]
    counted_channels: tuple[str, ...]
    channel_categories: tuple[str, ...]
    stages: tuple[str, ...]
    transitions: tuple[str, ...]
    two_transitions: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    valued_types: tuple[str, ...]  # event types with a value other than 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `tables.write_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Vocabulary:
        """Read back what `to_json` returned."""
        attributes = {name: tuple(v) for name, v in values["attributes"].items()}
        lists = {name: tuple(v) for name, v in values.items() if isinstance(v, list | tuple)}
        return cls(**{**values, **lists, "attributes": attributes})


def learn_vocabulary(log: EventLog, stage_map: StageMap, settings: FeaturesConfig, as_of: int) -> Vocabulary:
    """Learn the categories from the events of `log` that happened and were known before `as_of` (microseconds)."""
    grouped = group_by_person(log, log.visible(as_of), as_of)
    events = stage_map.columns(grouped)
    stage = stage_map.stage_codes(events)
    types, channels = log.kinds.event_type[events.kind], log.kinds.channel[events.kind]
    valued = types[events.value_cents != 0]
    ways = {n: _ways(stage_map.stages, grouped.starts, stage, n) for n in (2, 3)}
    is_present = np.bincount(stage, minlength=len(stage_map.stages)) > 0
    return Vocabulary(
        counted_types=_commonest(log.event_types, types, settings.max_counted),
        type_categories=_commonest(log.event_types, types, settings.max_categories),
        counted_channels=_commonest(log.channels, channels, settings.max_counted),
        channel_categories=_commonest(log.channels, channels, settings.max_categories),
        stages=tuple(s for s, there in zip(stage_map.stages, is_present, strict=True) if there),
        transitions=most_frequent(*ways[2], settings.max_categories),
        two_transitions=most_frequent(*ways[3], settings.max_categories),
        attributes={
            name: _commonest(names, codes[grouped.index], settings.max_categories)
            for name, (codes, names) in log.attributes.items()
        },
        numbers=tuple(log.numbers),
        valued_types=_commonest(log.event_types, valued, settings.max_counted),
    )


def most_frequent(names: Sequence[str], counts: Sequence[int], at_most: int) -> tuple[str, ...]:
    """Return the commonest of `names`, by count and then by name; the rarer ones together are the last, `OTHER`.

    A name that is there twice counts as the sum; one that never occurs is left out.
    """
    total: Counter[str] = Counter()
    for name, count in zip(names, counts, strict=True):
        if count:
            total[name] += int(count)
    ordered = sorted(total, key=lambda name: (-total[name], name))
    return tuple(ordered) if len(ordered) <= at_most else (*ordered[: at_most - 1], OTHER)


def _commonest(names: Sequence[str], codes: np.ndarray, at_most: int) -> tuple[str, ...]:
    counts = np.bincount(codes.astype(np.int64) + 1, minlength=len(names) + 1)[1:]  # -1 has no name
    return most_frequent(names, counts, at_most)


def _ways(stages: Sequence[str], starts: np.ndarray, stage: np.ndarray, n: int) -> tuple[list[str], np.ndarray]:
    """Return the sequences of `n` stages, visited one after another, and how often persons went them."""
    person = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    is_entry = np.append(True, (stage[1:] != stage[:-1]) | (person[1:] != person[:-1]))[: len(stage)]
    person, visited = person[is_entry], stage[is_entry].astype(np.int64)
    last = len(visited) - n + 1
    shape = (len(stages),) * n
    if last < 1:
        return [], np.zeros(0, np.int64)
    is_one = person[n - 1 :] == person[:last]  # of one person, whose events lie together
    steps = [visited[k : last + k][is_one] for k in range(n)]
    codes, counts = np.unique(np.ravel_multi_index(steps, shape), return_counts=True)
    ways = np.transpose(np.unravel_index(codes, shape))
    return [ARROW.join(stages[s] for s in way) for way in ways], counts


def transition_tables(
    stages: Sequence[str], transitions: Sequence[str], two_transitions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return tables of the categories of the latest transition and of the latest two.

    Returns
    -------
    place : ndarray
        (n_stages + 1,) int32: the place of each stage in the tables; stages that no category names share the last place
        but one, and the last place is that of no stage at all.
    one : ndarray
        (n_places, n_places) float32: the category of a change from one place to another, NaN for none.
    pair : ndarray
        (n_places, n_places) int32: the row of `two` for the earlier of two changes.
    two : ndarray
        (n_pairs, n_places) float32: the category of two changes, NaN for none.
    """
    ones = {way: code for code, name in enumerate(transitions) for way in _parted(name, 2, {*stages})}
    twos = {way: code for code, name in enumerate(two_transitions) for way in _parted(name, 3, {*stages})}
    at = {stage: i for i, stage in enumerate(sorted({stage for way in (*ones, *twos) for stage in way}))}
    begun = {way[:2]: row for row, way in enumerate(twos, start=2)}
    other, two_other = (names.index(OTHER) if OTHER in names else np.nan for names in (transitions, two_transitions))
    n = len(at) + 2
    one, pair = np.full((n, n), other, np.float32), np.ones((n, n), np.int32)
    two = np.full((len(twos) + 2, n), two_other, np.float32)
    # From no stage at all there is no change, and row 0 is that of no two changes.
    one[-1], pair[-1], pair[:, -1], two[0] = np.nan, 0, 0, np.nan
    for (before, now), code in ones.items():
        one[at[before], at[now]] = code
    for (before, now), row in begun.items():
        pair[at[before], at[now]] = row
    for way, code in twos.items():
        two[begun[way[:2]], at[way[2]]] = code
    return np.array([*(at.get(stage, n - 2) for stage in stages), n - 1], np.int32), one, pair, two


def _parted(name: str, n: int, stages: set[str]) -> list[tuple[str, ...]]:
    """Return the sequences of `n` stages that are called so: more than one where stages have arrows in their names."""
    if n == 1:
        return [(name,)] if name in stages else []
    parts = name.split(ARROW)
    splits = ((ARROW.join(parts[:k]), ARROW.join(parts[k:])) for k in range(1, len(parts)))
    return [(head, *rest) for head, tail in splits if head in stages for rest in _parted(tail, n - 1, stages)]

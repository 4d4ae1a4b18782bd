"""The categories that features know: learnt once, from what training may see, and kept with the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from waymark.config import FeaturesConfig
from waymark.console import cut
from waymark.eventlog import OTHER, EventLog, group_by_person
from waymark.journeys import StageMap

ARROW = " > "
_SHOWN = 5  # event types named in a sentence


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


Counts = dict[str, dict[str, int]]  # kind of name -> name -> how often it occurs


def learn_vocabulary(log: EventLog, stage_map: StageMap, settings: FeaturesConfig, as_of: int) -> Vocabulary:
    """Learn the categories from the events of `log` that happened and were known before `as_of` (microseconds)."""
    return choose_vocabulary([count_names(log, stage_map, as_of)], settings)


def count_names(log: EventLog, stage_map: StageMap, as_of: int) -> Counts:
    """Count the names that events of `log` carry which happened and were known before `as_of` (microseconds).

    The counts of several logs add up.
    """
    grouped = group_by_person(log, log.visible(as_of), as_of)
    events = stage_map.columns(grouped)
    stage = stage_map.stage_codes(events)
    types, channels = log.kinds.event_type[events.kind], log.kinds.channel[events.kind]
    valued = types[events.value_cents != 0]
    ways = {n: _ways(stage_map.stages, grouped.starts, stage, n) for n in (2, 3)}
    visits = np.bincount(stage, minlength=len(stage_map.stages))
    attributes = {name: _counted(names, codes[grouped.index]) for name, (codes, names) in log.attributes.items()}
    return {
        "types": _counted(log.event_types, types),
        "unnamed types": _counted(log.event_types, types[stage_map.is_unnamed[events.kind]]),
        "valued": _counted(log.event_types, valued),
        "channels": _counted(log.channels, channels),
        "stages": dict(zip(stage_map.stages, visits.tolist(), strict=True)),
        "ways of two": _added(*ways[2]),
        "ways of three": _added(*ways[3]),
        "numbers": dict.fromkeys(log.numbers, 1),
        **{f"attribute {name}": counts for name, counts in attributes.items()},
    }


def choose_vocabulary(counts: Iterable[Counts], settings: FeaturesConfig) -> Vocabulary:
    """Choose the categories from the counts of some logs, whose stages and attributes are the same."""
    total: dict[str, Counter[str]] = {}
    for of_log in counts:
        for kind, found in of_log.items():
            names = total.setdefault(kind, Counter())
            for name, n in found.items():
                names[name] += n

    def most(kind: str, at_most: int) -> tuple[str, ...]:
        return most_frequent(total[kind], at_most)

    attributes = sorted(kind for kind in total if kind.startswith("attribute "))
    return Vocabulary(
        counted_types=most("types", settings.max_counted),
        type_categories=most("types", settings.max_categories),
        counted_channels=most("channels", settings.max_counted),
        channel_categories=most("channels", settings.max_categories),
        stages=tuple(stage for stage, n in total["stages"].items() if n),
        transitions=most("ways of two", settings.max_categories),
        two_transitions=most("ways of three", settings.max_categories),
        attributes={k.removeprefix("attribute "): most(k, settings.max_categories) for k in attributes},
        numbers=tuple(sorted(total["numbers"])),
        valued_types=most("valued", settings.max_counted),
    )


def tell_unnamed(counts: Iterable[Counts]) -> list[str]:
    """Say in a sentence which event types of customers no rule of the journey names; return none where there are none.

    They count as activity, and change no stage.
    """
    total: Counter[str] = Counter()
    for of_log in counts:
        total.update(of_log["unnamed types"])
    if not total:
        return []
    types = sorted(total, key=lambda name: (-total[name], name))
    named = ", ".join(f"{cut(name)} ({total[name]:,} events)" for name in types[:_SHOWN])
    more = f" and {len(types) - _SHOWN} more types" if len(types) > _SHOWN else ""
    return [f"no rule in conf/journey/ names {named}{more}"]


def most_frequent(counts: Mapping[str, int], at_most: int) -> tuple[str, ...]:
    """Return the commonest names, by count and then by name; the rarer ones together are the last, `OTHER`.

    A name that never occurs is left out.
    """
    ordered = sorted((name for name, n in counts.items() if n), key=lambda name: (-counts[name], name))
    return tuple(ordered) if len(ordered) <= at_most else (*ordered[: at_most - 1], OTHER)


def _counted(names: Sequence[str], codes: np.ndarray) -> dict[str, int]:
    counts = np.bincount(codes.astype(np.int64) + 1, minlength=len(names) + 1)[1:]  # -1 has no name
    return {names[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def _added(names: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    total: Counter[str] = Counter()  # stages with arrows in their names may make two ways one
    for name, n in zip(names, counts.tolist(), strict=True):
        total[name] += n
    return dict(total)


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

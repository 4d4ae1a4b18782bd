"""The categories that features know: learnt once, from what training may see, and kept with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from waymark.config import FeaturesConfig
from waymark.eventlog import OTHER, EventLog, group_by_person
from waymark.journeys import BEFORE, BEFORE_THAT, ENTRY, StageMap

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


def most_frequent(names: Sequence[str], at_most: int) -> tuple[str, ...]:
    """Return the commonest of `names`, by count and then by name; the rarer ones together are the last, `OTHER`."""
    counts = pd.Series(names, dtype=object).value_counts(sort=False)
    ordered = sorted(counts.index, key=lambda name: (-counts[name], name))
    return tuple(ordered) if len(ordered) <= at_most else (*ordered[: at_most - 1], OTHER)


def learn_vocabulary(log: EventLog, stage_map: StageMap, settings: FeaturesConfig, as_of: int) -> Vocabulary:
    """Learn the categories from the events of `log` that happened and were known before `as_of` (microseconds)."""
    index = log.visible(as_of)
    grouped = group_by_person(log, index, as_of)
    stage = stage_map.stage_codes(grouped)
    state = stage_map.states(grouped, stage)
    entry = np.flatnonzero(state[:, ENTRY] == np.arange(len(stage)))
    types = log.event_types[log.event_type[index]]
    channels = log.channels[log.channel[index][log.channel[index] >= 0]]
    is_present = np.zeros(len(stage_map.stages), bool)
    is_present[stage] = True
    transition, two = transition_names(stage_map.stages, stage[entry], state[entry])
    return Vocabulary(
        counted_types=most_frequent(types, settings.max_counted),
        type_categories=most_frequent(types, settings.max_categories),
        counted_channels=most_frequent(channels, settings.max_counted),
        channel_categories=most_frequent(channels, settings.max_categories),
        stages=tuple(s for s, there in zip(stage_map.stages, is_present, strict=True) if there),
        transitions=most_frequent([t for t in transition if t], settings.max_categories),
        two_transitions=most_frequent([t for t in two if t], settings.max_categories),
        attributes={
            name: most_frequent(names[codes[index][codes[index] >= 0]], settings.max_categories)
            for name, (codes, names) in log.attributes.items()
        },
        numbers=tuple(log.numbers),
        valued_types=most_frequent(types[log.value_cents[index] != 0], settings.max_counted),
    )


def transition_names(stages: Sequence[str], stage: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Name the latest transition and the latest two, after each event; "" where there were fewer."""
    names = np.array([*stages, ""], object)
    now, before, before_that = names[stage], names[state[:, BEFORE]], names[state[:, BEFORE_THAT]]
    one = np.where(state[:, BEFORE] >= 0, before + ARROW + now, "")
    two = np.where(state[:, BEFORE_THAT] >= 0, before_that + ARROW + before + ARROW + now, "")
    return one, two

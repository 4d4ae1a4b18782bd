"""How much hangs on the rules that make identifiers persons: what tonight would be under each other rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np

from waymark.config import IdentityConfig, JourneyConfig
from waymark.eventlog import EventLog, group_by_person
from waymark.identity import Identities
from waymark.journeys import StageMap

_COUNTS = ("n_persons", "n_events_moved", "n_persons_concerned", "n_stages_changed")
SHARED_DEVICES = get_args(IdentityConfig.model_fields["shared_devices"].annotation)


def measure_exposure(log: EventLog, journey: JourneyConfig, cutoff: int) -> dict[str, Any]:
    """Count the events, persons and stages that hang on each rule, as known before `cutoff` (microseconds).

    Returns
    -------
    dict
        `in_force` holds the rules; `n_events` counts the events seen, `n_shared_devices` the anonymous ids that serve
        several customers, `n_crowded_ids` those that link nobody because more than `max_persons_per_id` are linked to
        them. `rules` has one entry a rule for shared devices, and one for the rule in force without that limit (null):
        `n_persons` with events; `n_events_moved`, those of another person than under the rules in force;
        `n_persons_concerned`, those under the rules in force who gain or lose such an event; `n_stages_changed`, those
        of them whose latest event is somebody's at another present stage.
    """
    rules = log.identities.rules
    seen, stage_map = log.visible(cutoff), StageMap(log, journey)
    in_force = _View(log, stage_map, seen, cutoff)

    def under(**changed: Any) -> dict[str, Any]:
        identities = replace(log.identities, rules=rules.model_copy(update=changed))
        return _compare(in_force, _View(replace(log, identities=identities), stage_map, seen, cutoff))

    no_limit = len(log.identities.person_ids) + 2
    limit, without = {"max_persons_per_id": rules.max_persons_per_id}, {"max_persons_per_id": None}
    return {
        "in_force": {"shared_devices": rules.shared_devices, "max_persons_per_id": rules.max_persons_per_id},
        "n_events": len(seen),
        "n_shared_devices": int(_are_shared(log.identities, cutoff).sum()),
        "n_crowded_ids": int(log.identities.are_crowded(cutoff).sum()),
        "rules": [
            *({"shared_devices": name} | limit | under(shared_devices=name) for name in SHARED_DEVICES),
            {"shared_devices": rules.shared_devices} | without | under(max_persons_per_id=no_limit),
        ],
    }


def add_up(measured: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what `measure_exposure` would say of several logs together, whose persons are others."""
    first, *others = measured
    total = {**first, "rules": [dict(rule) for rule in first["rules"]]}
    for other in others:
        for name in ("n_events", "n_shared_devices", "n_crowded_ids"):
            total[name] += other[name]
        for rule, of_other in zip(total["rules"], other["rules"], strict=True):
            for name in _COUNTS:
                rule[name] += of_other[name]
    return total


@dataclass(frozen=True)
class _View:
    """Who is who under one set of rules."""

    log: EventLog
    stage_map: StageMap
    seen: np.ndarray  # positions of the events that count
    cutoff: int

    @cached_property
    def person(self) -> np.ndarray:
        """The person code of each event of the log."""
        return self.log.identities.persons(self.cutoff)

    @cached_property
    def present(self) -> tuple[np.ndarray, np.ndarray]:
        """The position of each person's latest event and the stage after it, by person code, -1 where there is none."""
        grouped = group_by_person(self.log, self.seen, self.cutoff)
        last = grouped.starts[1:] - 1
        position, stage = np.full((2, len(self.log.identities.person_ids)), -1, np.int64)
        position[grouped.persons] = grouped.index[last]
        stage[grouped.persons] = self.stage_map.stage_codes(grouped)[last]
        return position, stage


def _compare(in_force: _View, other: _View) -> dict[str, int]:
    now, then = in_force.person[in_force.seen], other.person[other.seen]
    is_moved = now != then
    concerned = np.intersect1d(np.concatenate([now[is_moved], then[is_moved]]), now)
    n_changed = 0
    if len(concerned):
        latest, stage = in_force.present
        n_changed = int((stage[concerned] != other.present[1][other.person[latest[concerned]]]).sum())
    return {
        "n_persons": len(np.unique(then)),
        "n_events_moved": int(is_moved.sum()),
        "n_persons_concerned": len(concerned),
        "n_stages_changed": n_changed,
    }


def _are_shared(identities: Identities, cutoff: int) -> np.ndarray:
    """Say which identifiers are a customer's only where shared devices join their customers."""
    split, joined = (
        replace(identities, rules=identities.rules.model_copy(update={"shared_devices": name}))
        for name in ("device_split", "none")
    )
    has_customer = (view.are_identified(cutoff)[view.people(cutoff)] for view in (split, joined))
    return ~next(has_customer) & next(has_customer)

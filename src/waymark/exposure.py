"""How much hangs on the rules that make identifiers persons: what tonight would be under each other rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from waymark.config import IdentityConfig, JourneyConfig
from waymark.eventlog import EventLog, group_by_person
from waymark.identity import NEVER, Identities
from waymark.journeys import StageMap
from waymark.persons import ever_linked

_COUNTS = ("n_persons", "n_events_moved", "n_persons_concerned", "n_stages_changed")
SHARED_DEVICES = get_args(IdentityConfig.model_fields["shared_devices"].annotation)


def measure_exposure(log: EventLog, journey: JourneyConfig, cutoff: int) -> dict[str, Any]:
    """Count the events, persons and stages that hang on each rule, as known before `cutoff` (microseconds).

    Returns
    -------
    dict
        See `tell`.
    """
    listed = list_exposure(log, journey, cutoff).to_pandas().drop(columns="id")
    return tell(listed.sum().astype(int).to_dict(), log.identities.rules)


def list_exposure(log: EventLog, journey: JourneyConfig, cutoff: int) -> pa.Table:
    """Return how much of each widest person hangs on each rule, as known before `cutoff` (microseconds).

    Returns
    -------
    pyarrow.Table
        One row is one widest person, all that links ever join: `id`, its oldest identifier, and what adds up to what
        `tell` takes.
    """
    ids = log.identities
    seen, stage_map, widest = log.visible(cutoff), StageMap(log, journey), ever_linked(_without_hubs(ids, NEVER))
    in_force, others = _View(log, stage_map, seen, cutoff), _others(ids, cutoff)
    columns = {
        "n_events": in_force.person[seen],
        "n_shared_devices": np.flatnonzero(_are_shared(others["device_split"], others["none"], cutoff)),
        "n_crowded_ids": np.flatnonzero(ids.are_crowded(cutoff)),
    }
    for name, other in others.items():
        view = in_force if other is ids else _View(replace(log, identities=other), *in_force.rest)
        columns |= {f"{name}_{count}": codes for count, codes in _compare(in_force, view).items()}
    counted = {name: np.bincount(widest[codes], minlength=len(widest)) for name, codes in columns.items()}
    is_there = np.logical_or.reduce([n > 0 for n in counted.values()])
    return pa.table(
        {"id": ids.names.filter(pa.array(is_there))}
        | {name: n[is_there].astype(np.int32) for name, n in counted.items()}
    )


def _others(ids: Identities, cutoff: int) -> dict[str, Identities]:
    """Return who is who under each other rule, by the name that columns of `list_exposure` begin with."""

    def under(found: Identities, **changed: Any) -> Identities:
        return replace(found, rules=found.rules.model_copy(update=changed))

    no_limit = under(_without_hubs(ids, cutoff), max_persons_per_id=len(ids.names) + 2)
    found = {
        name: ids if name == ids.rules.shared_devices else under(ids, shared_devices=name) for name in SHARED_DEVICES
    }
    return found | {"unlimited": no_limit}


def _without_hubs(ids: Identities, cutoff: int) -> Identities:
    """Take away the links of ids that link nobody for good: what they lead to may lie in any bucket."""
    is_hub = ids.are_hubs(cutoff)
    if not is_hub.any():
        return ids
    kept = ~(is_hub[ids.low] | is_hub[ids.high])
    links = {name: getattr(ids, name)[kept] for name in ("low", "high", "linked_from", "linked_until")}
    return replace(ids, **links)


def tell(total: Mapping[str, int], rules: IdentityConfig) -> dict[str, Any]:
    """Put the sums of the columns of `list_exposure` by rule.

    Returns
    -------
    dict
        `in_force` holds the rules; `n_events` counts the events seen, `n_shared_devices` the anonymous ids that serve
        several customers, `n_crowded_ids` those that link nobody because more than `max_persons_per_id` are linked to
        them. `rules` has one entry a rule for shared devices, and one for the rule in force without that limit (null):
        `n_persons` with events; `n_events_moved`, those of another person than under the rules in force;
        `n_persons_concerned`, those under the rules in force who gain or lose such an event; `n_stages_changed`, those
        of them whose latest event is somebody's at another present stage. Without the limit, too, an id that has had
        more than `identity.hub_size` partners links nobody.
    """

    def under(name: str) -> dict[str, int]:
        return {count: total[f"{name}_{count}"] for count in _COUNTS}

    limit = {"max_persons_per_id": rules.max_persons_per_id}
    return {
        "in_force": {"shared_devices": rules.shared_devices} | limit,
        **{name: total[name] for name in ("n_events", "n_shared_devices", "n_crowded_ids")},
        "rules": [
            *({"shared_devices": name} | limit | under(name) for name in SHARED_DEVICES),
            {"shared_devices": rules.shared_devices, "max_persons_per_id": None} | under("unlimited"),
        ],
    }


@dataclass(frozen=True)
class _View:
    """Who is who under one set of rules."""

    log: EventLog
    stage_map: StageMap
    seen: np.ndarray  # positions of the events that count
    cutoff: int

    @property
    def rest(self) -> tuple[StageMap, np.ndarray, int]:
        """All but who is who."""
        return self.stage_map, self.seen, self.cutoff

    @cached_property
    def owners(self) -> tuple[np.ndarray, np.ndarray]:
        """The identifier that each event of the log belongs to, and the person code of each identifier."""
        return self.log.identities.owners(self.cutoff)

    @cached_property
    def person(self) -> np.ndarray:
        """The person code of each event of the log."""
        owner, people = self.owners
        return people[owner]

    @cached_property
    def there(self) -> np.ndarray:
        """The codes of the persons who have an event that counts."""
        return np.flatnonzero(np.bincount(self.person[self.seen], minlength=len(self.log.identities.names)))

    @cached_property
    def present(self) -> tuple[np.ndarray, np.ndarray]:
        """The position of each person's latest event and the stage after it, by person code, -1 where there is none."""
        grouped = group_by_person(self.log, self.seen, self.cutoff)
        last = grouped.starts[1:] - 1
        position, stage = np.full((2, len(self.log.identities.names)), -1, np.int64)
        position[grouped.persons] = grouped.index[last]
        stage[grouped.persons] = self.stage_map.stage_codes(grouped)[last]
        return position, stage


def _compare(in_force: _View, other: _View) -> dict[str, np.ndarray]:
    """Return the codes of those that each of `_COUNTS` counts."""
    if all(map(np.array_equal, in_force.owners, other.owners)):
        nobody = np.zeros(0, np.int64)
        return dict(zip(_COUNTS, (in_force.there, nobody, nobody, nobody), strict=True))
    now, then = in_force.person[in_force.seen], other.person[other.seen]
    is_moved, n = now != then, len(in_force.log.identities.names)
    n_then = np.bincount(then, minlength=n)
    n_left, n_come = (np.bincount(codes[is_moved], minlength=n) for codes in (now, then))
    n_now = n_then + n_left - n_come
    concerned = np.flatnonzero((n_left + n_come > 0) & (n_now > 0))
    changed = concerned
    if len(concerned):
        latest, stage = in_force.present
        changed = concerned[stage[concerned] != other.present[1][other.person[latest[concerned]]]]
    return dict(zip(_COUNTS, (np.flatnonzero(n_then), now[is_moved], concerned, changed), strict=True))


def _are_shared(split: Identities, joined: Identities, cutoff: int) -> np.ndarray:
    """Say which identifiers are a customer's only where shared devices join their customers."""
    of_split, of_joined = (view.are_identified(cutoff)[view.people(cutoff)] for view in (split, joined))
    return ~of_split & of_joined

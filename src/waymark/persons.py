"""Who is who, told to the user: the person behind each identifier, and each night's changes of persons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from waymark.config import IdentityConfig
from waymark.identity import EventIds, Identities

_DAY = 86_400_000_000  # microseconds
_NEVER = np.iinfo(np.int64).max
_NO_CHANGES = (np.zeros(0, object),) * 3


def list_identifiers(identities: Identities, cutoff: int) -> pd.DataFrame:
    """Return rows of `schema.IDENTIFIERS`: the identifiers known before `cutoff` (microseconds)."""
    known = np.flatnonzero((identities.known_from < cutoff) & ~identities.is_foreign)
    names = identities.person_ids
    return pd.DataFrame(
        {
            "id": pd.array(names[known], "str"),
            "person_id": pd.array(names[identities.people(cutoff)[known]], "str"),
            "hindsight_person_id": pd.array(names[identities.people(_NEVER)[known]], "str"),
            "known_from": _times(identities.known_from[known]),
        }
    )


def list_person_changes(identities: Identities, cutoff: int) -> pd.DataFrame:
    """List how persons changed from each midnight UTC to the next, up to `cutoff` (microseconds).

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.PERSON_CHANGES`, by night. What is known later changes none of them. An identifier that is new
        has no person to change from.
    """
    begins, ends = _night_after(identities.linked_from), _night_after(identities.linked_until)
    nights = np.unique(np.concatenate([begins, ends]))
    component = ever_linked(identities)
    found = []
    for night in nights[nights <= cutoff]:
        # News changes only those whom some link, in force or not, leads to.
        is_touched = np.zeros(len(component), bool)
        is_touched[component[identities.low[(begins == night) | (ends == night)]]] = True
        found.append(_changes(_part(identities, is_touched[component]), night))
    old, new, kinds = (np.concatenate(parts) for parts in zip(_NO_CHANGES, *found, strict=True))
    return pd.DataFrame(
        {
            "night": _times(np.repeat(nights[nights <= cutoff], [len(changes[0]) for changes in found])),
            "old_person_id": pd.array(old, "str"),
            "new_person_id": pd.array(new, "str"),
            "kind": pd.array(kinds, "str"),
        }
    )


def _night_after(times: np.ndarray) -> np.ndarray:
    """Return the first midnight after each time; a time that never comes stays so."""
    return np.where(times == _NEVER, _NEVER, (np.minimum(times, _NEVER - 2 * _DAY) // _DAY + 1) * _DAY)


def ever_linked(identities: Identities, max_persons_per_id: int | None = None) -> np.ndarray:
    """Return a code for each identifier, shared by all that any links join, whenever and whatever device is shared.

    Ids that more than `max_persons_per_id` are linked to join nobody; None sets no limit.
    """
    most = max_persons_per_id or len(identities.person_ids) + 2
    everything = IdentityConfig(shared_devices="none", max_persons_per_id=most)
    return replace(identities, linked_until=np.full_like(identities.linked_until, _NEVER), rules=everything).people(
        _NEVER
    )


def _part(identities: Identities, is_member: np.ndarray) -> Identities:
    """Return some identifiers (bool, by code), which no link leads out of, without their events."""
    members, links = np.flatnonzero(is_member), np.flatnonzero(is_member[identities.low])
    nothing = np.zeros(0, np.int32)
    return replace(
        identities,
        person_ids=identities.person_ids[members],
        n_customers=int(np.searchsorted(members, identities.n_customers)),
        events=EventIds(*[nothing] * len(EventIds._fields)),
        known_from=identities.known_from[members],
        is_foreign=identities.is_foreign[members],
        low=np.searchsorted(members, identities.low[links]).astype(np.int32),
        high=np.searchsorted(members, identities.high[links]).astype(np.int32),
        linked_from=identities.linked_from[links],
        linked_until=identities.linked_until[links],
    )


def _changes(part: Identities, night: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the changes of persons from the night before to this one: old and new person, and the kind."""
    before, now = part.people(night - _DAY).astype(np.int64), part.people(night).astype(np.int64)
    moved, n = (part.known_from < night - _DAY) & (before != now), len(before)
    change = np.unique(before[moved] * n + now[moved])
    old, new = np.divmod(change, max(n, 1))
    is_gone = now[old] == new  # the id that names the old person is the new one's
    kinds = np.select([is_gone, _are_erased(part, night, before, change)], ["merge", "erase"], "split").astype(object)
    return part.person_ids[old], part.person_ids[new], kinds


def _are_erased(part: Identities, night: int, before: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Say which changes would not be, had no link ended that night: erased, or taken back by a restatement."""
    is_news = (part.linked_until >= night - _DAY) & (part.linked_until < night)
    if not is_news.any():
        return np.zeros(len(change), bool)
    otherwise = replace(part, linked_until=np.where(is_news, _NEVER, part.linked_until)).people(night)
    return ~np.isin(change, before * len(before) + otherwise)


def _times(microseconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.astype("datetime64[us]")).tz_localize("UTC")

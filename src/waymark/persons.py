"""Who is who, told to the user: the person behind each identifier, and each night's changes of persons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from waymark.config import IdentityConfig
from waymark.identity import Identities

_DAY = 86_400_000_000  # microseconds
_NEVER = np.iinfo(np.int64).max


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
    found = [_changes(_part(identities, np.zeros(0, np.int64)), 0)]
    for night in nights[nights <= cutoff]:
        # News changes only those whom some link, in force or not, leads to.
        is_touched = np.zeros(len(component), bool)
        is_touched[component[identities.low[(begins == night) | (ends == night)]]] = True
        found.append(_changes(_part(identities, np.flatnonzero(is_touched[component])), night))
    return pd.concat(found, ignore_index=True)


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


def _part(identities: Identities, members: np.ndarray) -> Identities:
    """Return the identifiers `members` (ascending codes), which no link leads out of, without their events."""
    links = np.flatnonzero(np.isin(identities.low, members))
    nothing = np.zeros(0, np.int32)
    return replace(
        identities,
        person_ids=identities.person_ids[members],
        n_customers=int(np.searchsorted(members, identities.n_customers)),
        customer=nothing,
        anonymous=nothing,
        happened=nothing,
        known=nothing,
        is_login=nothing.astype(bool),
        owns_until=nothing,
        known_from=identities.known_from[members],
        is_foreign=identities.is_foreign[members],
        low=np.searchsorted(members, identities.low[links]).astype(np.int32),
        high=np.searchsorted(members, identities.high[links]).astype(np.int32),
        linked_from=identities.linked_from[links],
        linked_until=identities.linked_until[links],
    )


def _changes(part: Identities, night: int) -> pd.DataFrame:
    """Return the changes of persons from the night before to this one."""
    before, now = part.people(night - _DAY), part.people(night)
    moved = np.flatnonzero((part.known_from < night - _DAY) & (before != now))
    rows = pd.DataFrame({"old": before[moved], "new": now[moved]}).drop_duplicates()
    is_gone = now[rows["old"]] == rows["new"]  # the id that names the old person is the new one's
    kinds = np.select([is_gone, _are_erased(part, night, before, rows)], ["merge", "erase"], "split")
    return pd.DataFrame(
        {
            "night": _times(np.full(len(rows), night)),
            "old_person_id": pd.array(part.person_ids[rows["old"]], "str"),
            "new_person_id": pd.array(part.person_ids[rows["new"]], "str"),
            "kind": pd.array(kinds, "str"),
        }
    )


def _are_erased(part: Identities, night: int, before: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Say which changes would not be, had no link ended that night: erased, or taken back by a restatement."""
    is_news = (part.linked_until >= night - _DAY) & (part.linked_until < night)
    if not is_news.any():
        return np.zeros(len(rows), bool)
    otherwise = replace(part, linked_until=np.where(is_news, _NEVER, part.linked_until)).people(night)
    n = len(before)
    return ~np.isin(rows["old"].to_numpy(np.int64) * n + rows["new"], before.astype(np.int64) * n + otherwise)


def _times(microseconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.astype("datetime64[us]")).tz_localize("UTC")

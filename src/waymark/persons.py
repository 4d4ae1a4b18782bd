"""Who is who, told to the user: the person behind each identifier, and each night's changes of persons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from waymark import schema
from waymark.config import IdentityConfig
from waymark.identity import EventIds, Identities

_DAY = 86_400_000_000  # microseconds
_NEVER = np.iinfo(np.int64).max
_NO_CHANGES = (*(np.zeros(0, np.int64),) * 3, np.zeros(0, object))
_TOGETHER = 1 << 18  # identifiers that are looked at together, as they were in some nights


def list_identifiers(identities: Identities, cutoff: int) -> pa.Table:
    """Return rows of `schema.IDENTIFIERS`: the identifiers known before `cutoff` (microseconds)."""
    known = np.flatnonzero((identities.known_from < cutoff) & ~identities.is_foreign)
    names = identities.names
    return pa.table(
        {
            "id": names.take(pa.array(known)),
            "person_id": names.take(pa.array(identities.people(cutoff)[known])),
            "hindsight_person_id": names.take(pa.array(identities.people(_NEVER)[known])),
            "known_from": _times(identities.known_from[known]),
        }
    )


def list_person_changes(identities: Identities, cutoff: int) -> pa.Table:
    """List how persons changed from each midnight UTC to the next, up to `cutoff` (microseconds).

    Returns
    -------
    pyarrow.Table
        Rows of `schema.PERSON_CHANGES`, by night. What is known later changes none of them. An identifier that is new
        has no person to change from.
    """
    component = ever_linked(identities)
    n = len(component)
    members, links = _Groups.of(component, n), _Groups.of(component[identities.low], n)
    nights, touched = _touched(identities, component, cutoff)
    found = [_NO_CHANGES]
    for share in _shares(members.sizes[touched]):
        found.append(_changes(identities, members, links, nights[share], touched[share]))
    night, old, new, kind = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((new, old, night))
    return pa.table(
        {
            "night": _times(night[order]),
            "old_person_id": identities.names.take(pa.array(old[order])),
            "new_person_id": identities.names.take(pa.array(new[order])),
            "kind": pa.array(kind[order], pa.string()),
        }
    )


def _night_after(times: np.ndarray) -> np.ndarray:
    """Return the first midnight after each time; a time that never comes stays so."""
    return np.where(times == _NEVER, _NEVER, (np.minimum(times, _NEVER - 2 * _DAY) // _DAY + 1) * _DAY)


def ever_linked(identities: Identities, max_persons_per_id: int | None = None, before: int = _NEVER) -> np.ndarray:
    """Return a code for each identifier, shared by all that any links join, whenever and whatever device is shared.

    The code is that of the oldest of them. Ids that more than `max_persons_per_id` are linked to join nobody; None sets
    no limit. Links that were known only at `before` (microseconds) or later join nobody either.
    """
    most = max_persons_per_id or len(identities.names) + 2
    everything = IdentityConfig(shared_devices="none", max_persons_per_id=most)
    lasting = replace(identities, linked_until=np.full_like(identities.linked_until, _NEVER), rules=everything)
    return lasting.people(before)


class _Groups(NamedTuple):
    """Positions by the component that they are of."""

    order: np.ndarray  # those of a component together, ascending
    starts: np.ndarray  # by component, where its own begin in `order`
    sizes: np.ndarray  # by component

    @classmethod
    def of(cls, component: np.ndarray, n: int) -> _Groups:
        """Group the positions in `component`, which has codes below `n`."""
        sizes = np.bincount(component, minlength=n)
        return cls(np.argsort(component, kind="stable"), np.cumsum(sizes) - sizes, sizes)

    def all_of(self, components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of some components, one after another, and which of those each is of."""
        sizes = self.sizes[components]
        which = np.repeat(np.arange(len(components)), sizes)
        skipped = self.starts[components] - (np.cumsum(sizes) - sizes)
        return self.order[np.arange(len(which)) + skipped[which]], which


def _touched(identities: Identities, component: np.ndarray, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nights up to `cutoff` that brought news of links, and the component concerned: each pair once."""
    night = np.append(_night_after(identities.linked_from), _night_after(identities.linked_until))
    touched, n = np.tile(component[identities.low], 2), max(len(component), 1)
    is_past = night <= cutoff
    day, touched = np.divmod(_each_once(night[is_past] // _DAY * n + touched[is_past]), n)
    return day * _DAY, touched


def _shares(sizes: np.ndarray) -> Iterator[slice]:
    """Yield slices of what has these sizes, each of about `_TOGETHER`, or of one."""
    share = np.cumsum(sizes) // _TOGETHER
    borders = [0, *(np.flatnonzero(np.diff(share)) + 1).tolist(), len(sizes)]
    return (slice(begin, end) for begin, end in itertools.pairwise(borders) if begin < end)


def _as_of(
    identities: Identities, members: _Groups, links: _Groups, nights: np.ndarray, components: np.ndarray
) -> tuple[Identities, np.ndarray, np.ndarray]:
    """Return copies of some components, without their events, each with its times counted from a night of its own.

    So one question, as of 0 or of a day before, asks of each as of its night. Also returns the code that each
    identifier had, and which copy it is of.
    """
    codes, copy = members.all_of(components)
    customers_first = np.argsort(codes >= identities.n_customers, kind="stable")
    codes, copy = codes[customers_first], copy[customers_first]
    # Where the copy of an identifier is, by copy and code.
    by_copy = np.empty(len(codes), np.int64)
    by_copy[customers_first] = np.arange(len(codes))
    sizes = members.sizes[components]
    begins = np.cumsum(sizes) - sizes
    rank = np.empty(len(members.order), np.int64)
    rank[members.order] = np.arange(len(rank)) - np.repeat(members.starts, members.sizes)
    at, of = links.all_of(components)
    since = identities.linked_from[at] - nights[of]
    # No other order has a say, as nothing is asked as of other times than these two.
    in_order = np.argsort((since >= -_DAY).astype(np.int8) + (since >= 0), kind="stable")
    at, of = at[in_order], of[in_order]
    low, high = (by_copy[begins[of] + rank[end[at]]].astype(np.int32) for end in (identities.low, identities.high))
    nothing = np.zeros(0, np.int32)
    copies = replace(
        identities,
        names=identities.names.take(pa.array(codes)),
        n_customers=int((codes < identities.n_customers).sum()),
        events=EventIds(*[nothing] * len(EventIds._fields)),
        known_from=_since(identities.known_from[codes], nights[copy]),
        is_foreign=identities.is_foreign[codes],
        low=low,
        high=high,
        linked_from=since[in_order],
        linked_until=_since(identities.linked_until[at], nights[of]),
    )
    return copies, codes, copy


def _since(times: np.ndarray, nights: np.ndarray) -> np.ndarray:
    return np.where(times == _NEVER, _NEVER, np.where(times == _NEVER, 0, times) - nights)


def _changes(
    identities: Identities, members: _Groups, links: _Groups, nights: np.ndarray, components: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return how persons of each component changed to its night: the night, the codes of old and new, and the kind."""
    copies, codes, copy = _as_of(identities, members, links, nights, components)
    before, now = copies.people(-_DAY).astype(np.int64), copies.people(0).astype(np.int64)
    moved, n = (copies.known_from < -_DAY) & (before != now), len(before)
    change = _each_once(before[moved] * n + now[moved])
    old, new = np.divmod(change, max(n, 1))
    is_gone = now[old] == new  # the id that names the old person is the new one's
    kinds = np.select([is_gone, _are_erased(copies, before, change)], ["merge", "erase"], "split").astype(object)
    return nights[copy[old]], codes[old], codes[new], kinds


def _are_erased(copies: Identities, before: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Say which changes would not be, had no link ended that night: erased, or taken back by a restatement."""
    is_news = (copies.linked_until >= -_DAY) & (copies.linked_until < 0)
    if not is_news.any():
        return np.zeros(len(change), bool)
    otherwise = replace(copies, linked_until=np.where(is_news, _NEVER, copies.linked_until)).people(0)
    return ~np.isin(change, before * len(before) + otherwise)


def _each_once(numbers: np.ndarray) -> np.ndarray:
    """Return each of some numbers once, ascending; `np.unique` would hash them before it sorts them."""
    numbers = np.sort(numbers)
    return numbers[np.diff(numbers, prepend=numbers[:1] - 1) > 0]


def _times(microseconds: np.ndarray) -> pa.Array:
    return pa.array(microseconds, pa.int64()).view(schema.ARROW[schema.TIME])

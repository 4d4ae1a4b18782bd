"""Who is who: identifiers joined into persons through the links known before a cut-off.

A person is a connected component of identifiers, and is called by the oldest of them: an id that was there first stays
through every merge. A device known to serve several customers is shared, and a rule says what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.config import IdentityConfig
from waymark.errors import InputError
from waymark.kernels import buckets, unions
from waymark.ledger import ANONYMOUS, CARRIED, CUSTOMER, ENDS

NEVER = np.iinfo(np.int64).max
_HUB = 10  # times `max_persons_per_id`
_N_KEPT = 2  # cut-offs whose persons are kept: features and targets ask for one or two again and again


class EventIds(NamedTuple):
    """What events say of identifiers; every array has one element an event."""

    customer: np.ndarray  # int32 code, -1 for none
    anonymous: np.ndarray  # int32 code, -1 for none
    event_time: np.ndarray  # int64 microseconds
    known_time: np.ndarray  # int64 microseconds
    superseded_time: np.ndarray  # int64 microseconds, `NEVER` while it holds
    is_customers: np.ndarray  # bool: the customer acted


class Links(NamedTuple):
    """A ledger of links in codes; every array has one element a row."""

    one: np.ndarray  # int32 code
    two: np.ndarray  # int32 code
    kind: np.ndarray  # int8, place in `schema.LINK_KINDS`
    known_time: np.ndarray  # int64 microseconds


@dataclass(frozen=True)
class Identities:
    """The identifiers of a set of events and links, and when each link counts. Codes are places in `names`."""

    names: pa.Array  # (n_ids,) texts with their prefix, the customers first; any of them may name a person
    n_customers: int
    events: EventIds  # what events say of them
    known_from: np.ndarray  # (n_ids,) int64 microseconds: when the identifier was first known
    low: np.ndarray  # (n_links,) int32 codes, the smaller of the two
    high: np.ndarray  # (n_links,) int32 codes
    linked_from: np.ndarray  # (n_links,) int64 microseconds, ascending: the link counts at cut-offs after this
    linked_until: np.ndarray  # (n_links,) int64 microseconds: and no more after this
    erasures: Links  # of whatever events say; the smaller code is `one`
    is_foreign: np.ndarray  # (n_ids,) bool: it is somebody's elsewhere
    rules: IdentityConfig
    # What has been found out: (persons, shared devices) by cut-off, and the components grown so far.
    stitched: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, init=False, repr=False)
    grown: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @property
    def own_ids(self) -> np.ndarray:
        """The identifiers that are nobody's elsewhere."""
        return self.person_ids[~self.is_foreign] if self.is_foreign.any() else self.person_ids

    @cached_property
    def person_ids(self) -> np.ndarray:
        """The names as objects, which take longer to make than most of what is asked of them."""
        return self.names.to_numpy(zero_copy_only=False).astype(object, copy=False)

    def people(self, cutoff: int) -> np.ndarray:
        """Return the person code of each identifier as known before `cutoff` (microseconds)."""
        return self._stitch(cutoff)[0]

    def persons(self, cutoff: int) -> np.ndarray:
        """Return the person code of each event as known before `cutoff` (microseconds)."""
        owner, people = self.owners(cutoff)
        return people[owner]

    def owners(self, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the identifier that each event belongs to as known before `cutoff`, and the person code of each.

        Both are int32. An event is its customer's, else its device's, unless a rule gives it to somebody else.
        """
        people, is_lent = self.people(cutoff), self.are_lent(cutoff)
        return self._last_authenticated(self._carried, is_lent, cutoff) if is_lent.any() else self._carried, people

    def are_lent(self, cutoff: int) -> np.ndarray:
        """Say of which identifiers events that carry no customer may be somebody else's, as known before `cutoff`."""
        is_shared = self._stitch(cutoff)[1]
        return is_shared if self.rules.shared_devices == "last_auth" else np.zeros_like(is_shared)

    @cached_property
    def _carried(self) -> np.ndarray:
        return np.where(self.events.customer >= 0, self.events.customer, self.events.anonymous)

    def are_identified(self, cutoff: int) -> np.ndarray:
        """Say which persons have a customer id as known before `cutoff`, by code."""
        has_customer = np.zeros(len(self.names), bool)
        has_customer[self.people(cutoff)[: self.n_customers]] = True
        return has_customer

    @cached_property
    def _by_age(self) -> np.ndarray:
        """The codes from the youngest identifier to the oldest; of equal ones the customer's is older, then by name."""
        order = np.argsort(self.known_from, kind="stable")  # customers have the smaller codes
        known, is_anonymous = self.known_from[order], order >= self.n_customers
        is_tied = np.append(False, (known[1:] == known[:-1]) & (is_anonymous[1:] == is_anonymous[:-1]))
        run = np.cumsum(~is_tied)
        is_tied[:-1] |= is_tied[1:]
        at = np.flatnonzero(is_tied)
        order[at] = order[at][np.lexsort((pc.rank(self.names.take(pa.array(order[at]))), run[at]))]
        return order[::-1]

    def _stitch(self, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the person code of each identifier, and which anonymous ones serve several customers."""
        if cutoff not in self.stitched:
            if len(self.stitched) >= _N_KEPT:
                self.stitched.pop(next(iter(self.stitched)))
            parents, low, high = self._grow(cutoff)
            is_crowded = self._are_crowded(low, high, parents) | self.are_hubs(cutoff)
            kept = ~(is_crowded[low] | is_crowded[high])
            component, is_shared = self._components(low[kept], high[kept], parents)
            oldest = np.empty_like(component)
            oldest[component[self._by_age]] = self._by_age  # the oldest is written last
            self.stitched[cutoff] = oldest[component], is_shared
        return self.stitched[cutoff]

    def are_crowded(self, cutoff: int) -> np.ndarray:
        """Say which identifiers more than `max_persons_per_id` persons are linked to before `cutoff`, by code."""
        parents, low, high = self._grow(cutoff)
        return self._are_crowded(low, high, parents) | self.are_hubs(cutoff)

    def are_hubs(self, cutoff: int) -> np.ndarray:
        """Say which anonymous ids had ever been linked to so many others that nothing makes them one person's again."""
        return self.hubs_since < cutoff

    @cached_property
    def hubs_since(self) -> np.ndarray:
        """When the link of each anonymous id was known that was to one too many, for good; else never: int64 micros."""
        n_ids, since, most = len(self.names), np.full(len(self.names), NEVER), hub_size(self.rules)
        own, other = np.append(self.high, self.low), np.append(self.low, self.high)
        may_be = np.bincount(own, minlength=n_ids) > most
        may_be[: self.n_customers] = False
        asked = np.flatnonzero(may_be[own])
        if len(asked):
            asked = asked[np.argsort(asked % len(self.low), kind="stable")]  # links are in the order of time
            _, first = np.unique(own[asked].astype(np.int64) * n_ids + other[asked], return_index=True)
            partners = asked[np.sort(first)]  # each as it was first known
            partners = partners[np.argsort(own[partners], kind="stable")]
            hubs, begins, n = np.unique(own[partners], return_index=True, return_counts=True)
            last = partners[begins[n > most] + most]
            since[hubs[n > most]] = self.linked_from[last % len(self.low)]
        return since

    def _grow(self, cutoff: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the components of the links that last, as parents, and both ends of the others that count.

        Links that last are joined in the order of time, going on from the cut-off that was asked for before; where an
        earlier one is asked for, they are joined from the first on.
        """
        n = int(np.searchsorted(self.linked_from, cutoff))
        done = next((at for at in self.grown if at <= n), 0)
        parents = self.grown.pop(done, None)
        if parents is None:
            parents = np.arange(len(self.names), dtype=np.int32)
        new = np.flatnonzero(self._lasts[done:n]) + done
        unions.join(parents, self.low[new], self.high[new])
        self.grown.clear()
        self.grown[n] = parents
        others = ~self._lasts[:n] & ~(self.linked_until[:n] < cutoff)
        return parents, self.low[:n][others], self.high[:n][others]

    @cached_property
    def _lasts(self) -> np.ndarray:
        """Which links count at every cut-off from when they are known on, whatever else becomes known.

        Not those that end, of an anonymous id with many, or of a device that comes to serve several customers.
        """
        n_ids, is_login = len(self.names), (self.low < self.n_customers) & (self.high >= self.n_customers)
        has_many = np.bincount(np.append(self.low, self.high), minlength=n_ids) > self.rules.max_persons_per_id
        has_many[: self.n_customers] = False
        lasts = (self.linked_until == NEVER) & ~has_many[self.low] & ~has_many[self.high]
        if self.rules.shared_devices != "none":
            devices = np.arange(n_ids, dtype=np.int32)
            unions.join(devices, self.low[~is_login], self.high[~is_login])
            _, is_shared = _served(unions.roots(devices)[self.high[is_login]], self.low[is_login], n_ids)
            lasts[is_login] &= ~is_shared
        return lasts

    def _components(self, low: np.ndarray, high: np.ndarray, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what links add to the components `parents`: equal codes, one person; and which are shared devices."""
        parents = parents.copy()
        # Customers may be one through links of their own; only then is it known how many persons a device serves.
        is_login = (low < self.n_customers) & (high >= self.n_customers)
        unions.join(parents, low[~is_login], high[~is_login])
        root = unions.roots(parents)
        customer, device = root[low[is_login]], root[high[is_login]]
        is_shared, of_shared = _served(device, customer, len(root))
        joins = np.ones(len(device), bool) if self.rules.shared_devices == "none" else ~of_shared
        unions.join(parents, customer[joins], device[joins])
        return unions.roots(parents), is_shared[root]

    def _are_crowded(self, low: np.ndarray, high: np.ndarray, parents: np.ndarray) -> np.ndarray:
        """Say which anonymous ids have links to more than `max_persons_per_id` persons, told apart without them."""
        most, n = self.rules.max_persons_per_id, len(self.names)
        own, other = np.concatenate([high, low]), np.concatenate([low, high])
        degree = np.bincount(own, minlength=n)
        is_suspect = degree > most
        is_suspect[: self.n_customers] = False
        if not is_suspect.any():
            return is_suspect
        apart = ~(is_suspect[low] | is_suspect[high])
        component, _ = self._components(low[apart], high[apart], parents)
        asked = is_suspect[own]
        pairs = np.unique(own[asked].astype(np.int64) * n + component[other[asked]])
        return np.bincount(pairs // n, minlength=n) > most

    def _last_authenticated(self, own: np.ndarray, is_shared: np.ndarray, cutoff: int) -> np.ndarray:
        """Give each anonymous event on a shared device to the customer who had last logged in there before it."""
        events, n = self.events, len(own)
        place = np.empty(n, np.int64)
        place[np.argsort(events.event_time, kind="stable")] = np.arange(n)
        is_known = (events.event_time < cutoff) & (events.known_time < cutoff)
        logins = np.flatnonzero(self._are_logins & is_known & ~(self.owns_until < cutoff))
        key = events.anonymous[logins].astype(np.int64) * n + place[logins]
        logins, key = logins[np.argsort(key)], np.sort(key)
        asked = np.flatnonzero((events.customer < 0) & is_shared[events.anonymous])
        before = np.searchsorted(key, events.anonymous[asked].astype(np.int64) * n + place[asked]) - 1
        is_there = before >= 0
        asked, login = asked[is_there], logins[before[is_there]]
        same = events.anonymous[login] == events.anonymous[asked]
        own = own.copy()
        own[asked[same]] = events.customer[login[same]]
        return own

    @property
    def _are_logins(self) -> np.ndarray:
        """Say with which events the customer signed in on an anonymous id."""
        return (self.events.customer >= 0) & (self.events.anonymous >= 0) & self.events.is_customers

    @cached_property
    def owns_until(self) -> np.ndarray:
        """When each event was restated, or its link erased; else never: int64 microseconds."""
        events, erasures = self.events, self.erasures
        n = len(erasures.one)
        if not n:
            return events.superseded_time
        erased = _next_end(
            np.append(erasures.one, events.customer),
            np.append(erasures.two, events.anonymous),
            np.append(erasures.known_time, events.event_time),
            np.arange(n + len(events.customer)) < n,
        )
        return np.minimum(erased[n:], events.superseded_time)


def _served(device: np.ndarray, customer: np.ndarray, n_ids: int) -> tuple[np.ndarray, np.ndarray]:
    """Say which devices (codes) serve several customers, and which log-ins are on such a one."""
    first, last = np.full(n_ids, n_ids, np.int32), np.full(n_ids, -1, np.int32)
    np.minimum.at(first, device, customer)
    np.maximum.at(last, device, customer)
    is_shared = (last >= 0) & (first != last)
    return is_shared, is_shared[device]


def index_identities(events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None = None) -> Identities:
    """Prepare `events` (rows of `schema.EVENTS`) and `links` (rows of `schema.LINKS`) for questions as of a time."""
    nobodys = int((events["customer_id"].isna() & events["anonymous_id"].isna()).sum())
    if nobodys:
        raise InputError(f"{nobodys} events have neither customer_id nor anonymous_id; each event needs one of them")
    names = [CUSTOMER + events["customer_id"].astype("str"), ANONYMOUS + events["anonymous_id"].astype("str")]
    codes, ids, n_customers = _coded(pd.concat([*names, links["id_a"], links["id_b"]]))
    n = len(events)
    customer, anonymous, one, two = np.split(codes, [n, 2 * n, 2 * n + len(links)])
    happened, known, restated = (
        events[c].to_numpy("datetime64[us]").astype(np.int64) for c in ("event_time", "known_time", "superseded_time")
    )
    restated[events["superseded_time"].isna()] = NEVER
    return build_identities(
        ids,
        n_customers,
        EventIds(customer, anonymous, happened, known, restated, (events["actor"] == "customer").to_numpy(bool)),
        Links(
            one,
            two,
            pd.Categorical(links["kind"], categories=schema.LINK_KINDS).codes,
            links["known_time"].to_numpy("datetime64[us]").astype(np.int64),
        ),
        rules,
    )


def build_identities(
    names: pa.Array,
    n_customers: int,
    events: EventIds,
    links: Links,
    rules: IdentityConfig | None = None,
    is_foreign: np.ndarray | None = None,
) -> Identities:
    """Prepare events and links in codes for questions as of a time.

    Parameters
    ----------
    names
        (n_ids,) texts by code, those of customers first.
    is_foreign
        (n_ids,) which of them are somebody's elsewhere: they join nobody here.
    """
    known_from = np.full(len(names), NEVER)
    for code, *times in (
        (events.customer, events.event_time, events.known_time),
        (events.anonymous, events.event_time, events.known_time),
        (links.one, links.known_time, links.known_time),
        (links.two, links.known_time, links.known_time),
    ):
        buckets.least_at(known_from, code, *times)
    low, high = np.minimum(links.one, links.two), np.maximum(links.one, links.two)
    is_erasure, is_end, is_carried = (_are_among(kinds)[links.kind] for kinds in (["erase"], ENDS, CARRIED))
    until = np.where(
        is_carried, _next_end(low, high, links.known_time, is_end), _next_end(low, high, links.known_time, is_erasure)
    )
    counts = ~is_end
    if is_foreign is not None:
        counts &= ~(is_foreign[low] | is_foreign[high])
    order = np.lexsort((high, low, links.known_time))
    order = order[counts[order]]
    return Identities(
        names=names,
        n_customers=n_customers,
        events=events,
        known_from=known_from,
        low=low[order],
        high=high[order],
        linked_from=links.known_time[order],
        linked_until=until[order],
        erasures=Links(*(column[is_erasure] for column in (low, high, links.kind, links.known_time))),
        is_foreign=np.zeros(len(names), bool) if is_foreign is None else is_foreign,
        rules=rules or IdentityConfig(),
    )


def remembered_identities(names: pa.Array, events: EventIds, people: np.ndarray, cutoff: int) -> Identities:
    """Return identifiers of which is known whose they are at one cut-off, and nothing else: not who is a customer.

    `people` are int32 codes of persons, by the code of an identifier: see `Identities.people`.
    """
    nothing, n = np.zeros(0, np.int32), len(names)
    never, nobody = np.full(n, NEVER), np.zeros(n, bool)
    links = Links(nothing, nothing, nothing.astype(np.int8), nothing.astype(np.int64))
    times = links.known_time
    mine = Identities(names, 0, events, never, nothing, nothing, times, times, links, nobody, IdentityConfig())
    mine.stitched[cutoff] = people, nobody
    return mine


def _are_among(kinds: Sequence[str]) -> np.ndarray:
    """Say which of `schema.LINK_KINDS` are among some."""
    return np.array([kind in kinds for kind in schema.LINK_KINDS])


def _coded(names: pd.Series) -> tuple[np.ndarray, pa.Array, int]:
    """Return the int32 code of each name (-1 for none), the names by code, and how many of them are customers.

    Customers come first and each kind is sorted, so that the order of two ids does not depend on who else is there.
    """
    found, distinct = pd.factorize(names.astype("str"))  # as Arrow has it: Python strings take ten times as long
    distinct = pd.Series(distinct, dtype="str")
    is_customer = distinct.str.startswith(CUSTOMER).to_numpy(bool)
    order = distinct.argsort().to_numpy()
    order = order[np.argsort(~is_customer[order], kind="stable")]
    code = np.full(len(order) + 1, -1, np.int32)
    code[order] = np.arange(len(order))
    return code[found], pa.array(distinct.iloc[order], pa.string()), int(is_customer.sum())


def hub_size(rules: IdentityConfig) -> int:
    """Return how many others an anonymous id may ever be linked to before it links nobody, for good."""
    return _HUB * rules.max_persons_per_id


def _next_end(low: np.ndarray, high: np.ndarray, times: np.ndarray, is_end: np.ndarray) -> np.ndarray:
    """Return, for each row of a pair, when the next end of its pair was known, its own moment included; else never."""
    until = np.full(len(times), NEVER)
    if not is_end.any():
        return until
    # From the newest on; of one moment the end counts: whoever asks for it does not want the link.
    order = np.lexsort((is_end, times, high, low))[::-1]
    low, high, place = low[order], high[order], np.arange(len(order))
    pair_begins = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    begin = np.maximum.accumulate(np.where(pair_begins, place, 0))
    end = np.maximum.accumulate(np.where(is_end[order], place, -1))
    until[order] = np.where(end >= begin, times[order][end], NEVER)
    return until

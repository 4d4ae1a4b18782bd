"""Who is who: identifiers joined into persons through the links known before a cut-off.

A person is a connected component of identifiers, and is called by the oldest of them: an id that was there first stays
through every merge. A device known to serve several customers is shared, and a rule says what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from waymark import kernels
from waymark.config import IdentityConfig
from waymark.errors import InputError

CUSTOMER, ANONYMOUS = "customer:", "anonymous:"
_NEVER = np.iinfo(np.int64).max


def link_identities(events: pd.DataFrame, told: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the ledger of links: those that events carry, and those that somebody told of.

    Parameters
    ----------
    events
        Rows of `schema.EVENTS`, in any order. An event with two identifiers links them from the moment on when it had
        happened and could be known.
    told
        Rows of `schema.LINKS` from elsewhere, erasures among them.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.LINKS`, by the time when they were known. Of equal links between two erasures the first stays.
    """
    both = events.loc[
        events["anonymous_id"].notna() & events["customer_id"].notna(),
        ["anonymous_id", "customer_id", "event_time", "known_time", "source"],
    ]
    logins = pd.DataFrame(
        {
            "id_a": ANONYMOUS + both["anonymous_id"],
            "id_b": CUSTOMER + both["customer_id"],
            "kind": "login",
            # Some feeds know what is yet to happen.
            "known_time": both["known_time"].where(both["known_time"] > both["event_time"], both["event_time"]),
            "source": both["source"],
            "probability": np.nan,
        }
    ).astype({"probability": "float64"})
    links = logins if told is None or told.empty else pd.concat([logins, told[list(logins)]], ignore_index=True)
    # Of one moment the erasure is the last, so that it does not stand in for what is told again later.
    links = links.assign(is_erasure=links["kind"] == "erase").sort_values(
        ["known_time", "id_a", "id_b", "is_erasure", "kind", "source"], kind="stable", ignore_index=True
    )
    pair = links.groupby(["id_a", "id_b"], sort=False).ngroup()
    n_erased = links.pop("is_erasure").astype(int).groupby(pair).cumsum()
    is_first = ~pd.DataFrame({"pair": pair, "kind": links["kind"], "n": n_erased}).duplicated()
    return links[is_first].reset_index(drop=True)


@dataclass(frozen=True)
class Identities:
    """The identifiers of a set of events and links, and when each link counts. Codes are places in `person_ids`."""

    person_ids: np.ndarray  # (n_ids,) names with their prefix, the customers first; any of them may name a person
    n_customers: int
    customer: np.ndarray  # (n_events,) int32 customer code, -1 where the event carries none
    anonymous: np.ndarray  # (n_events,) int32 code, -1 where the event carries none
    happened: np.ndarray  # (n_events,) int64 microseconds
    known: np.ndarray  # (n_events,) int64 microseconds: when the event had happened and could be known
    owns_until: np.ndarray  # (n_events,) int64 microseconds: when the link it tells of was erased next, else never
    known_from: np.ndarray  # (n_ids,) int64 microseconds: when the identifier was first known
    low: np.ndarray  # (n_links,) int32 codes, the smaller of the two
    high: np.ndarray  # (n_links,) int32 codes
    linked_from: np.ndarray  # (n_links,) int64 microseconds, ascending: the link counts at cut-offs after this
    linked_until: np.ndarray  # (n_links,) int64 microseconds: and no more after this
    rules: IdentityConfig

    def people(self, cutoff: int) -> np.ndarray:
        """Return the person code of each identifier as known before `cutoff` (microseconds)."""
        return self._stitch(cutoff)[0]

    def persons(self, cutoff: int) -> np.ndarray:
        """Return the person code of each event as known before `cutoff` (microseconds)."""
        people, is_shared = self._stitch(cutoff)
        own = np.where(self.customer >= 0, self.customer, self.anonymous)
        if self.rules.shared_devices == "last_auth" and is_shared.any():
            own = self._last_authenticated(own, is_shared, cutoff)
        return people[own]

    def are_identified(self, cutoff: int) -> np.ndarray:
        """Say which persons have a customer id as known before `cutoff`, by code."""
        has_customer = np.zeros(len(self.person_ids), bool)
        has_customer[self.people(cutoff)[: self.n_customers]] = True
        return has_customer

    @cached_property
    def _by_age(self) -> np.ndarray:
        return np.lexsort((np.arange(len(self.person_ids)), self.known_from))[::-1]

    def _stitch(self, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the person code of each identifier, and which anonymous ones serve several customers."""
        n = np.searchsorted(self.linked_from, cutoff)
        counts = ~(self.linked_until[:n] < cutoff)
        low, high = self.low[:n][counts], self.high[:n][counts]
        parents = np.arange(len(self.person_ids), dtype=np.int32)
        # Customers may be one through links of their own; only then is it known how many persons a device serves.
        is_customers = high < self.n_customers
        kernels.join(parents, low[is_customers], high[is_customers])
        low, high = low[~is_customers], high[~is_customers]
        low, high = self._without_crowded(low, high, kernels.roots(parents))
        is_login = low < self.n_customers
        kernels.join(parents, low[~is_login], high[~is_login])
        root = kernels.roots(parents)
        customer, device = root[low[is_login]], root[high[is_login]]
        first, last = np.full(len(root), len(root), np.int32), np.full(len(root), -1, np.int32)
        np.minimum.at(first, device, customer)
        np.maximum.at(last, device, customer)
        is_shared = (last >= 0) & (first != last)
        joins = np.ones(len(device), bool) if self.rules.shared_devices == "none" else ~is_shared[device]
        kernels.join(parents, customer[joins], device[joins])
        component = kernels.roots(parents)
        oldest = np.empty_like(component)
        oldest[component[self._by_age]] = self._by_age  # the oldest is written last
        return oldest[component], is_shared[root]

    def _without_crowded(self, low: np.ndarray, high: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leave out the links of anonymous ids that more than `max_persons_per_id` others are linked to."""
        most, n = self.rules.max_persons_per_id, len(root)
        own, other = np.concatenate([high, low]), np.concatenate([low, high])
        degree = np.bincount(own, minlength=n)
        may_be = (own >= self.n_customers) & (degree[own] > most)
        if not may_be.any():
            return low, high
        pairs = np.unique(own[may_be].astype(np.int64) * n + root[other[may_be]])
        is_crowded = np.bincount(pairs // n, minlength=n) > most
        kept = ~(is_crowded[low] | is_crowded[high])
        return low[kept], high[kept]

    def _last_authenticated(self, own: np.ndarray, is_shared: np.ndarray, cutoff: int) -> np.ndarray:
        """Give each anonymous event on a shared device to the customer who had last logged in there before it."""
        n = len(own)
        place = np.empty(n, np.int64)
        place[np.lexsort((np.arange(n), self.happened))] = np.arange(n)
        is_login = (self.customer >= 0) & (self.anonymous >= 0)
        is_login &= (self.known < cutoff) & ~(self.owns_until < cutoff)
        logins = np.flatnonzero(is_login)
        key = self.anonymous[logins].astype(np.int64) * n + place[logins]
        logins, key = logins[np.argsort(key)], np.sort(key)
        asked = np.flatnonzero((self.customer < 0) & is_shared[self.anonymous])
        before = np.searchsorted(key, self.anonymous[asked].astype(np.int64) * n + place[asked]) - 1
        is_there = before >= 0
        asked, login = asked[is_there], logins[before[is_there]]
        same = self.anonymous[login] == self.anonymous[asked]
        own = own.copy()
        own[asked[same]] = self.customer[login[same]]
        return own


def index_identities(events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None = None) -> Identities:
    """Prepare `events` (rows of `schema.EVENTS`) and `links` (rows of `schema.LINKS`) for questions as of a time."""
    nobodys = int((events["customer_id"].isna() & events["anonymous_id"].isna()).sum())
    if nobodys:
        raise InputError(f"{nobodys} events have neither customer_id nor anonymous_id; each event needs one of them")
    names = [CUSTOMER + events["customer_id"].astype("str"), ANONYMOUS + events["anonymous_id"].astype("str")]
    codes, ids, n_customers = _coded(pd.concat([*names, links["id_a"], links["id_b"]]))
    n = len(events)
    customer, anonymous, one, two = np.split(codes, [n, 2 * n, 2 * n + len(links)])
    happened, known = (events[c].to_numpy("datetime64[us]").astype(np.int64) for c in ("event_time", "known_time"))
    known = np.maximum(happened, known)

    times = links["known_time"].to_numpy("datetime64[us]").astype(np.int64)
    known_from = np.full(len(ids), _NEVER)
    for codes, when in ((customer, known), (anonymous, known), (one, times), (two, times)):
        np.minimum.at(known_from, codes[codes >= 0], when[codes >= 0])
    is_erasure = (links["kind"] == "erase").to_numpy(bool)
    low, high = np.minimum(one, two), np.maximum(one, two)
    until, owns_until = np.split(
        _erased(
            np.append(low, customer),
            np.append(high, anonymous),
            np.append(times, known),
            np.append(is_erasure, np.zeros(n, bool)),
        ),
        [len(links)],
    )
    order = np.lexsort((high, low, times))
    order = order[~is_erasure[order]]
    return Identities(
        person_ids=ids,
        n_customers=n_customers,
        customer=customer,
        anonymous=anonymous,
        happened=happened,
        known=known,
        owns_until=owns_until,
        known_from=known_from,
        low=low[order],
        high=high[order],
        linked_from=times[order],
        linked_until=until[order],
        rules=rules or IdentityConfig(),
    )


def _coded(names: pd.Series) -> tuple[np.ndarray, np.ndarray, int]:
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
    return code[found], distinct.to_numpy(object)[order], int(is_customer.sum())


def _erased(low: np.ndarray, high: np.ndarray, times: np.ndarray, is_erasure: np.ndarray) -> np.ndarray:
    """Return, for each link, when the next erasure of its pair was known; never where there is none."""
    until = np.full(len(times), _NEVER)
    if not is_erasure.any():
        return until
    # From the newest on; of one moment the erasure counts: whoever asks for it does not want the link.
    order = np.lexsort((is_erasure, times, high, low))[::-1]
    low, high, place = low[order], high[order], np.arange(len(order))
    pair_begins = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    begin = np.maximum.accumulate(np.where(pair_begins, place, 0))
    erasure = np.maximum.accumulate(np.where(is_erasure[order], place, -1))
    until[order] = np.where(erasure >= begin, times[order][erasure], _NEVER)
    return until

"""Who is who: identifiers joined into persons through the links known before a cut-off.

A person is a connected component of identifiers, and is called by the oldest of them: an id that was there first stays
through every merge. A device known to serve several customers is shared, and a rule says what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from waymark import schema
from waymark.config import IdentityConfig
from waymark.errors import InputError
from waymark.kernels import unions

CUSTOMER, ANONYMOUS = "customer:", "anonymous:"
ENDS = ("withdraw", "erase")  # kinds of rows that end links: those that events carry, or all
_CARRIED = ("login", "mention")
_PAIR = ["id_a", "id_b"]
_FOREVER = pd.Timestamp.max.floor("us").tz_localize("UTC").as_unit("us")
_NEVER = np.iinfo(np.int64).max
_N_KEPT = 2  # cut-offs whose persons are kept: features and targets ask for one or two again and again


def link_identities(events: pd.DataFrame, told: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the ledger of links: those that events carry, and those that somebody told of.

    Parameters
    ----------
    events
        Rows of `schema.EVENTS`, in any order. An event with two identifiers links them from the moment on when it had
        happened and could be known: as a log-in where the customer acted, else as a mention. It does so until
        restatements have taken back all that linked the two. What happened before an erasure of the pair, and was
        delivered only after it, links nothing.
    told
        Rows of `schema.LINKS` from elsewhere, erasures among them.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.LINKS`, by the time when they were known. Of equal links that no end parts the first stays.
    """
    carried = _carried(events)
    told = carried.iloc[:0] if told is None else told
    erasures = told.loc[told["kind"] == "erase", [*_PAIR, "known_time"]].rename(columns={"known_time": "erased"})
    carried = _not_erased_already(carried, erasures)
    columns = [c for c in schema.LINKS.columns if c in carried]
    parts = [part[columns] for part in (carried, _withdrawals(carried, erasures), told) if len(part)]
    links = pd.concat(parts, ignore_index=True) if parts else carried[columns]
    # Of one moment the end is the last, so that it does not stand in for what is told again later.
    links = links.assign(is_end=links["kind"].isin(ENDS)).sort_values(
        ["known_time", *_PAIR, "is_end", "kind", "source"], kind="stable", ignore_index=True
    )
    pair = links.groupby(_PAIR, sort=False).ngroup()
    n_ends = links.pop("is_end").astype(int).groupby(pair).cumsum()
    is_first = ~pd.DataFrame({"pair": pair, "kind": links["kind"], "n": n_ends}).duplicated()
    return links[is_first].reset_index(drop=True)


def _carried(events: pd.DataFrame) -> pd.DataFrame:
    """Return a link for each event with two identifiers, with when it `happened`, and `until` when it was told so."""
    both = events[events["anonymous_id"].notna() & events["customer_id"].notna()]
    # Some feeds know what is yet to happen.
    known = both["known_time"].where(both["known_time"] > both["event_time"], both["event_time"])
    links = pd.DataFrame(
        {
            "id_a": ANONYMOUS + both["anonymous_id"],
            "id_b": CUSTOMER + both["customer_id"],
            "kind": (both["actor"] == "customer").map({True: "login", False: "mention"}).astype("str"),
            "known_time": known,
            "source": both["source"],
            "probability": np.nan,
            "happened": both["event_time"],
            "until": both["superseded_time"],
        }
    ).astype({"probability": "float64"})
    return links[~(links["until"] <= links["known_time"])].reset_index(drop=True)


def _not_erased_already(links: pd.DataFrame, erasures: pd.DataFrame) -> pd.DataFrame:
    """Leave out links that had happened when their pair was erased, and became known only after that."""
    met = links.reset_index().merge(erasures, on=_PAIR)
    is_late = (met["happened"] <= met["erased"]) & (met["erased"] < met["known_time"])
    return links.drop(index=met.loc[is_late, "index"].unique()).reset_index(drop=True)


def _withdrawals(links: pd.DataFrame, erasures: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each moment from which on no event says any more that its two identifiers are one."""
    restated = links.loc[links["until"].notna(), _PAIR].drop_duplicates()
    links = links.merge(restated, on=_PAIR).sort_values([*_PAIR, "known_time"], kind="stable", ignore_index=True)
    met = links[[*_PAIR, "known_time"]].reset_index().merge(erasures, on=_PAIR)
    erased = met[met["erased"] >= met["known_time"]].groupby("index")["erased"].min().reindex(links.index)
    until = links["until"].fillna(_FOREVER).where(~(erased < links["until"].fillna(_FOREVER)), erased)
    pair = links.groupby(_PAIR, sort=False).ngroup()
    held_until = until.groupby(pair).cummax()
    told_next = links["known_time"].groupby(pair).shift(-1)
    is_end = (held_until < _FOREVER) & ~(told_next <= held_until)
    return links[is_end].assign(kind="withdraw", known_time=held_until[is_end])


@dataclass(frozen=True)
class Identities:
    """The identifiers of a set of events and links, and when each link counts. Codes are places in `person_ids`."""

    person_ids: np.ndarray  # (n_ids,) names with their prefix, the customers first; any of them may name a person
    n_customers: int
    customer: np.ndarray  # (n_events,) int32 customer code, -1 where the event carries none
    anonymous: np.ndarray  # (n_events,) int32 code, -1 where the event carries none
    happened: np.ndarray  # (n_events,) int64 microseconds
    known: np.ndarray  # (n_events,) int64 microseconds: when the event had happened and could be known
    is_login: np.ndarray  # (n_events,) bool: the customer signed in on an anonymous id
    owns_until: np.ndarray  # (n_events,) int64 microseconds: when it was restated, or its link erased; else never
    known_from: np.ndarray  # (n_ids,) int64 microseconds: when the identifier was first known
    low: np.ndarray  # (n_links,) int32 codes, the smaller of the two
    high: np.ndarray  # (n_links,) int32 codes
    linked_from: np.ndarray  # (n_links,) int64 microseconds, ascending: the link counts at cut-offs after this
    linked_until: np.ndarray  # (n_links,) int64 microseconds: and no more after this
    rules: IdentityConfig
    stitched: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, init=False, repr=False)  # a cache

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
        people, is_shared = self._stitch(cutoff)
        if self.rules.shared_devices == "last_auth" and is_shared.any():
            return self._last_authenticated(self._carried, is_shared, cutoff), people
        return self._carried, people

    @cached_property
    def _carried(self) -> np.ndarray:
        return np.where(self.customer >= 0, self.customer, self.anonymous)

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
        if cutoff not in self.stitched:
            if len(self.stitched) >= _N_KEPT:
                self.stitched.pop(next(iter(self.stitched)))
            low, high = self._links_before(cutoff)
            is_crowded = self._are_crowded(low, high)
            kept = ~(is_crowded[low] | is_crowded[high])
            component, is_shared = self._components(low[kept], high[kept])
            oldest = np.empty_like(component)
            oldest[component[self._by_age]] = self._by_age  # the oldest is written last
            self.stitched[cutoff] = oldest[component], is_shared
        return self.stitched[cutoff]

    def are_crowded(self, cutoff: int) -> np.ndarray:
        """Say which identifiers more than `max_persons_per_id` persons are linked to before `cutoff`, by code."""
        return self._are_crowded(*self._links_before(cutoff))

    def _links_before(self, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
        n = np.searchsorted(self.linked_from, cutoff)
        counts = ~(self.linked_until[:n] < cutoff)
        return self.low[:n][counts], self.high[:n][counts]

    def _components(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the links make of each identifier (equal codes: one person), and which are shared devices."""
        parents = np.arange(len(self.person_ids), dtype=np.int32)
        # Customers may be one through links of their own; only then is it known how many persons a device serves.
        is_login = (low < self.n_customers) & (high >= self.n_customers)
        unions.join(parents, low[~is_login], high[~is_login])
        root = unions.roots(parents)
        customer, device = root[low[is_login]], root[high[is_login]]
        first, last = np.full(len(root), len(root), np.int32), np.full(len(root), -1, np.int32)
        np.minimum.at(first, device, customer)
        np.maximum.at(last, device, customer)
        is_shared = (last >= 0) & (first != last)
        joins = np.ones(len(device), bool) if self.rules.shared_devices == "none" else ~is_shared[device]
        unions.join(parents, customer[joins], device[joins])
        return unions.roots(parents), is_shared[root]

    def _are_crowded(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Say which anonymous ids have links to more than `max_persons_per_id` persons, told apart without them."""
        most, n = self.rules.max_persons_per_id, len(self.person_ids)
        own, other = np.concatenate([high, low]), np.concatenate([low, high])
        is_suspect = np.bincount(own, minlength=n) > most
        is_suspect[: self.n_customers] = False
        if not is_suspect.any():
            return is_suspect
        apart = ~(is_suspect[low] | is_suspect[high])
        component, _ = self._components(low[apart], high[apart])
        asked = is_suspect[own]
        pairs = np.unique(own[asked].astype(np.int64) * n + component[other[asked]])
        return np.bincount(pairs // n, minlength=n) > most

    def _last_authenticated(self, own: np.ndarray, is_shared: np.ndarray, cutoff: int) -> np.ndarray:
        """Give each anonymous event on a shared device to the customer who had last logged in there before it."""
        n = len(own)
        place = np.empty(n, np.int64)
        place[np.lexsort((np.arange(n), self.happened))] = np.arange(n)
        logins = np.flatnonzero(self.is_login & (self.known < cutoff) & ~(self.owns_until < cutoff))
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
    kind = links["kind"].to_numpy(object)
    is_erasure, is_end = kind == "erase", np.isin(kind, ENDS)
    low, high = np.minimum(one, two), np.maximum(one, two)
    until = np.where(
        np.isin(kind, _CARRIED), _next_end(low, high, times, is_end), _next_end(low, high, times, is_erasure)
    )
    restated = events["superseded_time"].to_numpy("datetime64[us]").astype(np.int64)
    restated[events["superseded_time"].isna()] = _NEVER
    erased = _next_end(
        np.append(low[is_erasure], customer),
        np.append(high[is_erasure], anonymous),
        np.append(times[is_erasure], happened),
        np.arange(is_erasure.sum() + n) < is_erasure.sum(),
    )[is_erasure.sum() :]
    order = np.lexsort((high, low, times))
    order = order[~is_end[order]]
    return Identities(
        person_ids=ids,
        n_customers=n_customers,
        customer=customer,
        anonymous=anonymous,
        happened=happened,
        known=known,
        is_login=(customer >= 0) & (anonymous >= 0) & (events["actor"] == "customer").to_numpy(bool),
        owns_until=np.minimum(erased, restated),
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


def _next_end(low: np.ndarray, high: np.ndarray, times: np.ndarray, is_end: np.ndarray) -> np.ndarray:
    """Return, for each row of a pair, when the next end of its pair was known, its own moment included; else never."""
    until = np.full(len(times), _NEVER)
    if not is_end.any():
        return until
    # From the newest on; of one moment the end counts: whoever asks for it does not want the link.
    order = np.lexsort((is_end, times, high, low))[::-1]
    low, high, place = low[order], high[order], np.arange(len(order))
    pair_begins = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    begin = np.maximum.accumulate(np.where(pair_begins, place, 0))
    end = np.maximum.accumulate(np.where(is_end[order], place, -1))
    until[order] = np.where(end >= begin, times[order][end], _NEVER)
    return until

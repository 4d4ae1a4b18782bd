"""Who is who: anonymous ids joined to customers through events that carry both, as of any time.

A person is a customer with every anonymous id that is known to be theirs, or an anonymous id alone. An id known to
belong to two customers (a shared device) belongs to neither: its anonymous events stay with the device.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from waymark import schema
from waymark.errors import InputError

CUSTOMER, ANONYMOUS = "customer:", "anonymous:"
_NEVER = np.iinfo(np.int64).max


def link_identities(events: pd.DataFrame) -> pd.DataFrame:
    """Return one link for each anonymous id and customer that one event carried together.

    Parameters
    ----------
    events
        Rows of `schema.EVENTS`, in any order.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.LINKS`; `known_time` is when the first such event had happened and could be known.
    """
    both = events.loc[
        events["anonymous_id"].notna() & events["customer_id"].notna(),
        ["anonymous_id", "customer_id", "event_time", "known_time", "source"],
    ]
    # Some feeds know what is yet to happen.
    both["known_time"] = both["known_time"].where(both["known_time"] > both["event_time"], both["event_time"])
    first = both.sort_values(["anonymous_id", "customer_id", "known_time", "source"], kind="stable")
    first = first.drop_duplicates(["anonymous_id", "customer_id"])
    return pd.DataFrame(
        {
            "id_a": ANONYMOUS + first["anonymous_id"],
            "id_b": CUSTOMER + first["customer_id"],
            "kind": "login",
            "known_time": first["known_time"],
            "source": first["source"],
        }
    )[list(schema.LINKS.columns)].reset_index(drop=True)


@dataclass(frozen=True)
class Identities:
    """The identifiers of a set of events, and when each anonymous id was owned by one customer only.

    A person code below `n_customers` is that customer; from there on it is an anonymous id.
    """

    customer: np.ndarray  # (n_events,) int32 customer code, -1 where the event carries none
    anonymous: np.ndarray  # (n_events,) int32 anonymous code, -1 where the event carries none
    person_ids: np.ndarray  # (n_customers + n_anonymous,) names, with their prefix
    n_customers: int
    owner: np.ndarray  # (n_anonymous,) int32 code of the first customer linked, -1 for none
    owned_from: np.ndarray  # (n_anonymous,) int64 microseconds: known_time of the first link
    owned_until: np.ndarray  # (n_anonymous,) int64 microseconds: known_time of the first link to another customer

    def owners(self, cutoff: int) -> np.ndarray:
        """Return the person code of each anonymous id as known before `cutoff` (microseconds)."""
        own = np.arange(self.n_customers, len(self.person_ids), dtype=np.int32)
        is_owned = (self.owned_from < cutoff) & ~(self.owned_until < cutoff)
        return np.where(is_owned, self.owner, own)

    def persons(self, cutoff: int) -> np.ndarray:
        """Return the person code of each event as known before `cutoff` (microseconds)."""
        if not len(self.owner):
            return self.customer
        return np.where(self.customer >= 0, self.customer, self.owners(cutoff)[self.anonymous])


def index_identities(events: pd.DataFrame, links: pd.DataFrame) -> Identities:
    """Prepare `events` (rows of `schema.EVENTS`) and `links` (rows of `schema.LINKS`) for questions as of a time."""
    customer, customers = pd.factorize(events["customer_id"], sort=True)
    anonymous, anonymouses = pd.factorize(events["anonymous_id"], sort=True)
    nobodys = int(((customer < 0) & (anonymous < 0)).sum())
    if nobodys:
        raise InputError(f"{nobodys} events have neither customer_id nor anonymous_id; each event needs one of them")
    codes_a = pd.Index(ANONYMOUS + anonymouses).get_indexer(links["id_a"])
    codes_c = pd.Index(CUSTOMER + customers).get_indexer(links["id_b"])
    known = links["known_time"].to_numpy("datetime64[us]").astype(np.int64)
    order = np.lexsort((codes_c, known, codes_a))
    order = order[(codes_a[order] >= 0) & (codes_c[order] >= 0)]
    # Of a link that several feeds tell of, the first telling counts.
    order = order[~pd.DataFrame({"a": codes_a[order], "c": codes_c[order]}).duplicated().to_numpy()]
    a, c, t = codes_a[order], codes_c[order], known[order]

    owner = np.full(len(anonymouses), -1, np.int32)
    owned_from = np.full(len(anonymouses), _NEVER)
    owned_until = np.full(len(anonymouses), _NEVER)
    is_first = np.ones(len(a), bool)
    is_first[1:] = a[1:] != a[:-1]
    owner[a[is_first]], owned_from[a[is_first]] = c[is_first], t[is_first]
    is_second = np.zeros(len(a), bool)
    is_second[1:] = is_first[:-1] & ~is_first[1:]
    owned_until[a[is_second]] = t[is_second]
    return Identities(
        customer=customer.astype(np.int32),
        anonymous=anonymous.astype(np.int32),
        person_ids=np.concatenate([CUSTOMER + customers, ANONYMOUS + anonymouses]).astype(object),
        n_customers=len(customers),
        owner=owner,
        owned_from=owned_from,
        owned_until=owned_until,
    )

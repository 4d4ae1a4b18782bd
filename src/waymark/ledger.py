"""The ledger of links: which two identifiers are known to be one person, from when on, and until when."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waymark import schema
from waymark.kernels import unions

CUSTOMER, ANONYMOUS = "customer:", "anonymous:"
ENDS = ("withdraw", "erase")  # kinds of rows that end links: those that events carry, or all
CARRIED = ("login", "mention")
_PAIR = ["id_a", "id_b"]
_FOREVER = pd.Timestamp.max.floor("us").tz_localize("UTC").as_unit("us")


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
    return link_carried(carried, carried.iloc[:0] if told is None else told)


def link_carried(carried: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger of the links that events carry, one row an event, and of those that somebody told of.

    Identifiers may be texts or codes. See `link_identities`.
    """
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


def link_coded(rows: pd.DataFrame, told: pd.DataFrame, n_ids: int) -> pd.DataFrame:
    """Return what `link_carried` returns, in any order: the many identifiers with one customer need no sorting.

    Parameters
    ----------
    rows
        As `link_carried` takes them, but for `kind` with `is_customer` (the customer acted), and with events that carry
        one identifier or none: -1 stands for it. `source` is a code, in the order of names.
    told
        As `link_carried` takes it, with codes.
    n_ids
        How many codes there are.
    """
    anonymous, customer = (rows[c].to_numpy(np.int32) for c in _PAIR)
    first, is_special = unions.first_links(
        anonymous,
        customer,
        np.where(rows["is_customer"], 0, 1).astype(np.int8),
        rows["known_time"].to_numpy("datetime64[us]").astype(np.int64),
        rows["source"].to_numpy(np.int32),
        rows["until"].notna().to_numpy(bool),
        n_ids,
    )
    erased = told[told["kind"] == "erase"]
    is_special[np.concatenate([erased["id_a"], erased["id_b"]]).astype(np.int64)] = True
    both = (anonymous >= 0) & (customer >= 0)
    positions = first[~is_special].ravel()
    plain, special = (
        rows.iloc[at].assign(kind=np.where(rows["is_customer"].iloc[at], *CARRIED))
        for at in (positions[positions >= 0], np.flatnonzero(both & is_special[anonymous]))
    )
    special = special[~(special["until"] <= special["known_time"])].reset_index(drop=True)
    links = link_carried(special, told)
    return pd.concat([plain[links.columns], links], ignore_index=True) if len(links) else plain[list(links.columns)]


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
    if erasures.empty:
        return links
    met = links.reset_index().merge(erasures, on=_PAIR)
    is_late = (met["happened"] <= met["erased"]) & (met["erased"] < met["known_time"])
    return links.drop(index=met.loc[is_late, "index"].unique()).reset_index(drop=True)


def _withdrawals(links: pd.DataFrame, erasures: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each moment from which on no event says any more that its two identifiers are one."""
    restated = links.loc[links["until"].notna(), _PAIR].drop_duplicates()
    if restated.empty:
        return restated
    links = links.merge(restated, on=_PAIR).sort_values([*_PAIR, "known_time"], kind="stable", ignore_index=True)
    met = links[[*_PAIR, "known_time"]].reset_index().merge(erasures, on=_PAIR)
    erased = met[met["erased"] >= met["known_time"]].groupby("index")["erased"].min().reindex(links.index)
    until = links["until"].fillna(_FOREVER).where(~(erased < links["until"].fillna(_FOREVER)), erased)
    pair = links.groupby(_PAIR, sort=False).ngroup()
    held_until = until.groupby(pair).cummax()
    told_next = links["known_time"].groupby(pair).shift(-1)
    is_end = (held_until < _FOREVER) & ~(told_next <= held_until)
    return links[is_end].assign(kind="withdraw", known_time=held_until[is_end])

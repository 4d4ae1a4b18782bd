"""The two kinds of things that a bucket holds, and what the store does differently for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.kernels import buckets
from waymark.store import events, told
from waymark.store.buckets import Ids
from waymark.store.names import Names, encoded
from waymark.store.routes import Pairs


@dataclass(frozen=True, eq=False)
class Kind:
    """Events, or links that somebody told of."""

    name: str  # the field of `Bucket` that lists its segments
    ends: tuple[str, str]  # columns of the places of its identifiers in coded rows
    encode: Callable[[pa.Table, Names, np.ndarray, np.ndarray], pa.Table]
    decode: Callable[[pa.Table, Names, pa.Array], pa.Table]
    ids: tuple[tuple[str, str], ...]  # of rows in texts: the columns of both identifiers, and their prefixes
    thing_texts: Callable[[pa.Table], pa.Array]  # of rows in texts: what makes each one thing
    pairs: Callable[[pa.Table, Ids], Pairs]  # of coded rows: the identifiers that they join
    tally: Callable[[pa.Table, Names, np.ndarray], Counter[str]]  # of coded rows, given names and hashes of ids

    def code(self, rows: pa.Table, names: Names, ids: Ids) -> pa.Table:
        """Return rows in texts as rows in codes; new identifiers are added to `ids`."""
        places = []
        for column, prefix in self.ids:
            distinct, place = encoded(rows[column])
            texts = pc.binary_join_element_wise(prefix, distinct, "") if prefix else distinct
            places.append(np.append(ids.places(texts), -1)[place])
        return self.encode(rows, names, *places)


EVENTS, TOLD = (
    Kind(name, ends, m.encode, m.decode, m.IDS, m.thing_texts, m.pairs, m.tally)
    for name, ends, m in (("events", ("customer", "anonymous"), events), ("told", ("one", "two"), told))
)


def homes_of(coded: pa.Table, kind: Kind) -> list[np.ndarray]:
    """Return the places of the identifiers in whose buckets each row lies: first its owner's.

    A link lies with both of its ends: they are of one component, and so of one bucket, but where one is linked to too
    many.
    """
    return [owner_of(coded, kind)] if kind is EVENTS else [coded[c].to_numpy() for c in kind.ends]


def rows_of(ends: Sequence[np.ndarray], kind: Kind, is_asked: np.ndarray) -> np.ndarray:
    """Return the positions, ascending, of the rows with some `ends` that lie with some identifiers (bool, by place)."""
    first, second = ends
    return (
        buckets.owned(first, second, is_asked) if kind is EVENTS else np.flatnonzero(is_asked[first] | is_asked[second])
    )


def are_own(coded: pa.Table, kind: Kind, ids: Ids) -> np.ndarray:
    """Say which rows of a bucket are its own, not copies of what lies with their owner in another bucket."""
    return ~ids.is_foreign[owner_of(coded, kind)]


def owner_of(coded: pa.Table, kind: Kind) -> np.ndarray:
    """Return the place of the identifier that each row belongs to: the customer's where there is one."""
    first, second = (coded[c].to_numpy() for c in kind.ends)
    return np.where(first >= 0, first, second)

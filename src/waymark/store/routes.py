"""Which bucket holds an identifier: everything that one person ever was lies in one bucket.

The widest component of an identifier is all that links join, whenever they were known and whether or not they still
count. A bucket holds whole components, so that whoever is a person at any cut-off is a person within one bucket.
Identifiers are known here by a 64-bit hash of their names: two that share one lie together, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from waymark.kernels import keys, unions
from waymark.store.hashes import Ordered, distinct
from waymark.store.mapped import Mapped, write_beside

MOST_FILES = 8  # of routes, and of pairs; then they are written into one
_ROUTES = {"id": np.uint64, "root": np.uint64, "bucket": np.int32}
_PAIRS = {"one": np.uint64, "two": np.uint64, "known": np.int64, "may_be_hub": np.uint8}
_NONE = np.zeros(0, np.uint64)
_MOST_APART = 2_000_000  # pairs that wait to be put together with those gathered before


class Pairs(NamedTuple):
    """Links between identifiers by their hashes; every array has one element a pair."""

    one: np.ndarray  # uint64
    two: np.ndarray  # uint64
    known: np.ndarray  # int64 microseconds: when it was first known
    may_be_hub: np.ndarray  # uint8: 1 where `one` is no customer, plus 2 where `two` is none

    @classmethod
    def none(cls) -> Pairs:
        """Return no pairs."""
        return cls(_NONE, _NONE, np.zeros(0, np.int64), np.zeros(0, np.uint8))

    def once(self) -> Pairs:
        """Return each pair once, as it was first known, in the order of both ends."""
        order = np.lexsort((self.two, self.one))
        one, two = self.one[order], self.two[order]
        begins = np.append(True, (one[1:] != one[:-1]) | (two[1:] != two[:-1]))[: len(one)]
        at = np.flatnonzero(begins)
        known = np.minimum.reduceat(self.known[order], at) if len(at) else self.known
        return Pairs(one[at], two[at], known, self.may_be_hub[order][at])

    def with_news(self, news: Pairs) -> tuple[Pairs, np.ndarray]:
        """Return the pairs of both, and where those stand that are new or were known earlier than was known so far.

        `news` has each pair once, in order.
        """
        if not len(self.one):
            return news, np.arange(len(news.one))
        place, is_old = keys.find_pairs(self.one, self.two, news.one, news.two)
        new = place[~is_old]
        is_earlier = np.flatnonzero(is_old)
        is_earlier = is_earlier[news.known[is_earlier] < self.known[place[is_earlier]]]
        pairs = Pairs(*(np.insert(ours, new, theirs[~is_old]) for ours, theirs in zip(self, news, strict=True)))
        earlier = place[is_earlier] + np.searchsorted(new, place[is_earlier], "right")
        pairs.known[earlier] = news.known[is_earlier]
        return pairs, np.concatenate([new + np.arange(len(new)), earlier])

    def doubted(self, lost: Pairs, news: Pairs) -> np.ndarray:
        """Return the places of pairs that may no longer be told, or were first known through what was lost.

        Both have each pair once, in order. What `news` tell as early is beyond doubt.
        """
        at, is_there = keys.find_pairs(self.one, self.two, lost.one, lost.two)
        is_first = lost.known[is_there] <= self.known[at[is_there]]
        at = at[is_there][is_first]
        told, is_told = keys.find_pairs(news.one, news.two, self.one[at], self.two[at])
        is_told[is_told] = news.known[told[is_told]] <= self.known[at[is_told]]
        return at[~is_told]

    def corrected(self, at: np.ndarray, still: Pairs) -> Pairs:
        """Return the pairs with those at some places as `still` has them (each once, in order), or without them."""
        place, is_there = keys.find_pairs(still.one, still.two, self.one[at], self.two[at])
        known = self.known.copy()
        known[at[is_there]] = still.known[place[is_there]]
        return Pairs(*(np.delete(column, at[~is_there]) for column in self._replace(known=known)))

    def with_ends(self, ends: np.ndarray) -> np.ndarray:
        """Return the places of the pairs of some identifiers (ascending)."""
        asked = Ordered(ends)
        return np.flatnonzero((asked.find(self.one) >= 0) | (asked.find(self.two) >= 0))


class Gathered:
    """Pairs that come in some at a time, most of them again and again: each is held once, or a few times."""

    def __init__(self) -> None:
        """Begin with none."""
        self._settled, self._parts, self._n = Pairs.none(), [Pairs.none()], 0

    def add(self, pairs: Pairs) -> None:
        """Take in some more."""
        self._parts.append(pairs)
        self._n += len(pairs.one)
        if self._n > max(len(self._settled.one), _MOST_APART):
            self.all()

    def all(self) -> Pairs:
        """Return each pair that was taken in once; see `Pairs.once`."""
        columns = zip(self._settled, *self._parts, strict=True)
        self._settled, self._parts, self._n = Pairs(*map(np.concatenate, columns)).once(), [], 0
        return self._settled


@dataclass
class Routes:
    """Where the identifiers of components of more than one lie; all others lie where their own hash says."""

    n_buckets: int
    ids: np.ndarray = field(default_factory=lambda: _NONE)  # uint64, ascending: the linked identifiers
    root: np.ndarray = field(default_factory=lambda: _NONE)  # uint64, one each: the name of the component
    bucket: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # one each
    news: np.ndarray = field(default_factory=lambda: _NONE)  # uint64, ascending: of whom was learnt since it was read

    @cached_property
    def _ordered(self) -> Ordered:
        return Ordered(self.ids)

    def places_of(self, hashes: np.ndarray) -> np.ndarray:
        """Return the place of each identifier among those that are linked, -1 for none."""
        return self._ordered.find(hashes)

    def _places(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = self.places_of(hashes)
        return at, at >= 0

    def buckets_of(self, hashes: np.ndarray) -> np.ndarray:
        """Return the int32 bucket of each identifier."""
        own = (hashes % np.uint64(self.n_buckets)).astype(np.int32)
        at, is_linked = self._places(hashes)
        own[is_linked] = self.bucket[at[is_linked]]
        return own

    def roots_of(self, hashes: np.ndarray) -> np.ndarray:
        """Return the uint64 name of each identifier's component."""
        at, is_linked = self._places(hashes)
        out = hashes.copy()
        out[is_linked] = self.root[at[is_linked]]
        return out

    def members_of(self, roots: np.ndarray) -> np.ndarray:
        """Return the identifiers of some components, those of one identifier included."""
        is_linked = self._places(roots)[1]  # a component is called after one of its identifiers
        if not is_linked.any():
            return roots
        return np.union1d(self.ids[Ordered(roots[is_linked]).positions_in(self.root)], roots[~is_linked])

    def join(self, one: np.ndarray, two: np.ndarray, n_rows: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Moves:
        """Join the components of each `one[i]` and `two[i]`, and return who has to move where.

        `n_rows` tells how many rows some identifiers have, each of which lives in a bucket. Of the components that
        become one, the one with most rows stays where it is (of equal ones, the one with the least name), so that only
        the smaller ones move.
        """
        names, group = _together(self.roots_of(one), self.roots_of(two))
        if not len(names):
            return Moves.none()
        members = self.members_of(names)
        part = np.searchsorted(names, self.roots_of(members))  # which of the joined components each member is of
        before = self.buckets_of(members)
        rows = np.bincount(part, n_rows(members, before), len(names))
        bucket = np.zeros(len(names), np.int32)
        bucket[part] = before
        winner = _winners(group, rows)
        after = bucket[winner][part]
        self.remember(members, names[winner][part], after)
        moved = before != after
        return Moves(members[moved], before[moved], after[moved], members)

    def remember(self, members: np.ndarray, root: np.ndarray, bucket: np.ndarray) -> None:
        """Note the component and the bucket of each of some identifiers (ascending)."""
        self.news = np.union1d(self.news, members)
        at, is_old = self._places(members)
        at[~is_old] = np.searchsorted(self.ids, members[~is_old])
        self.ids, self.root, self.bucket = (
            np.insert(ours, at[~is_old], values[~is_old])
            for ours, values in ((self.ids, members), (self.root, root), (self.bucket, bucket))
        )
        at += np.cumsum(~is_old) - ~is_old  # members ascend: so many were put before each
        self.root[at], self.bucket[at] = root, bucket
        self.__dict__.pop("_ordered", None)


def _together(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the names, ascending, of components that become one with others, and for each the number of the group.

    It is a function of its own so that what it takes, several times its names, is given back.
    """
    apart = one != two
    names, codes = np.unique(np.concatenate([one[apart], two[apart]]), return_inverse=True)
    parents = np.arange(len(names), dtype=np.int32)
    unions.join(parents, *np.split(codes.astype(np.int32), 2))
    return names, unions.roots(parents)


def _winners(group: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
    """Return, for each component of a group, the one that it becomes: that with most rows; of equal ones the first."""
    best = np.lexsort((np.arange(len(group)), -n_rows, group))
    leads = np.append(True, group[best][1:] != group[best][:-1])
    stays = np.empty(len(group), np.int64)
    stays[group[best[leads]]] = best[leads]
    return stays[group]


class Moves(NamedTuple):
    """Identifiers whose rows have to go to another bucket."""

    ids: np.ndarray  # uint64
    before: np.ndarray  # int32, one each
    after: np.ndarray  # int32, one each
    joined: np.ndarray  # uint64, ascending: all identifiers of the components that became one, those that stay included

    @classmethod
    def none(cls) -> Moves:
        """Return no moves."""
        return cls(_NONE, np.zeros(0, np.int32), np.zeros(0, np.int32), _NONE)


def joining(pairs: Pairs, asked: np.ndarray, most: int) -> np.ndarray:
    """Say which of the pairs at some places may ever count: those among the first `most` of each end that may be a hub.

    An identifier with more partners than that links nobody from then on (`identity.HUB`), so that what comes after
    need not lie with it.
    """
    counts = np.ones(len(pairs.one), bool)
    for own, other, flag in ((pairs.one, pairs.two, 1), (pairs.two, pairs.one, 2)):
        may_be = np.flatnonzero(pairs.may_be_hub & flag)
        at = may_be[Ordered(distinct(own[asked])).positions_in(own[may_be])]  # all pairs of the ends asked about
        _, inverse, degree = np.unique(own[at], return_inverse=True, return_counts=True)
        at = at[degree[inverse] > most]
        if len(at):
            order = at[np.lexsort((other[at], pairs.known[at], own[at]))]
            begins = np.append(True, own[order][1:] != own[order][:-1])
            first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
            counts[order[np.arange(len(order)) - first >= most]] = False
    return counts[asked]


def write_routes(root: Path, stem: str, files: Sequence[str], routes: Routes) -> list[str]:
    """Write what a night changed of the routes; return the files that now hold them, of which `files` did before."""
    before = files if len(files) < MOST_FILES else ()
    at = routes.places_of(routes.news) if before else slice(None)
    columns = {"id": routes.ids[at], "root": routes.root[at], "bucket": routes.bucket[at]}
    return _written(root, f"routes-{stem}", before, columns)


def write_pairs(root: Path, stem: str, files: Sequence[str], pairs: Pairs, news: np.ndarray | None) -> list[str]:
    """Write the pairs at the places `news`, which are new or known earlier than before; see `write_routes`.

    None: others are gone, or known later.
    """
    before = files if news is not None and len(files) < MOST_FILES else ()
    at = news if before else slice(None)
    return _written(root, f"pairs-{stem}", before, {c: v[at] for c, v in pairs._asdict().items()})


def _written(root: Path, stem: str, before: Sequence[str], columns: Mapping[str, np.ndarray]) -> list[str]:
    table = pa.table(dict(columns))
    return [*(write_beside(root, before, stem, table) if table.num_rows else before)]


def read_routes(root: Path, files: Sequence[str], n_buckets: int) -> Routes:
    """Read back what `write_routes` wrote; without files, nobody is linked yet."""
    first, *later = _read(root, files, _ROUTES)
    routes = Routes(n_buckets, *first)
    if later:
        ids, *said = map(np.concatenate, zip(*later, strict=True))
        order = np.argsort(ids, kind="stable")
        last = order[np.append(ids[order][1:] != ids[order][:-1], True)]
        routes.remember(ids[last], *(column[last] for column in said))
        routes.news = _NONE
    return routes


def read_pairs(root: Path, files: Sequence[str]) -> Pairs:
    """Read back what `write_pairs` wrote."""
    first, *later = _read(root, files, _PAIRS)
    if not later:
        return Pairs(*first)
    return Pairs(*first).with_news(Pairs(*map(np.concatenate, zip(*later, strict=True))).once())[0]


def _read(root: Path, files: Sequence[str], kinds: Mapping[str, type]) -> list[list[np.ndarray]]:
    """Return the columns of each file; without any, columns without rows."""
    found = [[file.numbers(name) for name in kinds] for file in (Mapped(root / name) for name in files)]
    return found or [[np.zeros(0, kind) for kind in kinds.values()]]

"""The buckets as the nights before left them, and what a night takes out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark.kernels import keys
from waymark.store.buckets import Ids, read_ids
from waymark.store.hashes import Ordered, distinct
from waymark.store.kinds import EVENTS, TOLD, Kind, are_own, owner_of, rows_of
from waymark.store.manifest import Manifest
from waymark.store.names import Names
from waymark.store.routes import Gathered, Moves, Pairs, Routes
from waymark.store.segments import (
    Segment,
    bury,
    coded_together,
    dead_of,
    dead_positions,
    find_keys,
    open_segment,
    read_segment,
    take_rows,
    take_together,
)

_MOST_MOVED = 1_000_000  # rows that are moved together

Place = tuple[int, int]  # the number of a bucket, and of a segment among those of a kind
Meant = Callable[[pa.Table], np.ndarray]  # things in texts -> those that are meant; two may share a key


class Stored:
    """What the store held when the night began."""

    def __init__(self, root: Path, manifest: Manifest, names: Names) -> None:
        """Open nothing yet."""
        self._root, self._manifest, self._names = root, manifest, names
        self._ids: dict[int, Ids] = {}
        self._asked: dict[Kind, list[Ordered]] = {EVENTS: [], TOLD: []}  # keys that were looked for
        self._hits: dict[Kind, dict[Place, np.ndarray]] = {EVENTS: {}, TOLD: {}}  # the positions where they were found
        self._lost: dict[tuple[int, Kind], list[np.ndarray]] = {}
        self._lost_pairs = Gathered()
        self._gone: dict[tuple[Kind, Place], np.ndarray] = {}  # positions that no longer count from tonight on

    def ids_of(self, number: int) -> Ids:
        """Return the identifiers of a bucket."""
        if number not in self._ids:
            self._ids[number] = read_ids(self._root, self._manifest.buckets[number])
        return self._ids[number]

    def n_rows(self, hashes: np.ndarray, bucket: np.ndarray) -> np.ndarray:
        """Return how many rows belong to each of some identifiers (ascending), each of which lives in a bucket."""
        n = np.zeros(len(hashes), np.int64)
        for number in np.unique(bucket).tolist():
            if self._manifest.buckets[number].ids:
                ids, asked = self.ids_of(number), np.flatnonzero(bucket == number)
                place = Ordered(hashes[asked]).find(ids.hashes)
                mine = place >= 0
                np.add.at(n, asked[place[mine]], ids.n_rows[mine])
        return n

    def has(self, kind: Kind, keys: np.ndarray) -> np.ndarray:
        """Say which of some keys are those of things in the store."""
        segments = self._segments(kind)
        if not segments:
            return np.zeros(len(keys), bool)
        wanted = Ordered(distinct(keys))
        found = [keys[:0]]
        for place, segment in segments:
            at, its_keys = find_keys(self._root, segment, wanted)
            if len(at):
                self._hits[kind][place] = np.union1d(self._hits[kind].get(place, at), at)
                found.append(its_keys)
        self._asked[kind].append(wanted)
        return Ordered(distinct(np.concatenate(found))).find(keys) >= 0

    def pull(self, kind: Kind, wanted: np.ndarray, is_meant: Meant) -> Iterator[pa.Table]:
        """Take the things with some keys (ascending) out of the store, those that are meant, and yield them."""
        for asked in self._asked[kind]:
            wanted = wanted[asked.find(wanted) < 0]
        if len(wanted):
            self.has(kind, wanted)
        for place, at in sorted(self._hits[kind].items()):
            at = np.setdiff1d(at, self._gone_of(kind, place), assume_unique=True)
            if len(at):
                yield self._take(kind, place, at, is_meant)

    def lost_pairs(self) -> Pairs:
        """Return the pairs of identifiers that what was taken out had joined, each once, in order."""
        return self._lost_pairs.all()

    def still_told(self, asked: Pairs, routes: Routes) -> Pairs:
        """Return those of some pairs (in order) that what is left joins, each as it was first known, in order."""
        found = [Pairs.none()]
        for kind, home in ((EVENTS, asked.two), (TOLD, asked.one)):  # events lie where their customer does
            for number in np.unique(routes.buckets_of(home)).tolist():
                found += self._still_told(kind, number, Ordered(distinct(np.append(asked.one, asked.two))))
        still = Pairs(*map(np.concatenate, zip(*found, strict=True)))
        is_asked = keys.find_pairs(asked.one, asked.two, still.one, still.two)[1]
        return Pairs(*(column[is_asked] for column in still)).once()

    def _still_told(self, kind: Kind, number: int, ends: Ordered) -> Iterator[Pairs]:
        ids, segments = self.ids_of(number), getattr(self._manifest.buckets[number], kind.name)
        is_end = np.append(ends.find(ids.hashes) >= 0, False)  # where -1 points
        for i, segment in enumerate(segments):
            one, two = (c.to_numpy() for c in read_segment(self._root, segment, list(kind.ends)).columns)
            at = np.setdiff1d(np.flatnonzero(is_end[one] & is_end[two]), self._gone_of(kind, (number, i)), True)
            if len(at):
                columns = [*kind.ends, "event_time", "known_time"]
                yield kind.pairs(take_rows(self._root, segment, at, columns), ids)

    def pull_moved(self, kind: Kind, moves: Moves) -> Iterator[tuple[pa.Table, Ids]]:
        """Take out what belongs to identifiers that move, and yield it some buckets at a time.

        It stays in codes; beside it are the identifiers that it is coded with.
        """
        parts: list[pa.Table] = []
        ids, leaving = Ids(), Ordered(moves.ids)
        for bucket in self._manifest.buckets if len(moves.ids) else []:
            number = bucket.number
            if kind is EVENTS:  # which lie with the one whose they are, and nowhere else
                leaving = Ordered(moves.ids[moves.before == number])
            coded = self._pull_of(kind, number, leaving)
            if not coded.num_rows:
                continue
            mine = self.ids_of(number)
            self._lose(kind, number, coded)
            coded = coded.filter(pa.array(are_own(coded, kind, mine)))
            ends = [coded[c].to_numpy() for c in kind.ends]
            used = np.unique(np.concatenate(ends))
            used = used[used >= 0]
            code = np.full(len(mine.hashes) + 1, -1, np.int32)
            code[used] = np.arange(len(ids.hashes), len(ids.hashes) + len(used))
            for name, places in zip(kind.ends, ends, strict=True):
                coded = coded.set_column(coded.column_names.index(name), name, pa.array(code[places]))
            texts = pa.chunked_array([*ids.texts.chunks, *mine.texts.take(pa.array(used)).chunks], pa.string())
            ids = Ids(texts, np.concatenate([ids.hashes, mine.hashes[used]]))
            parts.append(coded)
            if sum(part.num_rows for part in parts) > _MOST_MOVED:
                yield coded_together(parts), ids
                parts, ids = [], Ids()
        if parts:
            yield coded_together(parts), ids

    def _pull_of(self, kind: Kind, number: int, leaving: Ordered) -> pa.Table:
        segments, found = getattr(self._manifest.buckets[number], kind.name), []
        goes = leaving.find(self.ids_of(number).hashes) >= 0
        if not goes.any():
            return pa.table({})
        for i, (segment, dead) in enumerate(zip(segments, dead_of(self._root, segments), strict=True)):
            file = open_segment(self._root, segment)
            before = self._gone.get((kind, (number, i)), dead[:0])
            at = rows_of([file.numbers(end, are_checked=False) for end in kind.ends], kind, goes)  # the next walk does
            if len(dead) or len(before):
                at = np.setdiff1d(at, np.concatenate([dead, before]), assume_unique=True)
            if len(at):
                self._gone[kind, (number, i)] = np.union1d(before, at) if len(before) else at
                found.append((file, at))
        return take_together(found)

    def close(self, number: int, new_file: Callable[[str], str]) -> None:
        """Note in the manifest what was taken out of a bucket, and forget the bucket."""
        bucket = self._manifest.buckets[number]
        places = [(kind, (number, i)) for kind in (EVENTS, TOLD) for i in range(len(getattr(bucket, kind.name)))]
        gone = {n: self._gone.pop(place) for n, place in enumerate(places) if place in self._gone}
        if gone:
            segments = bury(self._root, (*bucket.events, *bucket.told), gone, new_file(f"{bucket.folder}/dead"))
            n = len(bucket.events)
            self._manifest.buckets[number] = replace(bucket, events=tuple(segments[:n]), told=tuple(segments[n:]))
        self._ids.pop(number, None)

    def lost_by(self, number: int) -> dict[Kind, list[np.ndarray]]:
        """Return, for what was taken out of a bucket, the places of both identifiers."""
        return {kind: self._lost.get((number, kind), []) for kind in (EVENTS, TOLD)}

    def _segments(self, kind: Kind) -> list[tuple[Place, Segment]]:
        return [((b.number, i), s) for b in self._manifest.buckets for i, s in enumerate(getattr(b, kind.name))]

    def _gone_of(self, kind: Kind, place: Place) -> np.ndarray:
        segment = getattr(self._manifest.buckets[place[0]], kind.name)[place[1]]
        tonight = self._gone.get((kind, place))
        before = dead_positions(self._root, segment)
        return before if tonight is None else np.union1d(before, tonight)

    def _take(self, kind: Kind, place: Place, at: np.ndarray, is_meant: Meant) -> pa.Table:
        number, i = place
        ids = self.ids_of(number)
        coded = take_rows(self._root, getattr(self._manifest.buckets[number], kind.name)[i], at)
        things = kind.decode(coded, self._names, ids.texts)
        meant = is_meant(things)
        is_yielded = meant & are_own(coded, kind, ids)
        if meant.any():
            gone = coded.filter(pa.array(meant))
            self._lose(kind, number, gone)
            own = gone.filter(pa.array(are_own(gone, kind, ids)))
            self._manifest.tallies[kind.name].subtract(kind.tally(own, self._names, ids.hashes))
            self._lost_pairs.add(kind.pairs(gone, ids))
            before = self._gone.get((kind, place), at[:0])
            self._gone[kind, place] = np.union1d(before, at[meant])
        return things.filter(pa.array(is_yielded))

    def _lose(self, kind: Kind, number: int, gone: pa.Table) -> None:
        """Note of coded things that they are no longer in a bucket."""
        ids = self.ids_of(number)
        self._lost.setdefault((number, kind), []).append(np.array([gone[c].to_numpy() for c in kind.ends]))
        for end in kind.ends:
            ids.mark(gone[end].to_numpy(), self._manifest.generation)
        if kind is EVENTS:
            ids.count(owner_of(gone, kind), -1)

"""News on their way into the store: rows just delivered, settled with all that was ever delivered of the same things.

A thing is an event, or a link that somebody told of; its key is a hash of the text that makes it one. Most things are
delivered in one row. Of the others all rows are kept, so that a row that comes later finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.sources.settling import ACCEPTED, Settled
from waymark.store import compaction
from waymark.store.buckets import Bucket, Ids, read_ids, write_ids
from waymark.store.hashes import distinct, hash_texts
from waymark.store.kinds import EVENTS, TOLD, Kind, owner_of
from waymark.store.ledgers import write_ledger
from waymark.store.manifest import Manifest
from waymark.store.routes import Moves, Pairs, joining, read_routes, write_routes
from waymark.store.segments import (
    Segment,
    bury,
    dead_positions,
    find_keys,
    read_segment,
    take_rows,
    together,
    write_segment,
)


@dataclass(frozen=True)
class News:
    """Rows of one feed, just delivered."""

    feed: str
    kind: Kind
    rows: pa.Table  # in texts, with `file`, `line` and `thing`, the text that the rows of one thing share
    settle: Callable[[pa.Table], Settled]  # of all rows of some things
    rows_of: Callable[[pa.Table], pa.Table] | None  # things of one row each -> those rows; None: a thing is no row
    part: str = "thing"  # the column of what may pass from one thing to another: a line of an order


class Intake:
    """One night's news. Files are written at once, and count when the manifest that names them is written."""

    def __init__(self, root: Path, manifest: Manifest, most_partners: int) -> None:
        """Begin a night; links of an identifier beyond its first `most_partners` never count."""
        self.root, self.manifest, self.most_partners = root, manifest, most_partners
        root.mkdir(parents=True, exist_ok=True)
        manifest.generation += 1
        manifest.buckets = manifest.buckets or [Bucket(i) for i in range(manifest.n_buckets)]
        self.names = manifest.new_names()
        self.routes, self.pairs = read_routes(root, manifest.routes, manifest.n_buckets)
        self.accounts: Counter[tuple[str, str, str]] = (
            Counter()
        )  # (feed, file, status) -> rows, more or less than before
        self._ids: dict[int, Ids] = {}
        self._n_files = 0

    def take(self, delivered: Sequence[News]) -> None:
        """Take in what was delivered."""
        things = {kind: [self._settle(news) for news in delivered if news.kind is kind] for kind in (EVENTS, TOLD)}
        moves = self._route(things)
        for kind, found in things.items():
            self._append(kind, together([*found, *self._pull_moved(kind, moves)]))
        self._compact(at_rest=False)

    def finish(self) -> Manifest:
        """Write what the manifest has to name besides the segments, and return it."""
        self._compact(at_rest=True)
        generation = self.manifest.generation
        for number, ids in sorted(self._ids.items()):
            ids.route(self.routes, number)
            bucket = write_ids(self.root, self.manifest.buckets[number], ids, generation)
            if not bucket.ids:
                continue
            ledger = write_ledger(self.root, bucket, ids, self.names, self._new_file(f"{bucket.folder}/ledger"))
            self.manifest.buckets[number] = replace(bucket, ledger=ledger)
        self.manifest.names = self.names.lists
        self.manifest.routes = write_routes(self.root, f"{generation:06d}", self.routes, self.pairs)
        return self.manifest

    # --- what is one thing ------------------------------------------------------------------------------------------

    def _settle(self, news: News) -> pa.Table:
        """Return the things that the rows of a feed come to; what the store held of them is taken out."""
        keys = hash_texts(news.rows["thing"])
        _, place, n = np.unique(keys, return_inverse=True, return_counts=True)
        kept = self._pull_kept(news)
        held = self._pull_held(news, kept)
        before = np.concatenate([keys[:0], *(hash_texts(t["thing"]) for t in (kept, held) if t.num_rows)])
        is_alone = (n[place] == 1) & ~np.isin(keys, before) & (news.rows_of is not None)
        alone, others = (news.rows.filter(pa.array(mask)) for mask in (is_alone, ~is_alone))
        things = []
        for rows, are_kept in ((alone, False), (together([others, kept, held]), True)):
            if rows.num_rows:
                settled = news.settle(rows)
                self._account(news.feed, rows, settled.status, 1)
                key = keys[is_alone] if not are_kept else hash_texts(news.kind.thing_texts(settled.things))
                things.append(settled.things.append_column("key", pa.array(key)))
                if are_kept:
                    rows = rows.append_column("status", settled.status).append_column("reason", settled.reason)
                    self._keep(news, rows)
        return together(things)

    def _account(self, feed: str, rows: pa.Table, status: pa.Array | pa.ChunkedArray, sign: int) -> None:
        pairs = pa.table({"file": rows["file"], "status": status}).group_by(["file", "status"])
        for row in pairs.aggregate([([], "count_all")]).to_pylist():
            self.accounts[feed, row["file"], row["status"]] += sign * row["count_all"]

    def _keep(self, news: News, rows: pa.Table) -> None:
        for column, text in (("key", "thing"), ("part_key", news.part)):
            rows = rows.append_column(column, pa.array(hash_texts(rows[text])))
        kept = self.manifest.rows.setdefault(news.feed, [])
        kept.append(write_segment(self.root, self._new_file(f"rows-{news.feed}"), rows))
        if len(kept) > compaction.MOST_NEWS:
            file = self._new_file(f"rows-{news.feed}")
            self.manifest.rows[news.feed] = compaction.merge_smallest(self.root, kept, file)

    def _pull_kept(self, news: News) -> pa.Table:
        """Take out the kept rows of things that the news tells of, and of those that shared a part with them."""
        found, rows = [], news.rows
        while rows.num_rows and self.manifest.rows.get(news.feed):
            wanted = {"key": hash_texts(rows["thing"]), "part_key": hash_texts(rows[news.part])}
            rows = together(self._pull_keys(news.feed, {column: distinct(h) for column, h in wanted.items()}))
            found.append(rows)
        rows = together(found)
        if not rows.num_rows:
            return rows
        self._account(news.feed, rows, rows["status"], -1)
        return rows.drop_columns(["key", "part_key", "status", "reason"])

    def _pull_keys(self, feed: str, wanted: Mapping[str, np.ndarray]) -> list[pa.Table]:
        found, segments = [], self.manifest.rows.get(feed, [])
        for i, segment in enumerate(segments):
            places = [find_keys(self.root, segment, keys, column) for column, keys in wanted.items()]
            at = np.unique(np.concatenate(places))
            if len(at):
                found.append(take_rows(self.root, segment, at))
                segments[i] = bury(self.root, segment, at, self._new_file("dead"))
        return found

    def _pull_held(self, news: News, kept: pa.Table) -> pa.Table:
        """Take what will be settled anew out of the buckets; return the rows of things that are one row, not `kept`."""
        told = (
            news.rows["thing"]
            if not kept.num_rows
            else pa.chunked_array([*news.rows["thing"].chunks, *kept["thing"].chunks])
        )
        wanted = distinct(hash_texts(told))

        def is_meant(things: pa.Table) -> np.ndarray:
            # Several feeds may tell of one link: each settles its own.
            is_mine = pc.equal(things["source"], news.feed).to_numpy(zero_copy_only=False)
            return is_mine & _are_in(news.kind.thing_texts(things), told)

        places = ((b, i, find_keys(self.root, s, wanted)) for b, i, s in self._segments(news.kind))
        things = together([self._pull(news.kind, b, i, at, is_meant) for b, i, at in places if len(at)])
        if not things.num_rows:
            return things
        if news.rows_of is None:
            return pa.table({})
        if kept.num_rows:
            things = things.filter(pa.array(~_are_in(news.kind.thing_texts(things), kept["thing"])))
        rows = news.rows_of(things)
        self._account(news.feed, rows, pa.array([ACCEPTED] * rows.num_rows, pa.string()), -1)
        return rows

    # --- who is where -----------------------------------------------------------------------------------------------

    def _route(self, things: Mapping[Kind, Sequence[pa.Table]]) -> Moves:
        """Learn which identifiers belong together, and return those that have to move."""
        found = [kind.pairs(table) for kind, tables in things.items() for table in tables if table.num_rows]
        if not found:
            return Moves.none()
        self.pairs, is_new = self.pairs.with_news(Pairs(*map(np.concatenate, zip(*found, strict=True))))
        counts = is_new & joining(self.pairs, self.most_partners)
        return self.routes.join(self.pairs.one[counts], self.pairs.two[counts], self._n_rows)

    def _n_rows(self, hashes: np.ndarray) -> np.ndarray:
        """Return how many rows belong to each of some identifiers (ascending)."""
        n = np.zeros(len(hashes), np.int64)
        for bucket in self.manifest.buckets:
            ids = self._ids_of(bucket.number)
            at = np.minimum(np.searchsorted(hashes, ids.hashes), len(hashes) - 1)
            mine = hashes[at] == ids.hashes
            np.add.at(n, at[mine], ids.n_rows[mine])
        return n

    def _pull_moved(self, kind: Kind, moves: Moves) -> list[pa.Table]:
        """Take out what belongs to identifiers that move."""
        found = []
        for number, i, segment in self._segments(kind):
            leaving = moves.ids[moves.before == number]
            if not len(leaving):
                continue
            goes = np.isin(self._ids_of(number).hashes, leaving)
            owner = owner_of(read_segment(self.root, segment, list(kind.ends)), kind)
            at = np.setdiff1d(np.flatnonzero(goes[owner]), dead_positions(self.root, segment), assume_unique=True)
            if len(at):
                found.append(self._pull(kind, number, i, at, lambda t: np.ones(t.num_rows, bool)))
        return found

    def _append(self, kind: Kind, things: pa.Table) -> None:
        """Add things to the buckets of those they belong to."""
        if not things.num_rows:
            return
        first, second = (hash_texts(texts) for texts in kind.id_texts(things))
        distinct, place = np.unique(np.where(first != 0, first, second), return_inverse=True)
        number = self.routes.buckets_of(distinct)[place]
        order = np.argsort(number, kind="stable")
        ends = np.searchsorted(number[order], np.arange(self.manifest.n_buckets + 1))
        for b in np.flatnonzero(np.diff(ends)).tolist():
            bucket, ids = self.manifest.buckets[b], self._ids_of(b)
            coded = kind.code(things.take(pa.array(order[ends[b] : ends[b + 1]])), self.names, ids)
            ids.route(self.routes, b)
            self.manifest.tallies[kind.name].update(kind.tally(coded, self.names, ids.hashes))
            if kind is EVENTS:
                np.add.at(ids.n_rows, owner_of(coded, kind), 1)
                coded = compaction.in_order(coded, ids)
            segment = write_segment(self.root, self._new_file(f"{bucket.folder}/{kind.name}"), coded)
            self._replace(b, kind, [*getattr(bucket, kind.name), segment])

    def _compact(self, at_rest: bool) -> None:
        for bucket in self.manifest.buckets:
            if compaction.is_due(bucket, at_rest):
                ids = self._ids_of(bucket.number)
                ids.route(self.routes, bucket.number)
                done = compaction.compact(self.root, bucket, ids, self._new_file)
                self._replace(bucket.number, EVENTS, done)
            if len(bucket.told) >= compaction.MOST_NEWS:
                merged = compaction.merge_smallest(
                    self.root, list(bucket.told), self._new_file(f"{bucket.folder}/told")
                )
                self._replace(bucket.number, TOLD, merged)

    # --- the parts of the store -------------------------------------------------------------------------------------

    def _segments(self, kind: Kind) -> list[tuple[int, int, Segment]]:
        """List the bucket, the place and the segment of all segments of a kind."""
        return [(b.number, i, s) for b in self.manifest.buckets for i, s in enumerate(getattr(b, kind.name))]

    def _pull(
        self, kind: Kind, number: int, i: int, at: np.ndarray, is_meant: Callable[[pa.Table], np.ndarray]
    ) -> pa.Table:
        """Take the things at some positions of a segment out of the store, those that are meant, and return them."""
        segments, ids = list(getattr(self.manifest.buckets[number], kind.name)), self._ids_of(number)
        coded = take_rows(self.root, segments[i], at)
        things = kind.decode(coded, self.names, ids.texts)
        meant = is_meant(things)
        if meant.any():
            gone = coded.filter(pa.array(meant))
            self.manifest.tallies[kind.name].subtract(kind.tally(gone, self.names, ids.hashes))
            if kind is EVENTS:
                np.subtract.at(ids.n_rows, owner_of(gone, kind), 1)
            file = self._new_file(f"{self.manifest.buckets[number].folder}/dead")
            segments[i] = bury(self.root, segments[i], at[meant], file)
            self._replace(number, kind, segments)
        return things.filter(pa.array(meant))

    def _ids_of(self, number: int) -> Ids:
        if number not in self._ids:
            self._ids[number] = read_ids(self.root, self.manifest.buckets[number])
        return self._ids[number]

    def _replace(self, number: int, kind: Kind, segments: Sequence[Segment]) -> None:
        bucket = self.manifest.buckets[number]
        self.manifest.buckets[number] = replace(bucket, **{kind.name: tuple(segments)})

    def _new_file(self, stem: str) -> str:
        self._n_files += 1
        return f"{stem}-{self.manifest.generation:06d}-{self._n_files:05d}.parquet"


def _are_in(texts: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> np.ndarray:
    among = among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among
    return pc.is_in(texts, value_set=among).to_numpy(zero_copy_only=False)

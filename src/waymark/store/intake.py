"""News on their way into the store: rows just delivered, settled with all that was ever delivered of the same things.

A thing is an event, or a link that somebody told of; its key is a hash of the text that makes it one. Most things are
delivered in one row. Of the others all rows are kept, so that a row that comes later finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.sources.settling import ACCEPTED, Settled
from waymark.store import compaction, ledgers
from waymark.store.aside import Aside
from waymark.store.buckets import Bucket, Ids, write_ids
from waymark.store.hashes import Ordered, Sieve, distinct, hash_texts
from waymark.store.kinds import EVENTS, TOLD, Kind, owner_of
from waymark.store.manifest import Manifest
from waymark.store.routes import (
    Gathered,
    Moves,
    Pairs,
    joining,
    read_pairs,
    read_routes,
    write_pairs,
    write_routes,
)
from waymark.store.segments import bury, find_keys, take_rows, together, write_segment
from waymark.store.stored import Meant, Stored

_MOST_WAITING = 1_000_000  # rows of a feed that wait to be settled together


@dataclass(frozen=True)
class News:
    """Rows of one feed, just delivered."""

    feed: str
    kind: Kind
    rows: pa.Table  # in texts, with `file`, `line` and `thing`, the text that the rows of one thing share
    settle: Callable[[pa.Table], Settled]  # of all rows of some things
    of_rows: Callable[[pa.Table], pa.Table] | None = None  # rows of a thing each -> those things; None: no row is one
    rows_of: Callable[[pa.Table], pa.Table] | None = None  # things of one row each -> those rows
    part: str = "thing"  # the column of what may pass from one thing to another: a line of an order


class Intake:
    """One night's news. Files are written at once, and count when the manifest that names them is written.

    A thing that is told of for the first time is put aside. Rows of things that may have been told of before wait until
    the night's are all read: then all that is known of each is taken out, settled, and put aside as well. At the end
    everything is dealt to the buckets, of which each is opened once.
    """

    def __init__(self, root: Path, manifest: Manifest, most_partners: int, n_rows: int) -> None:
        """Begin a night of about `n_rows`; links of an identifier beyond its first `most_partners` never count."""
        self.root, self.manifest, self.most_partners = root, manifest, most_partners
        root.mkdir(parents=True, exist_ok=True)
        manifest.generation += 1
        manifest.buckets = manifest.buckets or [Bucket(i) for i in range(manifest.n_buckets)]
        self.names = manifest.new_names()
        self.routes = read_routes(root, manifest.routes, manifest.n_buckets)
        self.accounts: Counter[tuple[str, str, str]] = (
            Counter()
        )  # (feed, file, status) -> rows, more or less than before
        self._aside = {kind: Aside(root, kind, manifest.n_buckets) for kind in (EVENTS, TOLD)}
        self._stored = Stored(root, manifest, self.names)
        self._sieve = Sieve(n_rows)
        self._waiting: dict[str, list[News]] = {}
        self._n_files = 0

    def take(self, delivered: Sequence[News]) -> None:
        """Take in what was delivered."""
        for news in delivered:
            rows = news.rows
            if news.of_rows is not None:
                keys = hash_texts(rows["thing"])
                is_known = self._sieve.met(keys) | self._stored.has(news.kind, keys)
                alone = rows.filter(pa.array(~is_known)) if is_known.any() else rows
                self._put_aside(news.kind, news.of_rows(alone).append_column("key", pa.array(keys[~is_known])))
                self._account(news.feed, alone, pa.repeat(ACCEPTED, alone.num_rows), 1)
                rows = rows.filter(pa.array(is_known))
            if rows.num_rows:
                self._waiting.setdefault(news.feed, []).append(replace(news, rows=rows))
            if sum(n.rows.num_rows for n in self._waiting.get(news.feed, ())) > _MOST_WAITING:
                self._settle_waiting(news.feed)

    def finish(self) -> Manifest:
        """Put everything in its place, write what the manifest has to name, and return it."""
        for feed in sorted(self._waiting):
            self._settle_waiting(feed)
        moves = self._route()
        for kind, aside in self._aside.items():
            for coded, ids in self._stored.pull_moved(kind, moves):
                aside.add(coded, ids)
            aside.deal(self.routes)
        joined = Ordered(moves.joined)
        concerned = {*moves.before.tolist(), *self.routes.buckets_of(moves.joined).tolist()}
        for number in range(self.manifest.n_buckets):
            self._close(number, number in concerned, joined)
        self.manifest.names = self.names.lists
        return self.manifest

    # --- what is one thing ------------------------------------------------------------------------------------------

    def _put_aside(self, kind: Kind, things: pa.Table) -> None:
        """Put things in texts, with their `key`, aside."""
        if things.num_rows:
            ids = Ids()
            coded = kind.code(things, self.names, ids)
            self._aside[kind].add(coded, ids)

    def _settle_waiting(self, feed: str) -> None:
        waiting = self._waiting.pop(feed, [])
        if waiting:
            self._settle(replace(waiting[0], rows=together(news.rows for news in waiting)))

    def _settle(self, news: News) -> None:
        """Put aside the things that the rows of a feed come to; what was held of them before is taken out."""
        keys = hash_texts(news.rows["thing"])
        _, place, n = np.unique(keys, return_inverse=True, return_counts=True)
        kept = self._pull_kept(news)
        held = self._pull_held(news, kept)
        before = np.concatenate([keys[:0], *(hash_texts(t["thing"]) for t in (kept, held) if t.num_rows)])
        is_alone = (n[place] == 1) & ~np.isin(keys, before) & (news.rows_of is not None)
        alone, others = (news.rows.filter(pa.array(mask)) for mask in (is_alone, ~is_alone))
        for rows, are_kept in ((alone, False), (together([others, kept, held]), True)):
            if rows.num_rows:
                settled = news.settle(rows)
                self._account(news.feed, rows, settled.status, 1)
                key = keys[is_alone] if not are_kept else hash_texts(news.kind.thing_texts(settled.things))
                self._put_aside(news.kind, settled.things.append_column("key", pa.array(key)))
                if are_kept:
                    rows = rows.append_column("status", settled.status).append_column("reason", settled.reason)
                    self._keep(news, rows)

    def _account(self, feed: str, rows: pa.Table, status: pa.Array | pa.ChunkedArray, sign: int) -> None:
        pairs = pa.table({"file": rows["file"], "status": status}).group_by(["file", "status"])
        for row in pairs.aggregate([([], "count_all")]).to_pylist():
            self.accounts[feed, row["file"], row["status"]] += sign * row["count_all"]

    def _keep(self, news: News, rows: pa.Table) -> None:
        for column, text in (("key", "thing"), ("part_key", news.part)):
            rows = rows.append_column(column, pa.array(hash_texts(rows[text])))
        kept = self.manifest.rows.setdefault(news.feed, [])
        kept.append(write_segment(self.root, self._new_file(f"rows-{news.feed}"), rows, is_mapped=False))
        if len(kept) > compaction.MOST_NEWS:
            stem = self._new_file(f"rows-{news.feed}")
            self.manifest.rows[news.feed] = compaction.merge_smallest(self.root, kept, stem)

    def _pull_kept(self, news: News) -> pa.Table:
        """Take out the kept rows of things that the news tells of, and of those that shared a part with them."""
        found, rows = [], news.rows
        while rows.num_rows and self.manifest.rows.get(news.feed):
            wanted = {"key": hash_texts(rows["thing"]), "part_key": hash_texts(rows[news.part])}
            rows = together(self._pull_keys(news.feed, {column: Ordered(distinct(h)) for column, h in wanted.items()}))
            found.append(rows)
        rows = together(found)
        if not rows.num_rows:
            return rows
        self._account(news.feed, rows, rows["status"], -1)
        return rows.drop_columns(["key", "part_key", "status", "reason"])

    def _pull_keys(self, feed: str, wanted: Mapping[str, Ordered]) -> list[pa.Table]:
        found, gone, segments = [], {}, self.manifest.rows.get(feed, [])
        for i, segment in enumerate(segments):
            places = [find_keys(self.root, segment, keys, column)[0] for column, keys in wanted.items()]
            at = np.unique(np.concatenate(places))
            if len(at):
                found.append(take_rows(self.root, segment, at))
                gone[i] = at
        if gone:
            segments[:] = bury(self.root, segments, gone, self._new_file("dead"))
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

        things = together(
            [*self._stored.pull(news.kind, wanted, is_meant), *self._take_back(news.kind, wanted, is_meant)]
        )
        if not things.num_rows:
            return things
        if news.rows_of is None:
            return pa.table({})
        if kept.num_rows:
            things = things.filter(pa.array(~_are_in(news.kind.thing_texts(things), kept["thing"])))
        rows = news.rows_of(things)
        self._account(news.feed, rows, pa.array([ACCEPTED] * rows.num_rows, pa.string()), -1)
        return rows

    def _take_back(self, kind: Kind, wanted: np.ndarray, is_meant: Meant) -> Iterator[pa.Table]:
        """Take out what was put aside tonight; see `Stored.pull`."""
        aside = self._aside[kind]
        for number, at, coded, ids in aside.find(wanted):
            things = kind.decode(coded, self.names, ids)
            meant = is_meant(things)
            aside.bury(number, at[meant])
            yield things.filter(pa.array(meant))

    # --- who is where -----------------------------------------------------------------------------------------------

    def _route(self) -> Moves:
        """Learn what the night tells of, which identifiers belong together, and return those that have to move.

        What nobody tells any more is forgotten: it is no longer one of those that make an identifier a hub. But who was
        once joined stays together, which harms nobody.
        """
        gathered = Gathered()
        for kind, aside in self._aside.items():
            for rows, ids in aside.things():
                gathered.add(kind.pairs(rows, ids))
                self.manifest.tallies[kind.name].update(kind.tally(rows, self.names, ids.hashes))
        news, pairs = gathered.all(), read_pairs(self.root, self.manifest.pairs)
        doubted = pairs.doubted(self._stored.lost_pairs(), news)
        asked_of = Pairs(*(column[doubted] for column in pairs))
        if len(doubted):
            pairs = pairs.corrected(doubted, self._stored.still_told(asked_of, self.routes))
        pairs, asked = pairs.with_news(news)
        stem = f"{self.manifest.generation:06d}"
        added = None if len(doubted) else asked
        self.manifest.pairs = write_pairs(self.root, stem, self.manifest.pairs, pairs, added)
        if len(doubted):  # others of the same ends may count in their place
            ends = distinct(np.append(asked_of.one, asked_of.two))
            asked = np.union1d(asked, pairs.with_ends(ends))
        asked = asked[joining(pairs, asked, self.most_partners)]
        moves = self.routes.join(pairs.one[asked], pairs.two[asked], self._stored.n_rows)
        self.manifest.routes = write_routes(self.root, stem, self.manifest.routes, self.routes)
        return moves

    def _close(self, number: int, is_concerned: bool, joined: Ordered) -> None:
        """Give a bucket what belongs to it, and write what the manifest says of it."""
        ids = self._stored.ids_of(number)
        news = {kind: aside.of_bucket(number, ids) for kind, aside in self._aside.items()}
        lost = self._stored.lost_by(number)
        if not (is_concerned or any(lost.values()) or any(rows.num_rows for rows in news.values())):
            return
        ids.route(self.routes, joined, number, self.manifest.generation)
        self._stored.close(number, self._new_file)
        bucket, events, told = self.manifest.buckets[number], news[EVENTS], news[TOLD]
        for kind, rows in news.items():
            if rows.num_rows:
                for end in kind.ends:
                    ids.mark(rows[end].to_numpy(), self.manifest.generation)
        if events.num_rows:
            ids.count(owner_of(events, EVENTS), 1)
        bucket = replace(
            bucket,
            events=compaction.put_in_place(self.root, bucket, events, ids, self._new_file, self.manifest.generation),
            told=compaction.put_beside(self.root, bucket, told, self._new_file),
        )
        bucket = write_ids(self.root, bucket, ids, self.manifest.generation)
        if bucket.ids:
            changes = ledgers.News(events, told, lost)
            bucket = ledgers.write_ledger(self.root, bucket, ids, self.names, self.manifest.generation, changes)
        self.manifest.buckets[number] = bucket

    def _new_file(self, stem: str) -> str:
        self._n_files += 1
        return f"{stem}-{self.manifest.generation:06d}-{self._n_files:05d}"


def _are_in(texts: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> np.ndarray:
    among = among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among
    return pc.is_in(texts, value_set=among).to_numpy(zero_copy_only=False)

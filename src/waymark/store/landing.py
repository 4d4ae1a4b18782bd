"""The landing folder and the mapping of a source -> the store, taking in only what it has not seen."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import tables
from waymark.config import FileLayout, IdentityConfig, SourceConfig
from waymark.console import progress
from waymark.identity import hub_size
from waymark.sources.delivery import Delivery, check_share, total
from waymark.sources.files import PACKINGS, delivered_time, find_files
from waymark.sources.links import map_links
from waymark.sources.mapping import map_rows
from waymark.sources.rows import LEFT_OUT
from waymark.sources.settling import (
    ACCEPTED,
    CONFLICT,
    DUPLICATE,
    event_rows,
    events_of_rows,
    link_rows,
    linked_rows,
    rows_of_events,
    settle_events,
    settle_linked,
    settle_links,
)
from waymark.store.intake import Intake, News
from waymark.store.kinds import EVENTS, TOLD
from waymark.store.manifest import Manifest, delete_strays
from waymark.store.rejects import add_rejects, conflicts
from waymark.store.segments import live_rows, together

BATCH_ROWS = 1_000_000  # read together: what bounds the memory of a first night
# Of a bucket, on the mean and at most when a store is laid out: what bounds the memory of every step after (two workers
# that make features at every event take 1.7 GB of so many). More buckets cost more calls: a night opens files of each.
BUCKET_ROWS = 1_600_000
_OUTGROWN = 5 / 4  # of `BUCKET_ROWS` for each bucket: a store that holds more is laid out anew
_PACKED, _PLAIN = 25, 100  # bytes of a delivered row, for a guess at how many buckets there should be
_CODE = ("sources/*.py", "store/*.py", "identity.py", "ledger.py", "schema.py")

LINKED = "linkage"  # what stands for a feed where links come from no file

log = logging.getLogger(__name__)


def ingest(
    landing: Path,
    source: SourceConfig,
    rules: IdentityConfig,
    root: Path,
    n_buckets: int | None = None,
    linked: pd.DataFrame | None = None,
) -> Manifest:
    """Take what is new in the folder `landing` into the store at `root`.

    What the store holds depends on the delivered rows only: not on how they are split over files and nights, nor on the
    order in which the files come. (Of rows with one delivered event id and one `known_time`, the first in the order of
    file names and lines stays; those that say something else are refused.) Where a file that was taken in has changed
    or is gone, where the mapping or the code that reads it is another, or where the store outgrew its buckets, all is
    taken in anew.

    Parameters
    ----------
    n_buckets
        How many a new store has; by default, as many as the delivered files seem to fill.
    linked
        Rows of `schema.LINKS` that come from no file: likely pairs of customer records.

    Raises
    ------
    InputError
        Folder, files or columns are missing; a file is damaged; or the share of a feed's rows that break the contract
        is above `source.max_reject_share`. The store stays as it was.
    """
    layouts: Mapping[str, FileLayout] = {**source.feeds, **source.links}
    files = {name: find_files(landing, name, layout) for name, layout in layouts.items()}
    rows = linked_rows(linked)
    manifest = _begin(root, landing, files, _fingerprint(source, rules), rows, n_buckets)
    new = [(name, file) for name, names in files.items() for file in names if file not in manifest.taken.get(name, {})]
    likely = rows.filter(pc.invert(pc.is_in(rows["thing"], _linked_before(root, manifest))))
    try:
        if new or likely.num_rows:
            n_rows = _guess_rows(landing, {file for _, file in new})
            _take_in(root, landing, source, Intake(root, manifest, hub_size(rules) + 1, n_rows), new, likely)
            manifest.write(root)
    finally:
        delete_strays(root)
    tables.write_json({f: _time(landing / f) for names in files.values() for f in names}, _seen(root))
    return manifest


def _take_in(
    root: Path,
    landing: Path,
    source: SourceConfig,
    intake: Intake,
    new: Sequence[tuple[str, str]],
    likely: pa.Table,
) -> None:
    """Take new files, and likely pairs of customers, into the store; check what was refused of them."""
    manifest = intake.manifest
    deliveries = {name: Delivery(name, layout) for name, layout in {**source.feeds, **source.links}.items()}
    for batch in _batches(landing, source, new, deliveries):
        intake.take(batch)
    if likely.num_rows:
        intake.take([News(LINKED, TOLD, likely, settle_linked)])
    intake.finish()
    _account(manifest, landing, new, deliveries, intake.accounts)
    add_rejects(root, manifest, deliveries)
    for name, delivery in deliveries.items():
        counts = total(account_of(a) for a in manifest.taken[name].values())
        check_share(delivery, source.max_reject_share, counts, [*delivery.rejects, *conflicts(root, manifest, name)])


# --- what is new ----------------------------------------------------------------------------------------------------


def _begin(
    root: Path,
    landing: Path,
    files: Mapping[str, Sequence[str]],
    fingerprint: str,
    linked: pa.Table,
    n_buckets: int | None,
) -> Manifest:
    """Return the store as it is, or a new one where what it holds is no longer what lies in the landing folder."""
    old = Manifest.read(root)
    why = _why_anew(root, landing, old, files, fingerprint, linked) if old else ""
    if old and not why:
        return old
    if why:
        log.info("ingest: all files are taken in anew: %s", why)
    are_there = old and all(set(taken) <= set(files.get(feed, ())) for feed, taken in old.taken.items())
    new = Manifest(fingerprint, n_buckets or _guess_buckets(landing, files, old.n_events if are_there else 0))
    new.generation = old.generation if old else 0  # no name of a file is used twice
    return new


def _why_anew(
    root: Path,
    landing: Path,
    old: Manifest,
    files: Mapping[str, Sequence[str]],
    fingerprint: str,
    linked: pa.Table,
) -> str:
    if old.fingerprint != fingerprint:
        return "the mapping, a rule of identity or the code that reads files is another"
    if old.n_events > _OUTGROWN * BUCKET_ROWS * old.n_buckets:
        return f"{old.n_events:,} events have outgrown {old.n_buckets} buckets"
    seen = tables.read_json(_seen(root)) if _seen(root).exists() else {}
    for feed, taken in old.taken.items():
        gone = sorted(set(taken) - set(files.get(feed, ())))
        if gone:
            return f"{gone[0]} is gone"
        for file, account in taken.items():
            path = landing / file
            is_same = path.stat().st_size == account["size"]
            # Files are not read again where their time of change is as it was.
            if not is_same or (seen.get(file) != _time(path) and tables.sha256(path) != account["sha256"]):
                return f"{file} has changed"
    still = pc.is_in(_linked_before(root, old), linked["thing"].combine_chunks())
    return "" if pc.all(still, min_count=0).as_py() else "likely pairs of customer records are no longer what they were"


def _linked_before(root: Path, manifest: Manifest) -> pa.Array:
    """Return what makes each of the links one that came from no file."""
    found = together(live_rows(root, s, ["thing"]) for s in manifest.rows.get(LINKED, []))
    return found["thing"].combine_chunks() if found.num_rows else pa.array([], pa.string())


def _seen(root: Path) -> Path:
    """Return where the times of files are kept: beside the store, whose bytes do not hang on them."""
    return root.with_name(f".{root.name}-seen.json")


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns


def _guess_buckets(landing: Path, files: Mapping[str, Sequence[str]], n_before: int) -> int:
    """Return the power of two that gives a bucket up to `BUCKET_ROWS` rows on the mean.

    `n_before` of the events were in the store before: so many there are, if rows are smaller than guessed.
    """
    n_rows = max(_guess_rows(landing, {file for names in files.values() for file in names}), n_before)
    return 1 << math.ceil(math.log2(max(n_rows / BUCKET_ROWS, 1)))


def _guess_rows(landing: Path, files: Collection[str]) -> int:
    paths, packed = [landing / file for file in sorted(files)], {*PACKINGS, ".parquet", ".pq"}
    return round(sum(p.stat().st_size / (_PACKED if p.suffix.lower() in packed else _PLAIN) for p in paths))


def _fingerprint(source: SourceConfig, rules: IdentityConfig) -> str:
    """Return a hash of all that the store hangs on besides the files."""
    digest = hashlib.sha256(f"{source.model_dump_json()}\n{hub_size(rules)}".encode())
    package = Path(__file__).parents[1]
    for path in sorted(p for pattern in _CODE for p in package.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- reading --------------------------------------------------------------------------------------------------------


def _batches(
    landing: Path, source: SourceConfig, new: Sequence[tuple[str, str]], deliveries: Mapping[str, Delivery]
) -> Iterator[list[News]]:
    """Read new files, and yield their rows some at a time."""
    n = 0
    for name, file in progress(new, "ingest: files", len(new)):
        layout = deliveries[name].feed
        meaning = _meaning(source, name, delivered_time(file, layout, source.time_zone))
        for n_read in deliveries[name].read(landing / file, file, meaning):
            n += n_read
            if n >= BATCH_ROWS:
                yield _news(source, deliveries)
                n = 0
    yield _news(source, deliveries)


def _meaning(source: SourceConfig, name: str, delivered: int | None) -> partial:
    """Return what says what the rows of a file mean."""
    zone = source.time_zone
    if name in source.links:
        return partial(map_links, feed=source.links[name], time_zone=zone, delivered_time=delivered)
    prefix = f"{name}:" if len(source.feeds) > 1 else ""
    feed = source.feeds[name]
    return partial(map_rows, feed_name=name, feed=feed, time_zone=zone, id_prefix=prefix, delivered_time=delivered)


def _news(source: SourceConfig, deliveries: Mapping[str, Delivery]) -> list[News]:
    found = []
    for name, delivery in deliveries.items():
        rows = delivery.drain()
        if rows is None or not rows.num_rows:
            continue
        if name in source.links:
            found.append(News(name, TOLD, link_rows(rows), partial(settle_links, feed_name=name)))
        else:
            feed = source.feeds[name]
            settle = partial(settle_events, feed_name=name, feed=feed)
            news = News(name, EVENTS, event_rows(rows, name, feed), settle, part="event_id")
            if feed.one_event_per is None:
                of_rows = partial(events_of_rows, feed_name=name)
                news = replace(news, of_rows=of_rows, rows_of=rows_of_events, part="thing")
            found.append(news)
    return found


# --- accounts -------------------------------------------------------------------------------------------------------


def _account(
    manifest: Manifest,
    landing: Path,
    new: Sequence[tuple[str, str]],
    deliveries: Mapping[str, Delivery],
    changes: Counter[tuple[str, str, str]],
) -> None:
    """Enter the new files into the manifest, and what became of rows of others.

    Raises
    ------
    RuntimeError
        A row got lost, which is a bug and never the delivery's fault.
    """
    for name, file in new:
        delivery, path = deliveries[name], landing / file
        refused = [rule for of, _, rule, _ in delivery.rejects if of == file]
        manifest.taken.setdefault(name, {})[file] = {
            "size": path.stat().st_size,
            "sha256": tables.sha256(path),
            "delivered": delivery.delivered[file],
            "refused": len(refused),
            "left_out": refused.count(LEFT_OUT),
            **dict.fromkeys((ACCEPTED, DUPLICATE, CONFLICT), 0),
        }
    for (name, file, status), n in changes.items():
        if name == LINKED:
            continue
        manifest.taken[name][file][status] += n
    for name, delivery in deliveries.items():
        facts = manifest.feeds.setdefault(name, {"filled": [], "clocks": []})
        for fact in facts:
            facts[fact] = sorted({*facts[fact], *getattr(delivery, fact)})
    for name, taken in manifest.taken.items():
        for file, a in taken.items():
            if a["delivered"] != a["refused"] + a[ACCEPTED] + a[DUPLICATE] + a[CONFLICT]:
                raise RuntimeError(f"{file}: rows of feed {name} do not add up: {a}")


def account_of(taken: Mapping[str, Any]) -> dict[str, int]:
    """Return the account of a file as reports have it."""
    rejected = taken["refused"] + taken[CONFLICT]
    return {
        "delivered": taken["delivered"],
        "accepted": taken[ACCEPTED],
        "duplicates": taken[DUPLICATE],
        "rejected": rejected,
        "left_out": taken["left_out"],
    }

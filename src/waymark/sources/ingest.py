"""A landing folder and the mapping of a source -> events, rejects, and an account of every delivered row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from waymark import schema
from waymark.config import Feed, SourceConfig
from waymark.console import progress
from waymark.errors import InputError
from waymark.sources.events import drop_repeated, merge_lines, to_events
from waymark.sources.files import find_files
from waymark.sources.mapping import LEFT_OUT, map_rows
from waymark.sources.readers import mapped_columns, read_rows

COUNTS = ("delivered", "accepted", "duplicates", "rejected", "left_out")


@dataclass(frozen=True)
class Ingested:
    """What a delivery became."""

    events: pd.DataFrame  # rows of `schema.EVENTS`, sorted by its key
    rejects: pd.DataFrame  # rows of `schema.REJECTS`, sorted by its key; rows left out by choice among them
    report: dict[str, Any]  # counts, ready for JSON

    @property
    def summary(self) -> str:
        """The reconciliation in one line."""
        r = self.report
        line = (
            f"delivered {r['delivered']:,} = accepted {r['accepted']:,} + duplicates {r['duplicates']:,} "
            f"+ rejected {r['rejected']:,}"
        )
        line += f" ({r['left_out']:,} of them left out by choice)" if r["left_out"] else ""
        empty = [f"{c} (feed {name})" for name, feed in r["feeds"].items() for c in feed["empty_columns"]]
        return f"{line}; {r['events']:,} events" + (f"; never filled: {', '.join(empty)}" if empty else "")


@dataclass
class _Delivery:
    """What has been read of one feed so far."""

    name: str
    feed: Feed
    tables: list[pa.Table] = field(default_factory=list)
    rejects: list[tuple[str, int, str, str]] = field(default_factory=list)  # file, line, rule, reason
    delivered: Counter[str] = field(default_factory=Counter)  # rows of each file
    mapped: Counter[str] = field(default_factory=Counter)  # those of them that keep the contract
    filled: set[str] = field(default_factory=set)  # mapped columns that held anything
    columns: tuple[str, ...] = ()  # of the first rows, for messages

    @property
    def n_left_out(self) -> int:
        return sum(rule == LEFT_OUT for _, _, rule, _ in self.rejects)


def ingest(landing: Path, source: SourceConfig) -> Ingested:
    """Read what lies in the folder `landing` as `source` says.

    The events depend on the delivered rows only: not on their order, nor on how they are split over files. (Of
    two rows with one delivered event id and one `known_time`, the first in the order of file names and lines stays.)

    Raises
    ------
    InputError
        Folder, files or columns are missing; a file is damaged; or the share of a feed's rows that break the
        contract is above `source.max_reject_share`.
    """
    files = {name: find_files(landing, name, feed) for name, feed in source.feeds.items()}
    deliveries = {name: _Delivery(name, feed) for name, feed in source.feeds.items()}
    jobs = [(deliveries[name], file) for name, names in files.items() for file in names]
    for delivery, file in progress(jobs, "ingest: files", len(jobs)):
        prefix = f"{delivery.name}:" if len(files) > 1 else ""
        _read(landing / file, file, delivery, source.time_zone, prefix)
    for delivery in deliveries.values():
        _check(delivery, source.max_reject_share)
    unique = {name: _unique_rows(delivery) for name, delivery in deliveries.items()}
    accounts = [row for name, d in deliveries.items() for row in _account(d, unique[name])]
    events = to_events({name: merge_lines(rows, name) for name, rows in unique.items()})
    rejects = [(name, *reject) for name, delivery in deliveries.items() for reject in delivery.rejects]
    refused = pd.DataFrame(rejects, columns=list(schema.REJECTS.columns)).astype({"line": "int64"})
    refused = refused.sort_values(list(schema.REJECTS.key), kind="stable", ignore_index=True)
    return Ingested(events, refused, _report(source.name, deliveries, accounts, events))


def _read(path: Path, file: str, delivery: _Delivery, time_zone: str, id_prefix: str) -> None:
    for chunk in read_rows(path, file, delivery.feed):
        mapped = map_rows(chunk.rows, delivery.name, delivery.feed, time_zone, id_prefix)
        names = pa.array([file]).dictionary_encode().take(pa.array([0] * mapped.rows.num_rows, pa.int32()))
        delivery.tables.append(mapped.rows.append_column("file", names))
        delivery.rejects += [(file, r.line, r.rule, r.reason) for r in (*chunk.unreadable, *mapped.refused)]
        delivery.delivered[file] += len(chunk.rows.lines) + len(chunk.unreadable)
        delivery.mapped[file] += mapped.rows.num_rows
        delivery.filled |= mapped.filled
        delivery.columns = delivery.columns or chunk.rows.column_names


def _check(delivery: _Delivery, max_share: float) -> None:
    """Stop where a feed brought nothing, or too much that breaks the contract."""
    n_delivered, n_left_out = delivery.delivered.total(), delivery.n_left_out
    if not n_delivered:
        raise InputError(f"feed {delivery.name}: {', '.join(sorted(delivery.delivered))} held no rows")
    n_broken, n_wanted = len(delivery.rejects) - n_left_out, n_delivered - n_left_out
    if n_broken > max_share * n_wanted:
        raise InputError(
            f"feed {delivery.name}: {n_broken:,} of {n_wanted:,} rows ({n_broken / n_wanted:.1%}) break the "
            f"contract, more than max_reject_share = {max_share:g} allows: {_worst(delivery)}"
        )
    if n_broken == n_wanted:
        raise InputError(f"feed {delivery.name}: none of its {n_delivered:,} rows can be used: {_worst(delivery)}")


def _worst(delivery: _Delivery) -> str:
    """Name the rules broken most, with an example each, and mapped columns that no row fills."""
    counts = Counter(rule for _, _, rule, _ in delivery.rejects)
    if set(counts) != {LEFT_OUT}:
        counts.pop(LEFT_OUT, None)
    first: dict[str, tuple[str, int, str]] = {}
    for file, line, rule, reason in sorted(delivery.rejects):
        first.setdefault(rule, (file, line, reason))
    worst = sorted(counts, key=lambda rule: (-counts[rule], rule))[:3]
    examples = [f"{counts[r]:,} times {r} (as in {first[r][0]}:{first[r][1]}: {first[r][2]})" for r in worst]
    empty = _never_filled(delivery)
    if empty:
        examples.append(f"no row fills the mapped column {', '.join(empty)}; there are {_listed(delivery.columns)}")
    return "; ".join(examples)


def _listed(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _never_filled(delivery: _Delivery) -> list[str]:
    return sorted(set(mapped_columns(delivery.feed)) - delivery.filled)


def _unique_rows(delivery: _Delivery) -> pd.DataFrame:
    return drop_repeated(pa.concat_tables(delivery.tables, promote_options="permissive"))


def _report(
    name: str,
    deliveries: Mapping[str, _Delivery],
    files: Sequence[dict[str, Any]],
    events: pd.DataFrame,
) -> dict[str, Any]:
    n_events = events["source"].value_counts()
    feeds = {
        feed: {
            **_total([f for f in files if f["feed"] == feed]),
            "events": int(n_events.get(feed, 0)),
            "empty_columns": _never_filled(delivery),
        }
        for feed, delivery in deliveries.items()
    }
    rules = Counter(rule for delivery in deliveries.values() for _, _, rule, _ in delivery.rejects)
    return {
        "source": name,
        **_total(files),
        "events": len(events),
        "rejects_by_rule": dict(sorted(rules.items())),
        "feeds": feeds,
        "files": list(files),
        "event_types": {k: int(n) for k, n in sorted(events["event_type"].value_counts().items())},
        "actors": {k: int(n) for k, n in sorted(events["actor"].value_counts().items())},
        "first_event_time": events["event_time"].min().isoformat(),
        "last_event_time": events["event_time"].max().isoformat(),
    }


def _account(delivery: _Delivery, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Account for each file's rows; raise where one got lost, which is a bug and never the delivery's fault."""
    kept = rows["file"].value_counts()
    rejected = Counter(file for file, _, _, _ in delivery.rejects)
    left_out = Counter(file for file, _, rule, _ in delivery.rejects if rule == LEFT_OUT)
    accounts = []
    for file, n in sorted(delivery.delivered.items()):
        accepted = int(kept.get(file, 0))
        counts = (n, accepted, delivery.mapped[file] - accepted, rejected[file], left_out[file])
        if n != delivery.mapped[file] + rejected[file]:
            raise RuntimeError(f"{file}: rows do not add up: {dict(zip(COUNTS, counts, strict=True))}")
        accounts.append({"feed": delivery.name, "file": file, **dict(zip(COUNTS, counts, strict=True))})
    return accounts


def _total(files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(f[name] for f in files) for name in COUNTS}

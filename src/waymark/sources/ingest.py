"""A landing folder and the mapping of a source -> events, rejects, and an account of every delivered row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from waymark.config import SourceConfig
from waymark.console import progress
from waymark.sources.delivery import Delivery, rejects_of, total
from waymark.sources.events import drop_repeated, merge_lines, to_events
from waymark.sources.files import find_files
from waymark.sources.mapping import map_rows


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
    deliveries = {name: Delivery(name, feed) for name, feed in source.feeds.items()}
    jobs = [(name, file) for name, names in files.items() for file in names]
    for name, file in progress(jobs, "ingest: files", len(jobs)):
        prefix = f"{name}:" if len(files) > 1 else ""
        meaning = partial(
            map_rows, feed_name=name, feed=source.feeds[name], time_zone=source.time_zone, id_prefix=prefix
        )
        deliveries[name].read(landing / file, file, meaning)
    for delivery in deliveries.values():
        delivery.check(source.max_reject_share)
    unique = {name: _unique_rows(delivery) for name, delivery in deliveries.items()}
    accounts = [row for name, d in deliveries.items() for row in d.account(unique[name])]
    events = to_events({name: merge_lines(rows, name) for name, rows in unique.items()})
    return Ingested(events, rejects_of(deliveries.values()), _report(source.name, deliveries, accounts, events))


def _unique_rows(delivery: Delivery) -> pd.DataFrame:
    return drop_repeated(pa.concat_tables(delivery.tables, promote_options="permissive"))


def _report(
    name: str,
    deliveries: Mapping[str, Delivery],
    files: Sequence[dict[str, Any]],
    events: pd.DataFrame,
) -> dict[str, Any]:
    n_events = events["source"].value_counts()
    feeds = {
        feed: {
            **total([f for f in files if f["feed"] == feed]),
            "events": int(n_events.get(feed, 0)),
            "empty_columns": delivery.never_filled,
        }
        for feed, delivery in deliveries.items()
    }
    rules = Counter(rule for delivery in deliveries.values() for _, _, rule, _ in delivery.rejects)
    return {
        "source": name,
        **total(files),
        "events": len(events),
        "rejects_by_rule": dict(sorted(rules.items())),
        "feeds": feeds,
        "files": list(files),
        "event_types": {k: int(n) for k, n in sorted(events["event_type"].value_counts().items())},
        "actors": {k: int(n) for k, n in sorted(events["actor"].value_counts().items())},
        "first_event_time": events["event_time"].min().isoformat(),
        "last_event_time": events["event_time"].max().isoformat(),
    }

"""A landing folder and the mapping of a source -> events, links, rejects, and an account of every delivered row."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from waymark.config import SourceConfig
from waymark.console import progress
from waymark.sources.cells import CLOCKS, Mapped
from waymark.sources.delivery import Delivery, rejects_of, total
from waymark.sources.events import merge_lines, tell_versions, to_events
from waymark.sources.files import delivered_time, find_files
from waymark.sources.links import map_links, to_links, unique_links
from waymark.sources.mapping import map_rows


@dataclass(frozen=True)
class Ingested:
    """What a delivery became."""

    events: pd.DataFrame  # rows of `schema.EVENTS`, sorted by its key
    links: pd.DataFrame  # rows of `schema.LINKS` that files told of, sorted by its key
    rejects: pd.DataFrame  # rows of `schema.REJECTS`, sorted by its key; rows left out by choice among them
    report: dict[str, Any]  # counts, ready for JSON

    @property
    def clockless(self) -> list[str]:
        """The feeds of which some row says when it happened, and nothing says when it was known."""
        return [name for name, feed in self.report["feeds"].items() if CLOCKS[-1] in feed["known_time_from"]]

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
        line += f"; {r['events']:,} events" + (f", restated {r['restated']:,} times" if r["restated"] else "")
        line += f", {r['links']:,} links told of" if r["links"] else ""
        line += f"; never filled: {', '.join(empty)}" if empty else ""
        clocks = {name: r["feeds"][name]["known_time_from"] for name in self.clockless}
        named = [name + (" (some rows)" if len(told) > 1 else "") for name, told in clocks.items()]
        return line + (f"; no second clock: feed {', '.join(named)}" if named else "")


def ingest(landing: Path, source: SourceConfig) -> Ingested:
    """Read what lies in the folder `landing` as `source` says.

    Events and links depend on the delivered rows only: not on their order, nor on how they are split over files. (Of
    rows with one delivered event id and one `known_time`, the first in the order of file names and lines stays; those
    that say something else are refused.)

    Raises
    ------
    InputError
        Folder, files or columns are missing; a file is damaged; or the share of a feed's rows that break the
        contract is above `source.max_reject_share`.
    """
    layouts = {**source.feeds, **source.links}
    files = {name: find_files(landing, name, layout) for name, layout in layouts.items()}
    deliveries = {name: Delivery(name, layout) for name, layout in layouts.items()}
    meanings = _meanings(source)
    jobs = [
        (name, file, delivered_time(file, layouts[name], source.time_zone))
        for name, names in files.items()
        for file in names
    ]
    for name, file, time in progress(jobs, "ingest: files", len(jobs)):
        deliveries[name].read(landing / file, file, partial(meanings[name], delivered_time=time))
    for delivery in deliveries.values():
        delivery.check(source.max_reject_share)
    unique = {name: _versions(deliveries[name], source.max_reject_share) for name in source.feeds}
    told = {name: unique_links(deliveries[name].rows()) for name in source.links}
    accounts = [a for name, kept in {**unique, **told}.items() for a in deliveries[name].account(kept)]
    events = to_events({name: merge_lines(rows, name) for name, rows in unique.items()})
    links = to_links(told)
    report = _report(source.name, deliveries, accounts, events, links)
    return Ingested(events, links, rejects_of(deliveries.values()), report)


def _versions(delivery: Delivery, max_reject_share: float) -> pd.DataFrame:
    """Return what a feed's events were known to be, and refuse the rows that contradict it."""
    versions, conflicts = tell_versions(delivery.rows())
    delivery.refuse(conflicts)
    delivery.check(max_reject_share)
    return versions


def _meanings(source: SourceConfig) -> dict[str, Callable[..., Mapped]]:
    """Return what the rows of each feed mean."""
    zone, is_one_of_many = source.time_zone, len(source.feeds) > 1
    events = {
        name: partial(
            map_rows, feed_name=name, feed=feed, time_zone=zone, id_prefix=f"{name}:" if is_one_of_many else ""
        )
        for name, feed in source.feeds.items()
    }
    links = {name: partial(map_links, feed=feed, time_zone=zone) for name, feed in source.links.items()}
    return {**events, **links}


def _report(
    name: str,
    deliveries: Mapping[str, Delivery],
    files: Sequence[dict[str, Any]],
    events: pd.DataFrame,
    links: pd.DataFrame,
) -> dict[str, Any]:
    is_told_again = events.sort_values("known_time", kind="stable")["event_id"].duplicated().sort_index()
    n_events, n_restated = (events.loc[told, "source"].value_counts() for told in (~is_told_again, is_told_again))
    n_links = links["source"].value_counts()
    feeds = {
        feed: {
            **total([f for f in files if f["feed"] == feed]),
            "events": int(n_events.get(feed, 0)),
            "restated": int(n_restated.get(feed, 0)),
            "links": int(n_links.get(feed, 0)),
            "empty_columns": delivery.never_filled,
            "known_time_from": [clock for clock in CLOCKS if clock in delivery.clocks],
            "known_delay_minutes": delivery.feed.known_delay_minutes,
        }
        for feed, delivery in deliveries.items()
    }
    rules = Counter(rule for delivery in deliveries.values() for _, _, rule, _ in delivery.rejects)
    return {
        "source": name,
        **total(files),
        "events": int(n_events.sum()),
        "restated": int(n_restated.sum()),
        "links": len(links),
        "rejects_by_rule": dict(sorted(rules.items())),
        "feeds": feeds,
        "files": list(files),
        "event_types": {k: int(n) for k, n in sorted(events["event_type"].value_counts().items())},
        "actors": {k: int(n) for k, n in sorted(events["actor"].value_counts().items())},
        "first_event_time": events["event_time"].min().isoformat(),
        "last_event_time": events["event_time"].max().isoformat(),
    }

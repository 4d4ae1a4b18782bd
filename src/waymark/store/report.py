"""The account of every delivered row, for people: what `reports/ingest.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waymark.config import SourceConfig
from waymark.sources.cells import CLOCKS
from waymark.sources.delivery import total
from waymark.sources.settling import CONFLICT
from waymark.store.facts import StoreFacts
from waymark.store.landing import account_of
from waymark.store.manifest import Manifest


def report(manifest: Manifest, facts: StoreFacts, source: SourceConfig) -> dict[str, Any]:
    """Return plain values: rows by file, by feed and in all; events, links, refusals by rule; types and actors."""
    layouts = {**source.feeds, **source.links}
    files = [
        {"feed": name, "file": file, **account_of(taken)}
        for name in layouts
        for file, taken in sorted(manifest.taken[name].items())
    ]
    counts, told = manifest.tallies["events"], manifest.tallies["told"]
    feeds = {
        name: {
            **total(f for f in files if f["feed"] == name),
            "events": counts[f"first|{name}"],
            "restated": counts[f"source|{name}"] - counts[f"first|{name}"],
            "links": told[f"source|{name}"],
            "empty_columns": sorted(set(layout.mapped_columns()) - set(manifest.feeds[name]["filled"])),
            "known_time_from": [clock for clock in CLOCKS if clock in manifest.feeds[name]["clocks"]],
            "known_delay_minutes": layout.known_delay_minutes,
        }
        for name, layout in layouts.items()
    }
    n_conflicts = sum(taken[CONFLICT] for of_feed in manifest.taken.values() for taken in of_feed.values())
    rules = {**manifest.rules, **({CONFLICT: n_conflicts} if n_conflicts else {})}
    first, last = facts.span()
    return {
        "source": source.name,
        **total(files),
        "events": sum(feed["events"] for feed in feeds.values()),
        "restated": sum(feed["restated"] for feed in feeds.values()),
        "links": sum(feed["links"] for feed in feeds.values()),
        "rejects_by_rule": dict(sorted(rules.items())),
        "feeds": feeds,
        "files": files,
        "event_types": _named("type", counts),
        "actors": _named("actor", counts),
        "first_event_time": first.isoformat(),
        "last_event_time": last.isoformat(),
    }


def _named(kind: str, counts: Mapping[str, int]) -> dict[str, int]:
    found = {key.removeprefix(f"{kind}|"): n for key, n in counts.items() if key.startswith(f"{kind}|") and n}
    return dict(sorted(found.items()))


def clockless(report: Mapping[str, Any]) -> list[str]:
    """Return the feeds of which some row says when it happened, and nothing says when it was known."""
    return [name for name, feed in report["feeds"].items() if CLOCKS[-1] in feed["known_time_from"]]


def summary(report: Mapping[str, Any]) -> str:
    """Return the reconciliation in one line."""
    r = report
    line = (
        f"delivered {r['delivered']:,} = accepted {r['accepted']:,} + duplicates {r['duplicates']:,} "
        f"+ rejected {r['rejected']:,}"
    )
    line += f" ({r['left_out']:,} of them left out by choice)" if r["left_out"] else ""
    empty = [f"{c} (feed {name})" for name, feed in r["feeds"].items() for c in feed["empty_columns"]]
    line += f"; {r['events']:,} events" + (f", restated {r['restated']:,} times" if r["restated"] else "")
    line += f", {r['links']:,} links told of" if r["links"] else ""
    line += f"; never filled: {', '.join(empty)}" if empty else ""
    named = [
        name + (" (some rows)" if len(r["feeds"][name]["known_time_from"]) > 1 else "") for name in clockless(report)
    ]
    return line + (f"; no second clock: feed {', '.join(named)}" if named else "")

"""Ingest: delivered files -> events, links and rejects."""

import logging
from pathlib import Path

from waymark import config, console, schema, tables
from waymark.sources.ingest import ingest

log = logging.getLogger(__name__)


def main() -> None:
    """Read the landing folder as the source's mapping says; nothing is written before all of it is good."""
    with console.timed(log, "ingest") as facts:
        ingested = ingest(Path(config.value("landing")), config.load(config.SourceConfig, "source"))
        tables.write(ingested.events, tables.EVENTS, schema.EVENTS)
        tables.write(ingested.links, tables.TOLD_LINKS, schema.LINKS)
        tables.write(ingested.rejects, tables.REJECTS, schema.REJECTS)
        tables.write_json(ingested.report, tables.REPORTS / "ingest.json")
        facts.append(ingested.summary)


if __name__ == "__main__":
    main()

"""Ingest: what is new in the landing folder -> the event store, rejects and an account of every row."""

import logging
from pathlib import Path

from waymark import config, console, schema, tables
from waymark.linkage import link_customers
from waymark.store.landing import ingest
from waymark.store.report import report, summary
from waymark.store.store import Store

log = logging.getLogger(__name__)


def main() -> None:
    """Read the landing folder as the source's mapping says; nothing is in force before all of it is good."""
    with console.timed(log, "ingest") as facts:
        source, rules = config.load(config.SourceConfig, "source"), config.load(config.IdentityConfig, "identity")
        landing = Path(config.value("landing"))
        ingest(landing, source, rules, tables.STORE, linked=link_customers(rules.linkage, landing))
        store = Store()
        account = report(store.manifest, store.facts, source)
        tables.write(store.rejects(), tables.REJECTS, schema.REJECTS)
        tables.write_json(account, tables.REPORTS / "ingest.json")
        facts.append(summary(account))


if __name__ == "__main__":
    main()

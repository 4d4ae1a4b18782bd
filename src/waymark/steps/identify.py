"""DVC step: which identifiers are one person."""

import logging

from waymark import schema, tables
from waymark.console import timed
from waymark.identity import link_identities

log = logging.getLogger(__name__)


def main() -> None:
    """Write the ledger of links."""
    with timed(log, "identify") as facts:
        links = link_identities(tables.read(tables.EVENTS), tables.read(tables.TOLD_LINKS))
        facts.append(f"{tables.write(links, tables.LINKS, schema.LINKS):,} links")


if __name__ == "__main__":
    main()

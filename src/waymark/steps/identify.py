"""DVC step: which identifiers are one person."""

import logging
from pathlib import Path

import pandas as pd

from waymark import schema, tables
from waymark.config import IdentityConfig, load, value
from waymark.console import timed
from waymark.ledger import link_identities
from waymark.linkage import link_records, read_records

log = logging.getLogger(__name__)


def main() -> None:
    """Write the ledger of links."""
    with timed(log, "identify") as facts:
        told, linkage = tables.read(tables.TOLD_LINKS), load(IdentityConfig, "identity").linkage
        if linkage is not None:
            records = read_records(linkage, Path(value("landing")))
            told = pd.concat([told, link_records(records, linkage)], ignore_index=True)
        links = link_identities(tables.read(tables.EVENTS), told)
        facts.append(f"{tables.write(links, tables.LINKS, schema.LINKS):,} links")


if __name__ == "__main__":
    main()

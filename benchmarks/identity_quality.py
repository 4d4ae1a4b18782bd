"""How well persons are found on the simulated brand, whose truth is known: docs/benchmark-stitching.md.

`make benchmark-identity` prints one row a rule. Every two events of one true person should be of one found person, and
no other two.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from waymark import config
from waymark.config import IdentityConfig, SimulateConfig
from waymark.eventlog import micro
from waymark.identity import Identities, index_identities
from waymark.kernels.jit import DAY
from waymark.ledger import link_identities
from waymark.simulate.brand import simulate

BASE = Path(__file__).parents[1] / "conf/simulate/base.yaml"
RULES = ("device_split", "last_auth", "none")


def measure(settings: SimulateConfig, seed: int) -> pd.DataFrame:
    """Return pairwise precision, recall and F1 of the persons that each rule finds.

    Returns
    -------
    pandas.DataFrame
        One row a rule and time: `then`, each event with the person known at the end of its own day, as features see
        it; `now`, as known at the end of all days. The rule `no links` takes each identifier for a person.
    """
    brand = simulate(settings, seed)
    events = brand.events.rename(columns={"feed": "source"}).sort_values("event_time", kind="stable", ignore_index=True)
    events = events.assign(superseded_time=pd.Series(pd.NaT, events.index, "datetime64[us, UTC]"))
    links = link_identities(events)
    end = micro(pd.Timestamp(settings.start)) + settings.days * DAY
    rows = []
    for rule in ("no links", *RULES):
        is_linked = rule != "no links"
        rules = IdentityConfig(shared_devices=rule) if is_linked else None
        identities = index_identities(events, links if is_linked else links[:0], rules)
        for when, found in (("then", as_of_then(identities)), ("now", identities.persons(end))):
            rows.append({"rule": rule, "as of": when, **pairwise(events["person"], found)})
    return pd.DataFrame(rows)


def as_of_then(identities: Identities) -> np.ndarray:
    """Return the person code of each event as known at the end of the day when it happened."""
    day = identities.events.event_time // DAY
    found = np.empty(len(day), np.int32)
    for d in np.unique(day):
        found[day == d] = identities.persons((d + 1) * DAY)[day == d]
    return found


def pairwise(truth: pd.Series, found: np.ndarray) -> dict[str, float]:
    """Return precision, recall and F1 over the pairs of events that are of one person."""
    labels = pd.DataFrame({"truth": truth.to_numpy(), "found": found})
    n_both, n_found, n_true = (
        sum(n * (n - 1) // 2 for n in labels.groupby(by).size()) for by in (["truth", "found"], "found", "truth")
    )
    return {"precision": n_both / n_found, "recall": n_both / n_true, "f1": 2 * n_both / (n_found + n_true)}


if __name__ == "__main__":
    base = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    table = measure(config.check(SimulateConfig, base, str(BASE)), seed)
    print(table.to_string(index=False, float_format="%.4f"))

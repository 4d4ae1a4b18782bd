"""How the cost of stitching grows with the number of links: docs/benchmark-stitching.md.

`make benchmark-stitching` prints one row a size. Each size runs in a process of its own, so that their peaks of memory
do not mix. Other sizes: `make benchmark-stitching ARGS="100000 200000"`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema, tables
from waymark.eventlog import micro
from waymark.identity import index_identities
from waymark.ledger import link_identities

SIZES = ("1000000", "2000000", "5000000", "10000000")
START, END = pd.Timestamp("2025-01-01", tz="UTC"), pd.Timestamp("2026-01-01", tz="UTC")
# Shares of the links: second users of a device, renewals of a cookie (each linked to the one before), kiosks.
SECOND_USERS, RENEWALS, KIOSKS = 0.05, 0.1, 0.002
CUSTOMERS_PER_DEVICE, CHAIN, CUSTOMERS_PER_KIOSK = 0.6, 5, 100
PHASES = {
    "read": "read the links",
    "ledger": "link_identities",
    "index": "index_identities",
    "people": "people",
    "next": "people, a week later",
}
N_WEEKS = 8  # later cut-offs, for the mean cost of one


def draw_links(n: int, seed: int) -> pa.Table:
    """Draw `n` rows of `schema.LINKS` as log-ins give them: mostly pairs, some chains, shared devices, few kiosks."""
    rng = np.random.default_rng(seed)
    n_second, n_renewals, n_kiosk = (round(share * n) for share in (SECOND_USERS, RENEWALS, KIOSKS))
    n_devices = n - n_second - n_renewals - n_kiosk
    n_customers = round(CUSTOMERS_PER_DEVICE * n_devices)
    shared = rng.choice(n_devices, n_second, replace=False)
    place = np.arange(n_renewals)
    renewed = n_devices + place
    # CHAIN renewals follow one another, the first of them a device that logs in.
    before = np.where(place % CHAIN == 0, rng.integers(0, n_devices, n_renewals), renewed - 1)
    kiosk = n_devices + n_renewals + np.arange(n_kiosk) // CUSTOMERS_PER_KIOSK
    one = np.concatenate([np.arange(n_devices), shared, renewed, kiosk])
    logged_in = rng.integers(0, n_customers, n_devices + n_second + n_kiosk)
    two = np.insert(logged_in, n_devices + n_second, before)
    is_renewal = np.zeros(n, bool)
    is_renewal[n_devices + n_second :][:n_renewals] = True
    order = rng.permutation(n)
    one, two, is_renewal = one[order], two[order], is_renewal[order]
    known_time = rng.integers(micro(START), micro(END), n)
    return pa.table(
        {
            "id_a": _names("anonymous:", one),
            "id_b": pc.if_else(pa.array(is_renewal), _names("anonymous:", two), _names("customer:", two)),
            "kind": pc.if_else(pa.array(is_renewal), "alias", "login"),
            "known_time": pa.array(known_time, pa.timestamp("us", "UTC")),
            "source": pa.repeat("web", n),
            "probability": pa.nulls(n, pa.float64()),
        }
    )


def _names(prefix: str, number: np.ndarray) -> pa.Array:
    # Names of devices and customers are not in the order of their numbers.
    mixed = (number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(str)
    return pc.binary_join_element_wise(prefix, pa.array(mixed), "")


def measure(n: int) -> dict[str, Any]:
    """Return CPU seconds of each phase over `n` links, the peak of memory, and what was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "links.parquet"
        stitch(draw_links(1000, seed=1).to_pandas(), {})  # compiled before the clock runs
        # Drawing takes more memory than stitching, and what is asked for here is the memory of a night.
        draw = f"import stitching; stitching.deliver({n}, {str(path)!r})"
        subprocess.run([sys.executable, "-c", draw], check=True, cwd=Path(__file__).parent)
        seconds: dict[str, float] = {}
        links = timed(seconds, "read", lambda: tables.read(path))
        found = stitch(links, seconds)
    return {"links": n, **found, **seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def deliver(n: int, path: str) -> None:
    """Write `n` links."""
    tables.write(draw_links(n, seed=7).to_pandas(), Path(path), schema.LINKS)


def stitch(links: pd.DataFrame, seconds: dict[str, float]) -> dict[str, int]:
    """Do what a night does with `links`, and note what each phase took."""
    nothing = pd.DataFrame({c: pd.Series(dtype=object) for c in schema.EVENTS.columns})
    events = schema.to_arrow(nothing, schema.EVENTS).to_pandas()
    ledger = timed(seconds, "ledger", lambda: link_identities(events, links))
    identities = timed(seconds, "index", lambda: index_identities(events, ledger))
    people = timed(seconds, "people", lambda: identities.people(micro(END)))
    again = replace(identities)  # that has joined nothing yet
    weeks = [micro(END - pd.Timedelta(weeks=n)) for n in range(N_WEEKS, -1, -1)]
    again.people(weeks[0])
    timed(seconds, "next", lambda: [again.people(week) for week in weeks[1:]])
    seconds["next"] /= N_WEEKS
    return {"ids": len(people), "persons": len(np.unique(people))}


def timed(seconds: dict[str, float], phase: str, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, and note its CPU seconds."""
    start = time.process_time()
    result = work()
    seconds[phase] = time.process_time() - start
    return result


def show(rows: list[dict[str, Any]]) -> str:
    """Return one line a size, and how each phase grows: the exponent of the number of links."""
    table = pd.DataFrame(rows)
    lines = [table.rename(columns=PHASES).to_string(index=False, float_format="%.2f")]
    for phase, name in PHASES.items():
        growth = np.polyfit(np.log(table["links"]), np.log(table[phase]), 1)[0] if len(table) > 1 else np.nan
        ratios = ", ".join(f"{r:.1f}" for r in table[phase] / table["read"])
        lines.append(f"{name}: grows with links ** {growth:.2f}; times as long as reading them: {ratios}")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        one = [sys.executable, __file__, "--one"]
        done = [subprocess.run([*one, n], check=True, stdout=subprocess.PIPE) for n in sys.argv[1:] or SIZES]
        print(show([json.loads(d.stdout) for d in done]))

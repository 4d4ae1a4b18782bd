"""`make benchmark`: what the steps cost on logs of several sizes, beside reading, sorting, and other implementations.

Sizes are in millions of events: `make benchmark ARGS="1 10 50"`. What is measured is kept in the folder that
WAYMARK_BENCHMARK names, and not measured again there; without it, a temporary folder is used and removed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from speed.goals import goals
from speed.nochange import measure_no_change
from speed.outsiders import run_peers
from speed.sizes import EVENTS, run_size
from speed.table import show

SIZES = ("1", "10")


def main(sizes: list[str], folder: Path) -> None:
    """Measure, and print the tables."""
    missing = [name for name in ("duckdb", "polars") if find_spec(name) is None]
    if missing:
        print(f"the benchmark needs {' and '.join(missing)}: `make setup-benchmark` adds them", file=sys.stderr)
        raise SystemExit(2)
    found = {}
    for size in sorted(sizes, key=float):
        n_events = round(float(size) * 1e6)
        print(f"{n_events:,} events", file=sys.stderr, flush=True)
        found[n_events] = run_size(folder / size, n_events)
    smallest = min(found)
    run_peers(found[smallest], folder / min(sizes, key=float) / "project" / EVENTS)
    no_change = measure_no_change(folder / "nochange")
    print(show(found, no_change, goals(found, no_change)))


if __name__ == "__main__":
    kept = os.environ.get("WAYMARK_BENCHMARK")
    if kept:
        main(sys.argv[1:] or list(SIZES), Path(kept).absolute())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(sys.argv[1:] or list(SIZES), Path(temporary))

"""`make benchmark-skill`: ours against baselines and published results, on logs in the folder that WAYMARK_LOGS names.

Each protocol runs in a process of its own. What was found is kept in the folder that WAYMARK_BENCHMARK names
(`data/benchmark-skill` by default), so that a run that was stopped goes on; a protocol whose log is missing is left
out.
`make benchmark-skill ARGS="cdnow helpdesk"` runs some again, and `ARGS=--all` all of them; `cost` is the time that
training and scoring take, on WAYMARK_BENCHMARK_POINTS points (a million by default), and those that begin with `holds_`
look for the limits of a log: learning curves, other families of models, hindsight, and bounds for all of them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from skill.cost import measure
from skill.holdings import HOLDINGS
from skill.page import machine, show
from skill.protocols import PROTOCOLS

KEPT = "data/benchmark-skill"
COST = "cost"


def main(arguments: list[str]) -> None:
    """Run what is missing or asked for, and print the page."""
    logs, kept = os.environ.get("WAYMARK_LOGS"), Path(os.environ.get("WAYMARK_BENCHMARK", KEPT))
    if not logs or not Path(logs).is_dir():
        print("WAYMARK_LOGS must name the folder of public logs, one folder a log", file=sys.stderr)
        raise SystemExit(2)
    names = [*PROTOCOLS, *HOLDINGS, COST]
    unknown = sorted(set(arguments) - {*names, "--all"})
    if unknown:
        print(f"there is no protocol {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        raise SystemExit(2)
    kept.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = kept / f"{name}.json"
        if not file.exists() or name in arguments or "--all" in arguments:
            print(name, file=sys.stderr, flush=True)
            done = subprocess.run([sys.executable, "-m", "skill", "--one", name, logs, str(file)])
            if done.returncode:
                print(f"{name} failed and is left out", file=sys.stderr)
    found = {name: json.loads(file.read_text()) for name in names if (file := kept / f"{name}.json").exists()}
    print(show(found, found.pop(COST, None), machine()))


def run_one(name: str, logs: Path, file: Path) -> None:
    """Run one protocol in this process, and keep what it found and cost."""
    if name == COST:
        found = measure(int(os.environ.get("WAYMARK_BENCHMARK_POINTS", "1000000")))
    else:
        found = dict({**PROTOCOLS, **HOLDINGS}[name].run(logs))
        used = resource.getrusage(resource.RUSAGE_SELF)
        found |= {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    found |= {"commit": commit()}
    file.with_suffix(".new").write_text(json.dumps(found, indent=1))
    file.with_suffix(".new").replace(file)


def commit() -> str:
    """Return the commit of this code, `-dirty` where it was changed since."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(sys.argv[1:])

"""Runs the peers on the events of a project, each in an environment of its own, where one is given."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from speed.costs import Costs
from speed.measuring import Cost, measure
from speed.project import ROOT

# Peer -> the variable that says where the Python of its environment is.
PYTHONS = {name: f"WAYMARK_{name.upper()}_PYTHON" for name in ("retentioneering", "pm4py", "featuretools", "tsfresh")}
_VERSIONS = "import sys; from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in sys.argv[1:]))"


def run_peers(costs: Costs, events: Path) -> None:
    """Measure every peer whose variable is set; the others are left out."""
    for name, variable in PYTHONS.items():
        python = os.environ.get(variable)
        if python:
            costs.measure(f"peer {name}", partial(_run, python, name, events))
            costs.note(f"version of {name}", partial(_versions, python, name))


def _run(python: str, name: str, events: Path) -> Cost:
    alone = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    script = ROOT / "benchmarks/speed/peers.py"
    return measure([python, "-W", "ignore", str(script), name, str(events)], events.parent, alone)[0]


def _versions(python: str, name: str) -> str:
    return measure([python, "-c", _VERSIONS, name, "pandas"], Path.cwd())[1].strip().replace("\n", ", ")

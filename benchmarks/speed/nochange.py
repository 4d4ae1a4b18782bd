"""What `dvc repro -P` costs when nothing is new, in a project whose landing folder holds a thousand daily files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from speed.costs import Costs
from speed.measuring import Cost, Failed, measure
from speed.project import CHOICES, OURS, ROOT, environment

N_FILES, EVENTS_A_YEAR = 1000, 22_000
FEW = {  # how much is learnt has no say in what a run without news costs
    "simulate": {"n_persons": 100, "days": 120},
    "split": {"n_train": 4, "n_test": 1},
    "evaluate": {"n_bootstrap": 20},
    "leakcheck": {"n_persons": 50},
}


def measure_no_change(folder: Path) -> Costs:
    """Run a first night, and `dvc repro -P` once more; a folder that holds a finished first night is used again."""
    root = folder / "project"
    folder.mkdir(parents=True, exist_ok=True)
    costs = Costs(folder / "costs.json")
    if not root.exists():
        _make(root)
    costs.measure("first night", lambda: _repro(root)[0])
    costs.measure("no change", lambda: _without_news(root))
    return costs


def _without_news(root: Path) -> Cost:
    cost, printed = _repro(root)
    if "Running stage" in printed:
        raise Failed(f"a step ran although nothing had changed: {printed[-800:]}")
    return cost


def _make(root: Path) -> None:
    """Make a project of its own, with what git tracks and the settings of the benchmark."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    compiled = [str(path.relative_to(ROOT)) for path in ROOT.glob("src/**/__pycache__/*")]
    for name in [*filter(None, tracked.stdout.split("\0")), *compiled]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    shutil.copytree(OURS, root / "conf", dirs_exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(CHOICES | {"set": FEW}), encoding="utf-8")
    landing = root / "data/landing/deliveries"
    deliver = ROOT / "benchmarks/speed/deliveries.py"
    measure([sys.executable, str(deliver), str(landing), str(EVENTS_A_YEAR), str(N_FILES)], root)
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@example.org commit -q -m benchmark"):
        subprocess.run(["git", *command.split()], cwd=root, check=True)


def _repro(root: Path) -> tuple[Cost, str]:
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "HOME": str(home), "DVC_SITE_CACHE_DIR": str(home / "dvc"), "PYTHONPATH": ""}
    return measure(["dvc", "repro", "-P"], root, environment() | own)

"""A finished project of a small simulated brand, in a temporary folder: each step ran once, without DVC.

`conftest.py` makes the fixture known to every test. Run as a script, this file runs the steps of the project that it
is started in, in the order of DVC's files: all, or those that are named.
"""

import fcntl
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Not the choices of whoever runs the tests.
PARAMS = {
    "source": "simulated",
    "landing": "data/landing/simulated",
    "model": "hazard",
    "cutoff_time": "latest",
    "seed": 7,
    "set": {
        "simulate": {"n_persons": 300, "days": 150},
        "split": {"n_train": 6, "n_test": 2},
        "evaluate": {"n_bootstrap": 20},
    },
}


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project. All tests share it, those of other processes too: look, and write into a copy only."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    project, is_done = shared / "small" / "project", shared / "small" / "done"
    project.parent.mkdir(exist_ok=True)
    with (project.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_done.exists():
            finish(project, PARAMS, __file__)
            is_done.touch()
    return project


def finish(project: Path, choices: dict[str, Any], script: str, *steps: str) -> Path:
    """Make a project of `choices` in a new folder, whose steps `script` runs (see `run`), and return the folder."""
    for folder in ("conf", "src"):  # byte-code and compiled kernels too: they save seconds
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("*.egg-info"))
    (project / "models").mkdir()
    for file in ("dvc.yaml", "models/dvc.yaml"):
        shutil.copy2(ROOT / file, project / file)
    (project / "params.yaml").write_text(yaml.safe_dump(choices, sort_keys=False), encoding="utf-8")
    run(project, script, *steps)
    return project


def run(project: Path, script: str, *steps: str) -> None:
    """Run some of the steps of `project` by `script`, by default all, in a process of its own."""
    done = subprocess.run(
        [sys.executable, script, *steps],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def environment(project: Path) -> dict[str, str]:
    """Return the variables under which a process runs the code of `project`, keeps to its store and calls nobody."""
    foreign = ("MLFLOW_", "DVC_", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_WAIT_POLICY": "passive"}
    return kept | quiet | {"PYTHONPATH": str(project / "src")}


def commands(project: Path) -> Iterator[list[str]]:
    """Yield the modules that the steps run, with their arguments, in the order in which DVC's files list them."""
    for file in ("dvc.yaml", "models/dvc.yaml"):
        for step in yaml.safe_load((project / file).read_text(encoding="utf-8"))["stages"].values():
            for item in step.get("foreach", [""]):
                run = step.get("do", step)["cmd"].replace("${item}", item).removeprefix("python src/run.py ")
                yield from map(shlex.split, run.split(" then "))


def main() -> None:
    """Run the steps in this one process: importing the libraries once saves two thirds of the time."""
    from waymark.console import set_up_logging

    set_up_logging()
    chosen = sys.argv[1:]
    for module, *arguments in commands(Path.cwd()):
        if not chosen or module.removeprefix("waymark.steps.") in chosen:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""A project of the generated brand in a folder of its own, whose steps run as the nightly run calls them."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from speed.measuring import Cost, measure

ROOT = Path(__file__).resolve().parents[2]
OURS = Path(__file__).with_name("conf")
CHOICES = {
    "source": "deliveries",
    "journey": "deliveries",
    "features": "sixty",
    "model": "hazard",
    "landing": "data/landing/deliveries",
    "cutoff_time": "latest",
    "seed": 7,
}


@dataclass(frozen=True)
class Project:
    """A folder with the settings of the repository and those of the benchmark; the code is the repository's."""

    root: Path

    @classmethod
    def new(cls, root: Path, **choices: Any) -> Project:
        """Make one whose landing folder is empty; `choices` are added to those of params.yaml."""
        shutil.copytree(ROOT / "conf", root / "conf")
        shutil.copytree(OURS, root / "conf", dirs_exist_ok=True)
        project = cls(root)
        for folder in (project.landing, root / "models"):
            folder.mkdir(parents=True)
        project.choose(**choices)
        return project

    @property
    def landing(self) -> Path:
        """The folder that files are delivered to."""
        return self.root / "data/landing/deliveries"

    def choose(self, **choices: Any) -> None:
        """Write params.yaml and resolved.yaml."""
        (self.root / "params.yaml").write_text(yaml.safe_dump(CHOICES | choices), encoding="utf-8")
        self.step("config")

    def take(self, files: list[Path]) -> None:
        """Put those of `files` into the landing folder that are not there, without copying what is in them."""
        for file in files:
            if not (self.landing / file.name).exists():
                os.link(file, self.landing / file.name)

    def step(self, command: str) -> Cost:
        """Run steps in one process, `train churn` or `ingest then clock`, and return what they cost."""
        return self.run("src/run.py", *f"waymark.steps.{command}".replace(" then ", " then waymark.steps.").split())[0]

    def run(self, script: str, *arguments: str) -> tuple[Cost, str]:
        """Run a script of the repository in the project."""
        return measure([sys.executable, str(ROOT / script), *arguments], self.root, environment())

    def path(self, name: str) -> Path:
        """Return where a file of the project is."""
        return self.root / name


def environment() -> dict[str, str]:
    """Return the variables under which a process runs the code of the repository and calls nobody."""
    foreign = ("MLFLOW_", "DVC_", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_WAIT_POLICY": "passive"}
    paths = [str(ROOT / "src"), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    return kept | quiet | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

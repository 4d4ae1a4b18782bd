"""Small projects of their own, in temporary folders, that commands are run in as a user would."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

CHECKOUT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CHOICES = {  # not those of whoever runs the tests
    "source": "simulated",
    "landing": "data/landing/simulated",
    "model": "lightgbm",
    "cutoff_time": "latest",
    "seed": 7,
    "set": {
        "simulate": {"n_persons": 250, "days": 150},
        "split": {"n_train": 6, "n_test": 2},
        "evaluate": {"n_bootstrap": 40},
    },
}
RESULTS = ("data", "models", "reports", "resolved.yaml", "dvc.lock")
ALL_STEPS = {
    *("config", "simulate", "ingest", "features_train", "targets", "leakcheck"),
    *("train@next_stage", "train@churn", "evaluate", "track"),
    *("tonight", "promote", "judge", "score", "realise", "report"),
}


@dataclass(frozen=True)
class Project:
    """A folder with a copy of what git tracks, and a git history of its own."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text()
        assert old in text
        self.path(name).write_text(text.replace(old, new))

    def choose(self, **choices: Any) -> None:
        """Write choices into params.yaml."""
        params = yaml.safe_load(self.path("params.yaml").read_text())
        self.path("params.yaml").write_text(yaml.safe_dump(params | choices, sort_keys=False))

    def run(self, *command: str, fails: bool = False, **environment: str) -> str:
        """Run a command to its end and return all that it printed; it must succeed, or fail where that is expected."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Return the variables of a fresh shell that has the environment's commands and no settings of git or DVC."""
        ours = ("DVC_", "GIT_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV", "WAYMARK_")
        home = self.root.parent / f"home-of-{self.root.name}"
        home.mkdir(exist_ok=True)
        return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        }

    def step(self, name: str, *arguments: str, fails: bool = False) -> str:
        """Run one step without DVC."""
        return self.run("python", "src/run.py", f"waymark.steps.{name}", *arguments, fails=fails)

    def repro(self, **environment: str) -> set[str]:
        """Run the night and return the names of the steps that ran."""
        return steps_in(self.run("dvc", "repro", "-P", **environment))

    def kill_during(self, step: str, is_time: Callable[[], bool]) -> None:
        """Start the night and kill all of it with signal 9 once `step` has begun and `is_time`."""
        output = self.root.parent / "killed.txt"
        with output.open("w") as log:
            night = subprocess.Popen(
                ["dvc", "repro", "-P"],
                cwd=self.root,
                env=self.environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            while night.poll() is None and not (step in steps_in(output.read_text()) and is_time()):
                time.sleep(0.002)
        finally:
            if night.poll() is None:
                os.killpg(night.pid, signal.SIGKILL)
        assert night.wait() == -signal.SIGKILL, f"nobody was killed during {step}:\n{output.read_text()}"

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "as it is")

    def files(self, *names: str) -> dict[str, str]:
        """Return the SHA-256 of every file at or below `names`, by its path."""
        found = [p for n in names for p in ([self.path(n)] if self.path(n).is_file() else self.path(n).rglob("*"))]
        return {
            p.relative_to(self.root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(found)
            if p.is_file() and p.name != ".store-seen.json"  # when files were last seen to change
        }

    def copy(self, folder: Path) -> Project:
        """Copy everything, DVC's cache too, except the experiment store, which knows the folder it is in."""
        subprocess.run(["cp", "-a", f"{self.root}", f"{folder}"], check=True)
        twin = Project(folder)
        twin.path("mlflow.db").unlink(missing_ok=True)
        shutil.rmtree(twin.path("mlartifacts"), ignore_errors=True)
        return twin


def steps_in(output: str) -> set[str]:
    """Return the steps that DVC says it ran or took from its cache of earlier runs, since what they read changed."""
    ran = re.findall(r"^Running stage '(?:models/dvc\.yaml:)?([^']+)':", output, re.MULTILINE)
    restored = re.findall(r"^Stage '(?:models/dvc\.yaml:)?([^']+)' is cached", output, re.MULTILINE)
    return {*ran, *restored}


def new(folder: Path) -> Project:
    """Copy what git tracks, as it is now, into `folder`, made small; byte-code and compiled kernels come along."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    compiled = [str(p.relative_to(CHECKOUT)) for p in CHECKOUT.glob("src/**/__pycache__/*")]
    for name in [*filter(None, tracked.stdout.split("\0")), *compiled]:
        if (CHECKOUT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    project = Project(folder)
    project.choose(**CHOICES)
    project.edit("conf/model/lightgbm.yaml", "n_estimators: 200", "n_estimators: 30")
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.name", "Somebody")
    project.run("git", "config", "user.email", "somebody@example.org")
    project.commit()
    return project


@cache
def finished(base: Path) -> Project:
    """Return a project below `base` whose first night is done and committed. Copy it before changing anything."""
    project = new(base / "finished" / "brand")
    assert project.repro() == ALL_STEPS
    project.commit()
    return project


# --- a shop of one's own: a mapping file, and one CSV file a day ------------------------------------------------------

SHOP = """\
name: corner_shop
feeds:
  till:
    files: ["*.csv"]
    columns: {event_time: at, known_time: seen, customer_id: who, event_type: what, value: paid}
    constants: {channel: store}
    event_types: {looked: product_view, took: add_to_cart, bought: order}
"""
OPENED = pd.Timestamp("2025-01-06")  # a Monday, as the days on which the training clock moves
N_DAYS = 143  # the last of them a Wednesday: the training clock stands still until Sunday is delivered


@cache
def finished_shop(base: Path) -> Project:
    """Return one whose source is the shop, its first night done. Copy it before changing anything."""
    project = finished(base).copy(base / "finished" / "shop")
    project.path("conf/source/corner_shop.yaml").write_text(SHOP)
    deliver(project, range(N_DAYS))
    project.choose(source="corner_shop", landing="data/landing/corner_shop")
    assert project.repro() >= ALL_STEPS - {"simulate"}
    project.commit()
    return project


def deliver(project: Project, days: range) -> None:
    """Put the files of some days into the landing folder, each complete at once."""
    landing = project.path("data/landing/corner_shop")
    landing.mkdir(parents=True, exist_ok=True)
    for day in days:
        write_day(landing, f"{OPENED + pd.Timedelta(days=day):%Y-%m-%d}", visits_of(day))


def write_day(landing: Path, name: str, lines: list[str]) -> None:
    hidden = landing / f".{name}.csv"
    hidden.write_text("\n".join(["who,at,seen,what,paid", *lines, ""]))
    hidden.rename(landing / f"{name}.csv")


def visits_of(day: int) -> list[str]:
    """Return a day's rows. Who once stays away a while tends to stay away; who takes something tends to buy it."""
    return [row for person in range(150) for row in _visits_of(person, day)]


@cache
def _lives(person: int) -> tuple[int, int, float]:
    rng = np.random.default_rng(person)
    first = int(rng.integers(0, 110))
    return first, first + int(rng.exponential(60)), float(rng.uniform(0.1, 0.6))


def _visits_of(person: int, day: int) -> list[str]:
    first, last, rate = _lives(person)
    rng = np.random.default_rng([person, day])
    if not first <= day <= last or (day > first and rng.random() > rate):
        return []
    at = OPENED + pd.Timedelta(days=day, minutes=int(rng.integers(600, 1200)))
    seen = at + pd.Timedelta(minutes=5)
    done = ["looked", "took", "bought"][: 1 + int(rng.integers(0, 3))]
    return [
        f"c{person:03d},{at + pd.Timedelta(minutes=i)},{seen},{what},{9.90 + person % 7 if what == 'bought' else ''}"
        for i, what in enumerate(done)
    ]

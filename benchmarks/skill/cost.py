"""What training both targets and scoring cost, on made-up points: CPU seconds and the peak of memory, each by itself.

As the steps do it: features lie on disk, and each part runs in a process of its own. `python -m skill.cost PART FOLDER
N_POINTS` is one of them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speed.measuring import Cost
from speed.measuring import measure as in_a_process
from waymark import catalogue, models, schema, scoring, tables, training
from waymark.catalogue import Feature
from waymark.clock import ScoreClock
from waymark.config import EngineConfig
from waymark.periods import Horizons
from waymark.recoding import with_features

N_FEATURES, N_NIGHTS = 60, 10
N_TEST = 100  # points besides, to judge by: without any nothing is modelled
N_EXPLAINED = 100_000  # of those who are scored: the default of conf/scoring
STAGES = ("browse", "cart", "order", "help")
HORIZONS = Horizons(30, (7, 30, 90))
HISTORY = ("days_since_last_activity", "n_activities_ever", "tenure_days")
LEARNERS = {"next_stage": ("lightgbm", {"start_order": 3}), "churn": ("hazard", {})}
FIRST_NIGHT = pd.Timestamp("2025-01-06", tz="UTC").as_unit("us")

Run = Callable[[str, Path, int], Cost]


def measure(n_points: int, run: Run | None = None) -> dict[str, Any]:
    """Train on `n_points` points of a tenth as many persons, and score as many persons.

    `run` runs a part and says what it took; by default, in a process of its own.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            cost = (run or _run)(part, Path(folder), n_points)
            if part != "lay":
                found[part] = {"cpu_seconds": cost.cpu, "peak_mb": cost.peak}
    return {"n_points": n_points, "n_features": N_FEATURES, "n_explained": N_EXPLAINED, "parts": found}


def _run(part: str, folder: Path, n_points: int) -> Cost:
    cost, _ = in_a_process([sys.executable, "-m", "skill.cost", part, str(folder), str(n_points)], Path.cwd())
    return cost


def lay(folder: Path, n_points: int) -> None:
    """Write the tables that the others read."""
    features, truth, known = make(n_points + N_TEST)
    truth.loc[n_points:, "fold"] = "test"
    n = n_points // N_NIGHTS
    for night in range(N_NIGHTS):
        rows = slice(night * n, (night + 1) * n if night + 1 < N_NIGHTS else None)
        tables.write(features[rows], folder / "train" / f"{night}.parquet", schema.FEATURES)
    tonight = features[:n_points].assign(
        person_id=pd.array(np.char.mod("q%08d", np.arange(n_points)), "str"), cutoff_time=FIRST_NIGHT
    )
    tables.write(tonight, folder / "score.parquet", schema.FEATURES)
    tables.write(truth, folder / "targets.parquet", schema.TARGETS)
    tables.write_json(catalogue.to_json(known), folder / "catalogue.json")


def train(target: str, folder: Path, n_points: int) -> None:
    """Train a model, as the step does."""
    known = catalogue.from_json(tables.read_json(folder / "catalogue.json"))
    truth = tables.read(folder / "targets.parquet")
    engine, what = EngineConfig(kind="local"), (*LEARNERS[target], ["made"], 7, HORIZONS)
    model, card = training.train(engine, folder / "train", truth, known, target, *what)
    models.write(model, card, folder / target)


def score(folder: Path, n_points: int) -> None:
    """Forecast with both models, with reasons for some, as the step does."""
    clock = ScoreClock(FIRST_NIGHT, FIRST_NIGHT, "made up")
    known = catalogue.from_json(tables.read_json(folder / "catalogue.json"))
    next_stage, churn = (with_features(models.load(folder / target), known) for target in LEARNERS)
    file, runs = folder / "score.parquet", dict.fromkeys(LEARNERS, "")
    told = scoring.least_certain(tables.read_in_groups(file), churn, N_EXPLAINED)
    for i, rows in enumerate(tables.read_in_groups(file)):
        scored = scoring.score(rows, next_stage, churn, clock, HORIZONS.judged, runs, told[rows.index])
        tables.write(scored.predictions, folder / "predictions" / f"{i}.parquet", schema.PREDICTIONS)


PARTS: dict[str, Callable[[Path, int], None]] = {
    "lay": lay,
    "train next_stage (lightgbm)": lambda folder, n: train("next_stage", folder, n),
    "train churn (hazard)": lambda folder, n: train("churn", folder, n),
    "score both": score,
}


def make(n_points: int) -> tuple[pd.DataFrame, pd.DataFrame, list[Feature]]:
    """Return features, targets and the catalogue: a third of the features tell something, the others nothing."""
    rng = np.random.default_rng(3)
    n_persons = max(n_points // N_NIGHTS, 1)
    x = rng.normal(size=(n_points, N_FEATURES)).astype(np.float32)
    stage = rng.integers(0, len(STAGES), n_points)
    x[:, 0], x[:, 1] = stage, np.exp(1.5 + x[:, 1])
    told = x[:, 2:20] @ rng.normal(0, 0.2, 18)
    # What BG/NBD looks at: how often, and since when.
    x[:, N_FEATURES - 2] = 1 + rng.poisson(np.exp(1 - told))
    x[:, N_FEATURES - 1] = x[:, 1] + rng.exponential(90, n_points)
    names = ["stage", HISTORY[0], *(f"made_{k}" for k in range(2, N_FEATURES - 2)), *HISTORY[1:]]
    categories = [STAGES, *[None] * (N_FEATURES - 1)]
    known = [Feature(n, "made", n, "number", c) for n, c in zip(names, categories, strict=True)]
    night = np.arange(n_points) // n_persons
    keys = pd.DataFrame(
        {
            "person_id": pd.array(np.char.mod("p%08d", np.arange(n_points) % n_persons), "str"),
            "cutoff_time": FIRST_NIGHT + pd.to_timedelta(7 * night, "D"),
            "prefix_length": np.int32(1),
        }
    )
    wait = rng.exponential(25 * np.exp(told))
    observed = np.full(n_points, 90.0)
    drawn = (rng.random(n_points) + 0.3 * told).clip(0, 0.999)
    truth = keys.assign(
        next_stage=np.where(wait >= HORIZONS.judged, None, np.array([*STAGES, "stay"])[(drawn * 5).astype(int)]),
        next_stage_status=np.where(wait >= HORIZONS.judged, "not_applicable", "mature"),
        is_silent=wait >= HORIZONS.judged,
        churn_status="mature",
        return_days=np.where(wait < observed, wait, np.nan),
        observed_days=observed,
        fold="train",
        split_rank=night,
    )
    rows = keys.assign(stage=np.array(STAGES)[stage], stage_since=FIRST_NIGHT - pd.Timedelta(days=400))
    return pd.concat([rows, pd.DataFrame(x, columns=[f.column for f in known])], axis=1), truth, known


if __name__ == "__main__":
    PARTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))

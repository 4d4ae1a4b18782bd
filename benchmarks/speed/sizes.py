"""Everything that is measured on a log of one size."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from speed.costs import Costs
from speed.measuring import Cost, Failed, measure
from speed.project import ROOT, Project

NEWS, TONIGHT = "ingest then clock", "journeys then features_score"  # each in one process, as dvc.yaml says
TRAINING = ("features_train", "targets", "leakcheck", "train next_stage", "train churn", "evaluate", "track", "promote")
STEPS = (NEWS, *TRAINING, TONIGHT, "features_score", "score")
LEAN_STEPS = (NEWS, "features_train", TONIGHT, "features_score")
NIGHT = (NEWS, TONIGHT)  # what a night does where training stands still
RIVALS = ("duckdb", "polars", "pandas")
READING = ("read", "sort", "sort_ids")
DISTRIBUTED = (TONIGHT,)
PROFILED = ("ingest", "features_score", "features_train")
KEPT = tuple(f"data/{name}" for name in ("journeys", "identifiers", "person_changes", "exposure"))
EVENTS, PLAN, OURS = "data/events.parquet", "data/plan.json", "data/features/score.arrow"
MANY = 20_000_000  # events; above, no model is trained, and profiles are left out
PANDAS_BYTES = 400  # of memory an event takes in pandas, found at 10 million events


def run_size(folder: Path, n_events: int) -> Costs:
    """Measure all that there is to measure on `n_events` events, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    costs = Costs(folder / "costs.json")
    files = _delivered(folder / "files", n_events)
    project = Project(folder / "project")
    if "delivered files" not in costs:
        shutil.rmtree(project.root, ignore_errors=True)
        project = Project.new(project.root)
        project.take(files[:-1])
        costs.note("delivered files", lambda: len(files) - 1)
    is_lean = n_events > MANY
    for step in LEAN_STEPS if is_lean else STEPS:
        if step == "score" and step not in costs:
            project.run("benchmarks/speed/candidates.py")
        if step == "features_score" and step not in costs:  # once more, alone
            project.path(OURS).unlink(missing_ok=True)
        costs.measure(step, partial(project.step, step))
    costs.note(
        "size of the store", lambda: sum(f.stat().st_size for f in project.path("data/store").rglob("*") if f.is_file())
    )
    costs.note("scored", lambda: int(project.run("benchmarks/speed/walks.py", "snapshots")[1]))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fits = n_events * PANDAS_BYTES < 0.9 * memory
    _beside_rivals(costs, project, [r for r in RIVALS if fits or r != "pandas"])
    for step in PROFILED if not is_lean else ():
        costs.note(f"profile of {step}", partial(_profile, project, step))
    if any(name not in costs for name in (*(f"dask {step}" for step in DISTRIBUTED), f"night {NEWS}")):
        _read_once(project)
    _with_dask(costs, project)
    if f"night {NEWS}" not in costs:
        project.take(files[-1:])
    for step in NIGHT:
        costs.measure(f"night {step}", partial(project.step, step))
    if "every event features_train" not in costs:
        project.choose(features="sixty_every_event", split="cases", targets="next_activity")
        costs.measure("every event features_train", partial(project.step, "features_train"))
    return costs


def _delivered(folder: Path, n_events: int) -> list[Path]:
    """Return the daily files of a year."""
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        measure(
            [sys.executable, str(ROOT / "benchmarks/speed/deliveries.py"), str(unfinished), str(n_events)],
            folder.parent,
        )
        unfinished.rename(folder)
    return sorted(folder.iterdir())


def _read_once(project: Project) -> None:
    """Read what the first night left: it lay in the system's memory then, and what rivals take drove it out."""
    for folder in ("data/store", *KEPT, "data/features"):
        for path in sorted(project.path(folder).rglob("*")):
            if path.is_file() and "train" not in path.parts:  # which no night reads
                with path.open("rb") as file:
                    while file.read(1 << 24):
                        pass


def _beside_rivals(costs: Costs, project: Project, rivals: Sequence[str]) -> None:
    """Measure our features without their table, DuckDB's reading and sorting, and the rivals."""
    for points in ("snapshots", "every_event"):
        costs.measure(f"walk {points}", partial(_script, project, "walks.py", points))
    if not project.path(EVENTS).exists():
        project.run("benchmarks/speed/canonical.py")
    for what in READING:
        costs.measure(what, partial(_script, project, "reading.py", what, EVENTS))
    for rival in rivals:
        theirs = f"data/in_{rival}.parquet"
        costs.measure(rival, partial(_script, project, f"in_{rival}.py", EVENTS, PLAN, theirs))
        costs.note(f"{rival} differs", partial(_differences, costs, project, rival, theirs))


def _script(project: Project, name: str, *arguments: str) -> Cost:
    return project.run(f"benchmarks/speed/{name}", *arguments)[0]


def _differences(costs: Costs, project: Project, rival: str, theirs: str) -> str:
    """Return in which features a rival's table differs from ours, "" for none."""
    if costs[rival] is None:
        return "failed"
    return project.run("benchmarks/speed/agreement.py", OURS, theirs)[1].strip().replace("\n", ", ")


def _profile(project: Project, step: str) -> list[list[str]]:
    """Return the profile of a step that begins with nothing."""
    shutil.rmtree(project.path("profiled"), ignore_errors=True)
    copy = Project(project.path("profiled"))
    copy.root.mkdir()
    # Hard links: what a step reads is there, and what it writes replaces nothing of the project's.
    shutil.copytree(project.path("data"), copy.path("data"), copy_function=_link, ignore=_written_by(step))
    for name in ("resolved.yaml", "reports"):
        _copy(project.path(name), copy.path(name))
    try:
        printed = copy.run("benchmarks/speed/profiling.py", step)[1]
    except Failed as error:
        return [["", str(error)]]
    finally:
        shutil.rmtree(copy.root)
    return [line.split("\t") for line in printed.splitlines() if "\t" in line]


def _written_by(step: str) -> Callable:
    of_step = {
        "ingest": ("store", ".store-seen.json"),
        "features_train": ("train",),
        "features_score": ("score.arrow",),
    }.get(step, ())
    return shutil.ignore_patterns("events.parquet", "events.pieces", "in_*.parquet", *of_step)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)


def _with_dask(costs: Costs, project: Project) -> None:
    """Measure the steps that walk over buckets once more, on two workers of Dask, and compare what they write."""
    if "dask same bytes" in costs:
        return
    before = _written(project)
    project.choose(engine="dask", set={"engine": {"workers": 2}})
    for name in KEPT:  # made anew of everything, as they were
        shutil.rmtree(project.path(name))
    project.path(OURS).unlink()
    for step in DISTRIBUTED:
        costs.measure(f"dask {step}", partial(project.step, step))
    project.choose()
    costs.note("dask same bytes", lambda: before == _written(project))


def _written(project: Project) -> list[str]:
    """Return checksums of what the steps wrote that `DISTRIBUTED` names."""
    kept = [file for name in ("journeys", "identifiers") for file in sorted(project.path(f"data/{name}").iterdir())]
    return [_sha256(file) for file in (*kept, project.path(OURS))]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

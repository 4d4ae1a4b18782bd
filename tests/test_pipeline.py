"""dvc.yaml and models/dvc.yaml say what each step stands on: its files, its settings, its tables."""

from __future__ import annotations

import ast
import functools
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from imports import FILES, ROOT, closure, tree
from waymark.steps.config import compose_settings

# A change of these changes no result: they check, print and stop.
FREE = {m for m in FILES if f"{m}.".startswith("waymark.settings.")} | {
    *("waymark.config", "waymark.console", "waymark.errors"),
}
WRITTEN_BY_COMMANDS = {"reports/backtest"}  # there from the start, and empty until `make backtest`
PIPELINES = ("dvc.yaml", "models/dvc.yaml")


def _stages() -> dict[str, dict[str, Any]]:
    """Return every step by name, with its modules; the parts of a `foreach` apart."""
    found = {}
    for file in PIPELINES:
        for name, stage in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"].items():
            for item in stage.get("foreach", [None]):
                body = yaml.safe_dump(stage.get("do", stage)).replace("${item}", str(item))
                step = yaml.safe_load(body)
                folder = PurePosixPath(file).parent / step.get("wdir", ".")
                assert folder in (PurePosixPath("."), PurePosixPath("models/..")), "paths count from the root"
                run = step["cmd"].removeprefix("python src/run.py ").split(" then ")
                modules = [command.split()[0] for command in run]
                found[name if item is None else f"{name}@{item}"] = step | {"modules": modules}
    return found


STAGES = _stages()
each_step = pytest.mark.parametrize("name", sorted(STAGES))


def paths(entries: list[Any] | None) -> set[str]:
    """Return the paths of outs, metrics or plots, whose options may follow them."""
    return {path for entry in entries or [] for path in (entry if isinstance(entry, dict) else [entry])}


def outs(stage: dict[str, Any]) -> set[str]:
    """Return everything a step writes."""
    return paths(stage.get("outs")) | paths(stage.get("metrics")) | paths(stage.get("plots"))


def file_of(module: str) -> str:
    """Return the path of a module from the root."""
    return FILES[module].relative_to(ROOT).as_posix()


@each_step
def test_a_step_is_modules_with_a_main(name):
    for module in STAGES[name]["modules"]:
        assert module.startswith("waymark.steps.")
        assert "main" in {node.name for node in tree(module).body if isinstance(node, ast.FunctionDef)}


def test_every_step_module_is_a_step():
    modules = {m for m in FILES if m.startswith("waymark.steps.")}
    assert {module for stage in STAGES.values() for module in stage["modules"]} == modules


@each_step
def test_a_step_depends_on_the_files_it_imports(name):
    stage = STAGES[name]
    needed = {m for module in stage["modules"] for m in (module, *closure(module))} - FREE
    wanted = {file_of(m) for m in needed if FILES[m].name != "__init__.py"}
    free = {file_of(m) for m in FILES if m in FREE or FILES[m].name == "__init__.py"}
    listed = {dep for dep in stage["deps"] if dep.startswith("src/")} - free
    add, remove = sorted(wanted - listed), sorted(listed - wanted)
    assert not add + remove, f"deps of {name}: add {add}, remove {remove}"


@each_step
def test_no_dependency_is_listed_twice(name):
    deps = STAGES[name]["deps"]
    assert sorted(deps) == sorted(set(deps))


@each_step
def test_what_a_step_reads_is_written_by_a_step_or_delivered(name):
    written = {path for stage in STAGES.values() for path in outs(stage)}
    for dep in STAGES[name]["deps"]:
        if dep.startswith(("src/", "conf")):
            assert (ROOT / dep).exists(), dep
        elif dep != "${landing}" and dep not in WRITTEN_BY_COMMANDS:
            assert any(PurePosixPath(dep).is_relative_to(path) for path in written), f"no step writes {dep}"


def test_no_two_steps_write_the_same_file():
    written = [PurePosixPath(path) for stage in STAGES.values() for path in outs(stage)]
    assert len(written) == len(set(written))
    assert not [(a, b) for a in written for b in written if a != b and a.is_relative_to(b)]


def test_publishing_is_apart_from_experiments():
    """`dvc exp run` runs dvc.yaml alone, and nothing there publishes."""
    alone = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    published = {"data/predictions", "models/champion", "reports/promotion.json", "reports/report.html"}
    assert not {path for name in alone for path in outs(STAGES.get(name, {}))} & published
    assert published <= {path for stage in STAGES.values() for path in outs(stage)}


# --- settings -------------------------------------------------------------------------------------------------------


@functools.cache
def settings() -> dict[str, Any]:
    """Return the composed settings."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return yaml.safe_load(compose_settings(params, ROOT / "conf"))


def params(name: str) -> list[str]:
    """Return the keys of resolved.yaml that a step depends on."""
    return [key for entry in STAGES[name].get("params", []) for key in entry.get("resolved.yaml") or []]


@each_step
def test_every_setting_a_step_depends_on_exists(name):
    for key in params(name):
        value = settings()
        for part in key.split("."):
            assert part in value, f"{name} depends on {key}, which is no setting"
            value = value[part]


def _sections(module: str) -> tuple[set[str], bool]:
    """Return the sections of the settings that a module reads by name, and whether it may read others."""
    found, others = set(), False
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            others |= function == "load_all"
            place = {"load": 1, "value": 0}.get(function)
            if place is not None and len(node.args) > place:
                argument = node.args[place]
                others |= not isinstance(argument, ast.Constant)
                found |= {argument.value} if isinstance(argument, ast.Constant) else set()
    return found, others


@each_step
def test_a_step_depends_on_the_settings_it_reads(name):
    if name == "config":
        return
    found = [_sections(module) for module in STAGES[name]["modules"]]
    read, others = set().union(*(sections for sections, _ in found)), any(o for _, o in found)
    listed = {key.split(".")[0] for key in params(name)}
    add, remove = sorted(read - listed), [] if others else sorted(listed - read)
    assert not add + remove, f"params of {name}: add {add}, remove {remove}"


def test_the_landing_folder_is_the_one_of_params():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["vars"] == ["params.yaml"]
    assert settings()["landing"] == yaml.safe_load(Path(ROOT / "params.yaml").read_text(encoding="utf-8"))["landing"]

"""The rules of the house: who may import whom, and what no module does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from imports import FILES, SRC, closure, imported, ours, tree

SETTINGS = {m for m in FILES if f"{m}.".startswith("waymark.settings.")}
FREE = SETTINGS | {
    *("waymark", "waymark.schema", "waymark.config", "waymark.errors", "waymark.console", "waymark.catalogue"),
}
STEPS = [m for m in FILES if m.startswith("waymark.steps.")]
LIBRARY = [m for m in FILES if m not in STEPS]
# Pure functions on tables and arrays.
SHAPING = [
    f"waymark.{m}"
    for m in (
        *("catalogue", "identity", "eventlog", "journeys", "points", "vocabulary", "tracks", "walks", "walking"),
        *("measures", "feature_rows", "feature_groups", "features", "clock", "splits", "targets", "forecast"),
        *("persons", "lots", "exposure"),
    )
]


def test_every_file_was_found():
    assert len(FILES) > 40
    assert {*SHAPING, "waymark.tracking", "waymark.steps.config"} <= set(FILES)


# --- one direction --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("schema", set()),
        ("errors", set()),
        ("console", set()),
        ("catalogue", set()),
        ("kernels.jit", set()),
        ("tables", {"schema", "errors"}),
        ("tracking", {"schema", "errors"}),
    ],
)
def test_what_everybody_stands_on_stands_on_nobody(module, may):
    assert ours(f"waymark.{module}") <= {f"waymark.{m}" for m in may}


def test_settings_stand_on_nobody_else():
    assert len(SETTINGS) > 5
    for module in {*SETTINGS, "waymark.config"}:
        assert ours(module) <= SETTINGS | {"waymark.errors"}, module


def test_no_kernel_calls_one_of_another_file():
    """Numba keeps what it compiled while the file of the kernel stays as it is, whatever it calls elsewhere."""
    kernels = [m for m in FILES if m.startswith("waymark.kernels.") and not m.endswith("__main__")]
    assert len(kernels) > 5
    for module in kernels:
        assert ours(module) <= {"waymark.kernels.jit"}, module


def test_imports_run_in_no_circle():
    assert not [module for module in FILES if module in closure(module)]


def test_nothing_but_the_command_line_imports_a_step():
    commands = {"waymark.choose"}  # checks the choices as the config step will
    assert not {m: sorted(found) for m in FILES if m not in commands and (found := ours(m) & set(STEPS))}


@pytest.mark.parametrize("module", [m for m in SHAPING if m not in FREE])
def test_tables_in_tables_out(module):
    """Modules that shape tables read and write nothing."""
    assert not ours(module) & {"waymark.tables", "waymark.tracking"}
    assert not imported(module) & {"pathlib", "os", "io", "shutil", "subprocess", "yaml", "pyarrow.parquet"}
    assert "open" not in {node.id for node in ast.walk(tree(module)) if isinstance(node, ast.Name)}


def test_only_the_targets_and_what_judges_them_look_past_a_cut_off():
    for module in ("features", "feature_groups", "walking", "points", "vocabulary", "journeys", "eventlog", "identity"):
        assert not closure(f"waymark.{module}") & {f"waymark.{m}" for m in ("targets", "splits", "clock", "models")}


@pytest.mark.parametrize("room", ["sources", "simulate", "report"])
def test_a_room_looks_at_nothing_but_itself_and_what_everybody_stands_on(room):
    for module in LIBRARY:
        if module.startswith(f"waymark.{room}."):
            strangers = {m for m in ours(module) if not m.startswith(f"waymark.{room}")}
            assert strangers <= FREE | {"waymark.tables"}, module


@pytest.mark.parametrize(
    ("package", "where"),
    [
        ("mlflow", {"waymark.tracking"}),
        ("hydra", {"waymark.steps.config"}),
        ("omegaconf", {"waymark.steps.config"}),
        ("numba", {"waymark.kernels.jit"}),
        ("tqdm", {"waymark.console"}),
        ("dask", {"waymark.engine", "waymark.growing"}),
        ("distributed", {"waymark.engine"}),
    ],
)
def test_what_comes_from_elsewhere_is_met_in_one_place(package, where):
    assert {m for m in FILES if package in {name.split(".")[0] for name in imported(m)}} == where


def test_what_shapes_tables_imports_no_heavy_library():
    """Seconds, in each step: measured by importing them, not by reading their text."""
    steps = ["clock", "journeys", "features_train", "features_score", "targets", "ingest"]
    modules = [*SHAPING, "waymark.tables", *(f"waymark.steps.{s}" for s in steps)]
    lines = [f"import sys; sys.path.insert(0, {str(SRC)!r})", *(f"import {m}" for m in modules)]
    lines.append(
        "print(*sorted({'mlflow', 'lightgbm', 'sklearn', 'hydra', 'matplotlib', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- what no module does --------------------------------------------------------------------------------------------


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a module with the dotted name of what is called."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield _dotted(node.func), node


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_module_reads_the_wall_clock(module):
    clocks = {"now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime", "monotonic", "perf_counter"}
    bases = {"datetime", "datetime.datetime", "date", "datetime.date", "time", "pd.Timestamp", "Timestamp"}
    found = [
        name for name, _ in calls(module) if name.rpartition(".")[2] in clocks and name.rpartition(".")[0] in bases
    ]
    assert found == (["time.perf_counter"] * 2 if module == "waymark.console" else [])


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_module_draws_without_a_seed(module):
    assert not imported(module) & {"random", "secrets"}
    for name, call in calls(module):
        assert name not in {"uuid.uuid4", "uuid.uuid1", "os.urandom", "uuid4"}
        if name.startswith(("np.random.", "numpy.random.")):
            assert name.endswith((".default_rng", ".SeedSequence", ".Generator", ".PCG64", ".Philox")), name
            assert call.args or call.keywords, f"{name} without a seed"


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_module_runs_what_a_file_names(module):
    assert not imported(module) & {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal", "importlib"}
    assert not {name for name, _ in calls(module)} & {"eval", "exec", "__import__", "yaml.load", "pd.read_pickle"}


@pytest.mark.parametrize("module", sorted(FILES))
def test_every_public_name_says_what_it_is(module):
    def undocumented(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                if not ast.get_docstring(node):
                    yield prefix + node.name
                if isinstance(node, ast.ClassDef):
                    yield from undocumented(node.body, f"{prefix}{node.name}.")

    assert ast.get_docstring(tree(module))
    assert not list(undocumented(tree(module).body, ""))

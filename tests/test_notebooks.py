"""The notebooks: what is stored, and that each runs from top to bottom on a finished project."""

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from small_project import ROOT, environment

FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
PUBLIC = {"matplotlib", "mlflow", "numpy", "os", "pandas", "pathlib", "warnings", "waymark"}
# What `jupyter execute` starts, in this very interpreter. Kernels that start at once may be given the same port and do
# not respond (jupyter_client issue 487).
RUN = """
from nbclient.cli import main
for attempt in range(3):
    try:
        main()
        break
    except RuntimeError as error:
        if attempt == 2 or "Kernel d" not in str(error):  # didn't respond, died
            raise
"""


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def names_of(tree):
    """Every name that code imports or reaches for with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_the_notebooks_are_there():
    assert [path.name for path in PATHS] == [
        "01_explore_journeys.ipynb",
        "02_read_the_features.ipynb",
        "03_read_the_models.ipynb",
        "04_compare_experiments.ipynb",
    ]


def test_a_notebook_is_valid_and_as_jupyter_would_save_it(path, notebook):
    nbformat.validate(notebook)
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def test_a_notebook_is_stored_without_results(notebook):
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_cells_have_names_that_a_reader_can_point_to(notebook):
    assert all(re.fullmatch(r"[a-z][a-z-]+", cell.id) for cell in notebook.cells)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_a_notebook_begins_with_a_title_and_then_finds_the_project(notebook):
    title, project = notebook.cells[:2]
    assert (title.cell_type, project.cell_type) == ("markdown", "code")
    assert title.source.startswith("# ")
    assert "`make repro`" in title.source
    assert "os.chdir" in project.source


def test_prose_leads_to_every_figure(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:]):
        if "plt.show()" in cell.source:
            assert before.cell_type == "markdown", cell.id
            assert "title" in cell.source, cell.id


def test_a_notebook_calls_what_is_public_and_defines_nothing(notebook):
    tree = ast.parse("\n".join(code_of(notebook)))
    roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    roots |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert roots <= PUBLIC
    assert [name for name in names_of(tree) if name.startswith("_")] == []
    assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) for n in ast.walk(tree))


def test_a_notebook_names_no_place_of_one_machine(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.~/])/(?:home|Users|root|tmp|var|mnt|opt|usr|srv|work|data)\b|[A-Z]:\\\\", text) == []
    assert re.findall(r"https?://", text) == []


def test_a_notebook_serves_any_source(notebook):
    """No event type, channel or stage of the simulated brand is written into the code."""
    brand = yaml.safe_load((ROOT / "conf/journey/shop.yaml").read_text(encoding="utf-8"))
    its_words = {brand["initial"], *(r["stage"] for r in brand["rules"])}
    its_words |= {event_type for r in brand["rules"] for event_type in r.get("event_type", [])}
    its_words |= {"web", "app", "store", "call_centre", "email", "social", "logistics", "simulated"}
    tree = ast.parse("\n".join(code_of(notebook)))
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert texts & its_words == set()


def test_the_first_cell_finds_the_project_from_below(notebook, tmp_path, monkeypatch):
    below = tmp_path / "notebooks" / "mine"
    for folder in (below, tmp_path / "reports"):
        folder.mkdir(parents=True)
    for file in ("dvc.yaml", "reports/report.html", "reports/mlflow_run.json"):
        (tmp_path / file).touch()
    monkeypatch.chdir(below)
    exec(code_of(notebook)[0], {})
    assert Path.cwd() == tmp_path.resolve()


@pytest.mark.parametrize("is_project", [True, False])
def test_the_first_cell_says_in_one_sentence_that_nothing_is_there(notebook, is_project, tmp_path, monkeypatch):
    if is_project:
        (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^Nothing to look at yet: run `make repro` [^.]*\.$"):
        exec(code_of(notebook)[0], {})


def has_loopback() -> bool:
    """Say whether this machine can talk to itself: Jupyter kernels do, over 127.0.0.1."""
    with socket.socket() as server, socket.socket() as client:
        try:
            server.bind(("127.0.0.1", 0))
            server.listen()
            client.connect(server.getsockname())
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def running(small_project, tmp_path_factory):
    """All notebooks, started at once in `notebooks/` of a copy of the small project."""
    home = tmp_path_factory.mktemp("jupyter")
    project = home / "project"
    shutil.copytree(small_project, project)
    # Artifacts are kept by absolute address, so the copy reads the store of the project it was copied from.
    shutil.copytree(FOLDER, project / "notebooks", ignore=shutil.ignore_patterns(".*"))
    kernel = home / "data/kernels/waymark/kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "this interpreter", "language": "python"}))
    own = {f"JUPYTER_{what.upper()}_DIR": str(home / what) for what in ("config", "data", "runtime")}
    own |= {"IPYTHONDIR": str(home / "ipython"), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    options = ["--kernel_name=waymark", "--startup_timeout=90", "--inplace"]
    processes = {
        path: subprocess.Popen(
            [sys.executable, "-c", RUN, *options, str(project / "notebooks" / path.name)],
            env=environment(project) | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for path in PATHS
    }
    yield {path: (process, project / "notebooks" / path.name) for path, process in processes.items()}
    for process in processes.values():
        with process:
            process.kill()


@pytest.mark.slow
@pytest.mark.skipif(not has_loopback(), reason="no loopback network, which Jupyter kernels need")
def test_a_notebook_runs_from_top_to_bottom(running, path):
    process, executed = running[path]
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    notebook = nbformat.read(executed, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    for cell in cells:
        shown = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(shown) == cell.source.count("plt.show()"), cell.id
        warned = [output.text for output in cell.outputs if output.get("name") == "stderr" and "Warning" in output.text]
        assert warned == [], cell.id

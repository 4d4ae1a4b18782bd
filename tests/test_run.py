"""How modules are started: `src/run.py`."""

import os
import subprocess
import sys
from pathlib import Path

from imports import ROOT


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command, path = [sys.executable, str(ROOT / "src/run.py"), *words], {"PYTHONPATH": str(folder)}
    return subprocess.run(command, env=os.environ | path, capture_output=True, text=True, check=False)


def module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(f'import sys\nif __name__ == "__main__":\n    {text}\n')


def test_modules_run_one_after_the_other_with_their_arguments(tmp_path):
    for name in ("one", "two"):
        module(tmp_path, name, f'print("{name}", *sys.argv[1:])')
    assert run(tmp_path, "one").stdout == "one\n"
    assert run(tmp_path, "one", "a then b", "then", "two", "then", "one", "").stdout == "one a then b\ntwo\none \n"


def test_after_bad_input_nothing_more_runs(tmp_path):
    module(tmp_path, "one", 'raise __import__("waymark.errors").errors.InputError("there is nothing")')
    module(tmp_path, "two", 'print("two")')
    done = run(tmp_path, "one", "then", "two")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "waymark: there is nothing\n")

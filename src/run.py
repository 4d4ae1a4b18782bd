"""Start a module from the source tree this file lies in: `python src/run.py waymark.steps.train churn`.

`python src/run.py` puts *this* src/ first on sys.path, so an experiment that DVC runs in a temporary copy of the
repository (`dvc exp run --temp`, `--queue`) runs the code of that copy, not the editable install of the workspace.
`MODULE then MODULE` runs one after the other in one process, where starting another costs more than a second.
An `InputError` ends in its one sentence and exit code 2; any other exception is a bug and keeps its traceback.
"""

import gc
import importlib
import os
import runpy
import sys
from collections.abc import Iterable

from waymark.console import set_up_logging
from waymark.errors import InputError

# Threads of LightGBM that wait must sleep: on a busy machine spinning ones cost ten times the work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# And OpenBLAS starts its own, which spin, as soon as NumPy is imported; no step multiplies matrices for long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def import_all(modules: Iterable[str]) -> None:
    """Import what modules need, and never look for garbage among it: it stays as long as the process does."""
    gc.disable()
    for module in modules:
        importlib.import_module(module)
        del sys.modules[module]  # which is to run as `__main__`
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    set_up_logging()
    commands = [told.split("\n") for told in "\n".join(sys.argv[1:]).split("\nthen\n")]
    try:
        import_all(module for module, *_ in commands)
        for module, *arguments in commands:
            sys.argv[1:] = arguments
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except InputError as error:
        print(f"waymark: {error}", file=sys.stderr)
        raise SystemExit(2) from None

"""Where the CPU time of a step goes: `python profiling.py features_score`, run in a project, prints shares by function.

Buckets run one after another in one thread. Now and then the CPU time since the last look is booked on the innermost
function of ours, so that of kernels and libraries on whoever called them.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

EVERY = 0.002  # seconds of CPU time
MOST = 16
IMPORTS = "importing modules"
REST = "(rest)"


class _Pool:
    """Looks like a pool of threads and has none."""

    def __init__(self, workers: int | None = None) -> None: ...

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None: ...

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(work, items)


def main(module: str) -> None:
    """Run a module and print what share of its CPU time went where."""
    spent: Counter[str] = Counter()
    before = time.process_time()

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal before
        now = time.process_time()
        spent[_place(frame)] += now - before
        before = now

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    if module.startswith("waymark."):
        import waymark.engine

        waymark.engine.ThreadPoolExecutor = _Pool
    sys.argv = [module]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    total = sum(spent.values())
    print(f"{total:.1f}\tCPU seconds")
    for place, seconds in [*spent.most_common(MOST), (REST, total - sum(n for _, n in spent.most_common(MOST)))]:
        print(f"{100 * seconds / total:.1f}\t{place}")


def _place(frame: FrameType | None) -> str:
    ours = REST
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_qualname
        if name == "<module>" and frame.f_code.co_filename.endswith(".py") and module != "__main__":
            return IMPORTS
        if ours == REST and (module.startswith("waymark.") or module == "__main__") and "profiling" not in module:
            ours = f"{module.removeprefix('waymark.')}: {name.replace('.<locals>', '')}"
        frame = frame.f_back
    return ours


if __name__ == "__main__":
    main(f"waymark.steps.{sys.argv[1]}")

"""What a command costs, run in a process of its own: CPU seconds, wall seconds and the peak of its memory.

Nothing large is imported here: a child begins with the memory of the process that starts it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ORPHAN_SECONDS = 60
_SET_CHILD_SUBREAPER = 36  # of prctl(2)


class Cost(NamedTuple):
    """What a process and all that it started have taken together."""

    cpu: float  # seconds, user and system, all threads
    wall: float  # seconds
    peak: float  # MB, of whichever process had most at a time; pages of mapped files are counted


class Failed(RuntimeError):
    """A command ended with an error; the text is the end of what it printed."""


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> tuple[Cost, str]:
    """Run `command` in `folder`; return what it cost and what it printed.

    Raises
    ------
    Failed
        It ended with another exit code than 0.
    """
    _adopt_orphans()
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            _, status, used = os.wait4(child.pid, 0)
            wall = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            all_used = [used, *_wait_for_orphans(child.pid)]
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        printed.seek(0)
        text = printed.read()
    if child.returncode:
        raise Failed(f"{' '.join(command[:4])} ended with {child.returncode}: {text[-800:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = sum(used.ru_utime + used.ru_stime for used in all_used)
    return Cost(cpu, wall, max(used.ru_maxrss for used in all_used) * unit / 1e6), text


def _adopt_orphans() -> None:
    """Become, on Linux, the parent of whatever process of a command outlives its own parent.

    Workers of Dask are children of a server of forks, which nobody waits for: what they took would be told to nobody.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans(group: int) -> Iterator[resource.struct_rusage]:
    """Yield what each process took that was left of a group; wait for those that are still about to end."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while time.monotonic() < deadline:
        try:
            pid, _, used = os.wait4(-group, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            yield used
        else:
            time.sleep(0.01)
    raise Failed(f"a process was still running {ORPHAN_SECONDS} seconds after its command had ended")

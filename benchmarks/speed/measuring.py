"""What a command costs, run in a process of its own: CPU seconds, wall seconds and the peak of its memory.

Nothing large is imported here: a child begins with the memory of the process that starts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a process and those that it waited for have taken together."""

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
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if child.returncode:
        raise Failed(f"{' '.join(command[:4])} ended with {child.returncode}: {text[-800:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * unit / 1e6), text

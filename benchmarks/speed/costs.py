"""What was measured so far, kept in a file as it comes in: a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed.measuring import Cost, Failed


class Costs:
    """Costs and remarks of one size of the log, by name."""

    def __init__(self, path: Path) -> None:
        """Go on from what is at `path`, if anything is."""
        self._path = path
        self._kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def __contains__(self, name: str) -> bool:
        """Say whether `name` was measured, with whatever end."""
        return name in self._kept

    def __getitem__(self, name: str) -> Cost | None:
        """Return what `name` has cost; None where it was not measured, or failed."""
        found = self._kept.get(name)
        return Cost(**found["cost"]) if isinstance(found, dict) and "cost" in found else None

    def measure(self, name: str, work: Callable[[], Cost]) -> None:
        """Keep what `work` has cost, or why it failed; not done twice."""
        if name in self:
            return
        try:
            self._kept[name] = {"cost": work()._asdict()}
        except Failed as error:
            self._kept[name] = str(error)
        self._write()
        print(f"  {name}: {self[name] or self.remark(name)}", file=sys.stderr, flush=True)

    def remark(self, name: str) -> Any:
        """Return what was noted, or why something failed; None for nothing."""
        return None if self[name] else self._kept.get(name)

    def note(self, name: str, work: Callable[[], Any]) -> None:
        """Keep what `work` says: a text, a number or a dictionary; not done twice."""
        if name not in self:
            self._kept[name] = work()
            self._write()

    def total(self, *names: str) -> float | None:
        """Return the CPU seconds of some works together; None where one of them is missing."""
        found = [self[name] for name in names]
        return None if None in found else sum(cost.cpu for cost in found)

    def peak(self, *names: str) -> float | None:
        """Return the largest peak of some works, MB; None where one of them is missing."""
        found = [self[name] for name in names]
        return None if None in found else max(cost.peak for cost in found)

    def _write(self) -> None:
        self._path.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")

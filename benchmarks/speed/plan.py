"""What the rivals have to compute: the cut-off, and the codes that our features give to types, channels and stages.

Nothing of ours is imported here: who reads a plan shall not pay for it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Plan:
    """Settings and vocabulary in the words of tables; rows are dictionaries, codes are those of our features."""

    cutoff: int  # microseconds
    windows_days: list[int]
    half_life_days: int
    last_k: int
    counted_types: list[str]  # as they stand in the names of features
    counted_channels: list[str]
    types: list[dict[str, Any]]  # event_type, counted, category, reached (the stage it gives, or None)
    channels: list[dict[str, Any]]  # channel, counted, category
    stages: list[str]
    initial: int
    steps: list[dict[str, int]]  # before, stage, is_regression, is_detour, transition (-1 for none)
    two_steps: list[dict[str, int]]  # before_that, before, stage, two_transitions

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def windows(self) -> list[tuple[str, int]]:
        """The name and the first microsecond of each window; the last has no beginning."""
        return [*((f"{days}d", self.cutoff - days * DAY) for days in self.windows_days), ("ever", -(2**62))]

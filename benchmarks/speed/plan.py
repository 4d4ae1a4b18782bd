"""What the rivals have to compute: the cut-off, and the codes that our features give to types, channels and stages."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from waymark.catalogue import slugs
from waymark.config import FeaturesConfig, JourneyConfig
from waymark.eventlog import OTHER
from waymark.vocabulary import ARROW, Vocabulary

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


def plan_for(cutoff: int, journey: JourneyConfig, settings: FeaturesConfig, known: Vocabulary) -> Plan:
    """Return the plan for some settings; a rule of `journey` may ask for the type of a customer's event only."""
    [half_life] = settings.half_lives_days
    stages = list(known.stages)
    gives = {t: stages.index(r.stage) for r in reversed(journey.rules) for t in r.event_type if r.stage in stages}
    return Plan(
        cutoff=cutoff,
        windows_days=settings.windows_days,
        half_life_days=half_life,
        last_k=settings.last_k,
        counted_types=list(slugs(known.counted_types)),
        counted_channels=list(slugs(known.counted_channels)),
        types=[
            {
                "event_type": name,
                "counted": _place(name, known.counted_types),
                "category": code,
                "reached": gives.get(name),
            }
            for code, name in enumerate(known.type_categories)
        ],
        channels=[
            {"channel": name, "counted": _place(name, known.counted_channels), "category": code}
            for code, name in enumerate(known.channel_categories)
        ],
        stages=stages,
        initial=stages.index(journey.initial),
        steps=[
            {
                "before": stages.index(a),
                "stage": stages.index(b),
                "is_regression": int(a in journey.path and b in journey.path and _is_back(a, b, journey.path)),
                "is_detour": int(a in journey.allowed and b not in journey.allowed[a]),
                "transition": known.transitions.index(way) if (way := ARROW.join((a, b))) in known.transitions else -1,
            }
            for a in stages
            for b in stages
        ],
        two_steps=[
            dict(
                zip(("before_that", "before", "stage"), map(stages.index, way.split(ARROW)), strict=True),
                two_transitions=code,
            )
            for code, way in enumerate(known.two_transitions)
        ],
    )


def _place(name: str, counted: tuple[str, ...]) -> int:
    return counted.index(name if name in counted else OTHER)


def _is_back(before: str, after: str, path: list[str]) -> bool:
    return path.index(after) < path.index(before)

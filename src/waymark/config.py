"""Settings: `resolved.yaml`, whole and in sections; unknown names, wrong types and bad ranges are refused.

What a section holds stands in `waymark.settings`, and is imported from here.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from waymark.errors import InputError
from waymark.settings.identity import IdentityConfig, LinkageConfig, RecordColumn
from waymark.settings.journey import RESERVED_STAGES, JourneyConfig, StageRule
from waymark.settings.models import (
    BacktestConfig,
    Estimator,
    EvaluateConfig,
    LeakcheckConfig,
    ModelConfig,
    ModelName,
    PromoteConfig,
    Range,
    SearchConfig,
)
from waymark.settings.points import ClockConfig, FeaturesConfig, PopulationConfig, SplitConfig, TargetsConfig
from waymark.settings.running import EngineConfig, ReportConfig, ScoringConfig, SimulateConfig, TrackingConfig
from waymark.settings.section import Section
from waymark.settings.source import EPOCH_UNITS, LINK_ENDS, Feed, FileLayout, LinkFeed, SourceConfig

__all__ = [
    "CONF",
    "EPOCH_UNITS",
    "LINK_ENDS",
    "PARAMS",
    "RESERVED_STAGES",
    "RESOLVED",
    "BacktestConfig",
    "ClockConfig",
    "EngineConfig",
    "Estimator",
    "EvaluateConfig",
    "FeaturesConfig",
    "Feed",
    "FileLayout",
    "IdentityConfig",
    "JourneyConfig",
    "LeakcheckConfig",
    "LinkFeed",
    "LinkageConfig",
    "ModelConfig",
    "ModelName",
    "PopulationConfig",
    "PromoteConfig",
    "Range",
    "RecordColumn",
    "ReportConfig",
    "ScoringConfig",
    "SearchConfig",
    "Settings",
    "SimulateConfig",
    "SourceConfig",
    "SplitConfig",
    "StageRule",
    "TargetsConfig",
    "TrackingConfig",
    "check",
    "load",
    "load_all",
    "value",
]

_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where it was built: in Python it takes 0.1 s
RESOLVED = Path("resolved.yaml")
PARAMS = Path("params.yaml")
CONF = Path("conf")


class Settings(Section):
    """All of `resolved.yaml`; the config step checks it whole, before any work starts."""

    seed: int = Field(ge=0)
    landing: str
    simulate: SimulateConfig
    source: SourceConfig
    identity: IdentityConfig
    journey: JourneyConfig
    clock: ClockConfig
    features: FeaturesConfig
    targets: TargetsConfig
    split: SplitConfig
    model: ModelConfig
    evaluate: EvaluateConfig
    backtest: BacktestConfig
    search: SearchConfig
    promote: PromoteConfig
    leakcheck: LeakcheckConfig
    tracking: TrackingConfig
    report: ReportConfig
    scoring: ScoringConfig
    engine: EngineConfig

    @model_validator(mode="after")
    def _points_fit_split(self) -> "Settings":
        wanted = "cases" if self.features.points == "every_event" else "cutoffs"
        if self.split.kind != wanted:
            raise ValueError(f"features.points={self.features.points} needs split.kind={wanted}, not {self.split.kind}")
        if self.targets.end_of_case != "excluded" and self.features.points != "every_event":
            raise ValueError("targets.end_of_case needs features.points=every_event")
        return self

    @model_validator(mode="after")
    def _event_types_can_be_stages(self) -> "Settings":
        for name, feed in self.source.feeds.items():
            for kind in sorted(set(feed.named_event_types()) & set(RESERVED_STAGES)):
                if self.journey.makes_a_stage_of(kind, feed.actors.get(kind)):
                    raise ValueError(
                        f"source.feeds.{name} names the event type {kind!r}, of which a rule of the journey makes a "
                        f"stage: forecasts use {', '.join(RESERVED_STAGES)}; name it otherwise"
                    )
        return self

    @model_validator(mode="after")
    def _workers_do_not_calibrate(self) -> "Settings":
        together = [self.model.of(t) for t in ("next_stage", "churn")] if self.engine.training == "dask" else []
        if any(e.name == "lightgbm" and e.settings.get("calibration_share") for e in together):
            raise ValueError("calibration_share of lightgbm needs engine.training=local, not dask")
        return self


T = TypeVar("T", bound=BaseModel)


def check(cls: type[T], value: Any, where: str) -> T:
    """Return `value` as a checked `cls`; raise `InputError` in one sentence that names every wrong setting."""
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        wrong = [_sentence(cls, e) for e in error.errors()]
        raise InputError(f"{where}: " + "; ".join(wrong)) from None


def _sentence(cls: type[BaseModel], error: Any) -> str:
    path = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path} is not a setting; there are {', '.join(_siblings(cls, error['loc']))}"
    given = "" if error["type"] == "missing" else f" (given: {str(error['input'])[:60]!r})"
    return f"{path or 'settings'}: {error['msg']}{given}"


def _siblings(cls: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the names that are settings where `loc` points."""
    for part in loc[:-1]:
        field = cls.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        inner = [a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(a, type)]
        cls = next((a for a in inner if issubclass(a, BaseModel)), cls)
    return sorted(cls.model_fields)


def load(cls: type[T], section: str) -> T:
    """Read one section of `resolved.yaml` as a checked `cls`."""
    return check(cls, value(section), f"section {section} of {RESOLVED}")


def value(key: str) -> Any:
    """Read one top-level value of `resolved.yaml`."""
    return load_all()[key]


def load_all() -> dict[str, Any]:
    """Read `resolved.yaml` as plain values."""
    try:
        return _parsed(RESOLVED.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{RESOLVED} does not exist; `dvc repro config` makes it from conf/") from None


@lru_cache(maxsize=1)
def _parsed(text: str) -> dict[str, Any]:
    """Return what a file says: a step reads several sections of one, and changes none."""
    return _SafeLoader(text).get_single_data()

"""Settings of a run: where it works and remembers, what it shows, and the brand it may simulate."""

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from waymark.settings.section import Days, Section, parse_time


class TrackingConfig(Section):
    """Where experiments are remembered."""

    experiment: str


class ScoringConfig(Section):
    """Whose forecasts are explained."""

    max_explained: int = Field(ge=0)  # persons that are given reasons, those of whom the forecast is least certain


class ReportConfig(Section):
    """What the report shows."""

    title: str
    max_flows: int = Field(24, ge=1)  # transitions drawn in the journey map


class EngineConfig(Section):
    """Where the work is done. No table depends on it; trees that workers grow together differ from those of one."""

    kind: Literal["local", "dask"]
    workers: int | None = Field(None, ge=1)  # threads, or processes of Dask on this machine; by default, one a core
    address: str | None = None  # of a running scheduler of Dask; by default, one is started for as long as it is needed
    training: Literal["local", "dask"] = "local"  # dask: the workers grow the trees of LightGBM together

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"(tcp|tls)://[^\s/]+:\d+", address):
            raise ValueError("is no address of a scheduler; write for example tcp://10.0.0.5:8786")
        return address

    @model_validator(mode="after")
    def _goes_together(self) -> "EngineConfig":
        if self.kind == "local" and (self.address or self.training == "dask"):
            raise ValueError("address and training: dask go with kind: dask")
        return self


class SimulateConfig(Section):
    """The simulated brand."""

    n_persons: int = Field(ge=100, le=1_000_000)
    start: datetime
    days: Days = Field(ge=30, le=3660)
    shared_device_share: float = Field(0.05, ge=0, le=0.3)  # of the devices: used by two persons
    late_share: float = Field(0.02, ge=0, le=1)  # of the events: delivered hours to days later
    duplicate_share: float = Field(0.002, ge=0, le=0.5)  # of a feed's rows: delivered once more, unchanged
    redelivered_share: float = Field(0.002, ge=0, le=0.5)  # delivered once more, later
    broken_share: float = Field(0.001, ge=0, le=0.04)  # followed by a broken row; every feed stays usable

    @field_validator("start", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return parse_time(value)

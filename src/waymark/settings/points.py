"""Settings of prediction points: tonight, features, targets, and which points train and which test."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from waymark.settings.section import Days, Name, Section, parse_time


class PopulationConfig(Section):
    """Who gets a row: persons with customer activity before the cut-off, narrowed by what is given."""

    identified_only: bool = False  # only persons with a customer id
    active_within_days: Days | None = Field(None, ge=1)  # last customer activity no longer ago
    event_types: list[str] | None = None  # at least one of these before the cut-off


class FeaturesConfig(Section):
    """Which features are built, and at which prediction points."""

    points: Literal["snapshots", "every_event"]
    groups: list[Name] = Field(min_length=1)
    custom: list[Name] = []  # functions registered in src/custom_features.py
    windows_days: list[Days] = Field(min_length=1)
    half_lives_days: list[Days] = []
    last_k: int = Field(5, ge=1, le=20)
    max_categories: int = Field(60, ge=1, le=250)  # per column; the rarer ones are one category together
    max_counted: int = Field(24, ge=1, le=250)  # event types and channels with counts of their own
    active_event_types: list[str] | None = None  # of what an active day has one; default: any activity
    max_mixed: int = Field(8, ge=0, le=250)  # categories of an attribute with a share of their own
    max_train_rows: int | None = Field(1_000_000, ge=1000)  # about; see conf/features/snapshots.yaml
    population: PopulationConfig

    @field_validator("windows_days", "half_lives_days")
    @classmethod
    def _ascending(cls, days: list[int]) -> list[int]:
        if days != sorted(set(days)) or (days and days[0] < 1):
            raise ValueError("must be ascending whole days of at least 1")
        return days

    @model_validator(mode="after")
    def _custom_is_on(self) -> "FeaturesConfig":
        if self.custom and "custom" not in self.groups:
            raise ValueError("custom names features, but groups does not name custom; add it to groups")
        if len(set(self.custom)) < len(self.custom):
            raise ValueError("custom names a feature twice")
        return self


class TargetsConfig(Section):
    """What is forecast."""

    horizon_days: Days = Field(ge=1)  # how far the labels look, and the horizon that models are judged by
    # Silence is forecast at all of these; `horizon_days` is always one of them.
    horizons_days: list[Days] = Field([], validate_default=True)
    churn_event_types: list[str] | None = None  # none of these within the horizon is churn; default: any activity
    end_of_case: Literal["excluded", "candidate", "scored"] = "excluded"  # every_event only

    @field_validator("horizons_days")
    @classmethod
    def _with_the_judged_one(cls, days: list[int], info: ValidationInfo) -> list[int]:
        if min(days, default=1) < 1:
            raise ValueError("must be whole days of at least 1")
        return sorted({*days, *([info.data["horizon_days"]] if "horizon_days" in info.data else [])})


class SplitConfig(Section):
    """Which prediction points train and which test."""

    kind: Literal["cutoffs", "cases"]
    # cutoffs: equally spaced, the newest mature ones test; whatever label reaches a test cut-off is embargoed.
    step_days: Days = Field(7, ge=1)
    n_train: int = Field(26, ge=1)
    # Newer ones whose horizon has not passed when the tests begin: without labels, but a hazard learns from them.
    n_unripe: int = Field(0, ge=0)
    n_test: int = Field(4, ge=1)
    gap_days: int = Field(0, ge=0)
    test_cutoffs: list[datetime] | None = None  # instead of the newest ones
    min_history_days: int = Field(28, ge=0)  # no cut-off is nearer to the first event
    # shared: who tests on later nights may have trained on earlier ones, as in use. disjoint: `test_persons`, a share
    # of all, test and train nothing, and the others train: how good the forecast of persons never seen is.
    persons: Literal["shared", "disjoint"] = "shared"
    test_persons: float = Field(0.2, gt=0, lt=1)
    # cases: whole cases train or test, in the order of their first event or of their first sequence number.
    train_fraction: float = Field(0.8, gt=0, lt=1)
    order: Literal["first_event", "first_sequence"] = "first_event"
    min_prefix: int = Field(1, ge=1)
    embargo: bool = True  # drop training rows whose label was not known when the first test case began

    @field_validator("test_cutoffs", mode="before")
    @classmethod
    def _times(cls, value: Any) -> Any:
        return [parse_time(v) for v in value] if isinstance(value, list) else value


class ClockConfig(Section):
    """Tonight."""

    cutoff_time: datetime | Literal["latest"]

    @field_validator("cutoff_time", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return value if value == "latest" else parse_time(value)

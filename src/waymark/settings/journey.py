"""Settings of the journey: its stages, and the path that the brand designed."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from waymark.settings.section import Section

EVENT_TYPE_STAGE = "{event_type}"
RESERVED_STAGES = ("stay", "end", "silent")  # what a forecast says besides stages


class StageRule(Section):
    """A stage, and what an event must be to put its person there. All given predicates must hold."""

    stage: str  # `{event_type}` stands for the event's own type
    event_type: list[str] | None = None
    actor: list[Literal["customer", "brand", "system"]] = ["customer"]
    channel: list[str] | None = None
    count_at_least: int | None = Field(None, ge=1)  # events of this type so far, this one included
    count_at_most: int | None = Field(None, ge=1)
    value_cents_at_least: int | None = None
    value_cents_at_most: int | None = None

    @field_validator("stage")
    @classmethod
    def _is_free(cls, stage: str) -> str:
        return _not_reserved(stage)


def _not_reserved(stage: str) -> str:
    if not stage or stage in RESERVED_STAGES:
        raise ValueError(f"a stage cannot be called {stage!r}: forecasts use {', '.join(RESERVED_STAGES)}")
    return stage


class JourneyConfig(Section):
    """The stages, the rules that put a person there, and the path the brand designed."""

    initial: str  # the stage before any rule has matched
    rules: list[StageRule] = Field(min_length=1)
    path: list[str] = []  # the designed order of stages; a step back along it is a regression
    allowed: dict[str, list[str]] = {}  # stage -> stages the design lets follow; others are detours
    session_gap_minutes: int = Field(30, ge=1)

    @model_validator(mode="after")
    def _stages_exist(self) -> "JourneyConfig":
        named = {self.initial, *(r.stage for r in self.rules)}
        used = {*self.path, *self.allowed, *(s for following in self.allowed.values() for s in following)}
        for stage in sorted({self.initial, *used}):
            _not_reserved(stage)
        if any(r.stage == EVENT_TYPE_STAGE for r in self.rules):
            return self  # every event type is a stage, and only the data knows them
        if used - named:
            raise ValueError(
                f"path or allowed names {', '.join(sorted(used - named))}, which no rule gives; "
                f"there are {', '.join(sorted(named))}"
            )
        return self

    def makes_a_stage_of(self, event_type: str, actor: str | None) -> bool:
        """Say whether the first rule that asks for events of this type, by `actor` if known, names a stage after it."""
        asked = (r for r in self.rules if r.event_type is None or event_type in r.event_type)
        rule = next((r for r in asked if actor in (None, *r.actor)), None)
        return rule is not None and rule.stage == EVENT_TYPE_STAGE

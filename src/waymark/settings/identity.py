"""Settings of who is who."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from waymark.settings.section import Section

RecordColumn = Literal["name", "date", "email", "postcode", "exact"]


class LinkageConfig(Section):
    """Where the customer records are, what their columns mean, and how sure a link must be."""

    records: str  # a Parquet or CSV file below the landing folder; a row is a (version of a) record of a customer
    id: str  # the column of the customer's identifier
    known_time: str | None = None  # the column that says when the row could first be known
    delivered_time: datetime | None = None  # of all rows, where no column says it
    known_delay_minutes: int = Field(0, ge=0)  # added to either
    columns: dict[str, RecordColumn] = Field(min_length=2)  # compared column -> what it holds
    learn_until: datetime  # records known before it teach the model; no link counts sooner
    threshold: float = Field(0.95, gt=0, le=1)  # least probability of a link
    blocking: list[list[str]] | None = None  # only pairs equal in all columns of one of these are compared
    max_pairs_per_record: int = Field(20, ge=1)  # the most that a derived blocking rule may give, on average
    source: str = "records"  # what the ledger calls it

    @field_validator("delivered_time", "learn_until")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        return time and (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))

    @model_validator(mode="after")
    def _fits_together(self) -> "LinkageConfig":
        if (self.known_time is None) == (self.delivered_time is None):
            raise ValueError("give either known_time (a column) or delivered_time (a moment), not both")
        strangers = sorted({c for rule in self.blocking or [] for c in rule} - set(self.columns))
        if strangers or any(not rule for rule in self.blocking or []):
            raise ValueError(
                f"blocking names {', '.join(strangers) or 'no column'}; there are {', '.join(self.columns)}"
            )
        return self


class IdentityConfig(Section):
    """How identifiers become persons."""

    # What becomes of a device known to serve several customers. `device_split`: it is a person of its own, and what
    # was done there without logging in is its. `last_auth`: what was done there after a customer logged in is theirs,
    # until another does. `none`: they are one person all together.
    shared_devices: Literal["device_split", "last_auth", "none"] = "device_split"
    max_persons_per_id: int = Field(20, ge=2)  # an anonymous id that more others are linked to links nobody
    linkage: LinkageConfig | None = None  # of customer records by likeness; needs `make setup-linkage`

"""Settings of a source: how delivered files become events, and links between their identifiers."""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, field_validator, model_validator

from waymark.settings.section import Section

# What `Feed.columns` and `Feed.constants` may name. `guest_id` stands in for `anonymous_id` where an event has no
# identifier at all; `price` and `quantity` go with `value: price_times_quantity`.
CANONICAL = (
    *("event_id", "event_time", "known_time", "sequence", "anonymous_id", "customer_id", "guest_id"),
    *("event_type", "actor", "channel", "session_id", "value", "price", "quantity"),
)
_OUR_NAME = re.compile(r"[a-z][a-z0-9_]*")


class EventTypeRule(Section):
    """A rule that names the event type of the delivered rows whose `column` matches a regular expression."""

    column: str
    matches: str  # found anywhere in the cell, as `re.search` does
    event_type: str

    @field_validator("matches")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return _compiled(pattern).pattern


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None


def _check_strptime(text: str) -> None:
    try:
        datetime.strptime("", text)
    except ValueError as error:
        if "does not match" not in str(error):
            raise ValueError(f"is no strptime format: {error}") from None


def _known_zone(name: str | None) -> str | None:
    try:
        return name and ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone of the IANA list; write for example UTC or Europe/London") from None


Columns = str | Annotated[list[str], Field(min_length=1)] | None  # of several, the first that is not empty counts


class FileLayout(Section):
    """Delivered files of one layout, and how they are read.

    "Column" means a column of a table, or a dotted path into nested JSON. A name that a preset sets is unset
    with `null`.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)  # YAML reads `keep_rows: {step: [1, 2]}` as numbers

    files: list[str] = Field(min_length=1)  # glob patterns below the landing folder
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = "auto"  # auto: from the file's name
    header: list[str] | None = None  # column names of text files that carry none
    delimiter: str | None = Field(None, min_length=1, max_length=1)  # of text files; else comma, or tab in .tsv
    quoting: bool = True  # in text files "..." holds delimiters and line breaks; false: a quote is a character
    columns: dict[str, Columns]  # our field -> column
    time_zone: str | None = None  # of times without a zone; else the source's
    time_format: str | None = None  # as strptime has it; ISO 8601 without one; `epoch_s|epoch_ms|epoch_us`
    # Where no column gives known_time, it is when the file was delivered: the last moment of the day (or hour, ...)
    # that the one group of this regular expression finds in the file's name below the landing folder.
    delivered: str | None = None
    delivered_format: str = "%Y-%m-%d"  # as strptime has it, of at least a day
    known_delay_minutes: int = Field(0, ge=0)  # known_time = event_time + this, where neither tells
    # How long after it was known a row may claim to have happened; null where feeds know bookings ahead.
    max_clock_skew_minutes: int | None = Field(60, ge=0)

    _zone = field_validator("time_zone")(_known_zone)

    @field_validator("delivered")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None and (n := _compiled(pattern).groups) != 1:
            raise ValueError(f"has {n} groups; exactly one, in parentheses, holds the date of delivery")
        return pattern

    @field_validator("delivered_format")
    @classmethod
    def _tells_a_day(cls, text: str) -> str:
        _check_strptime(text)
        if not re.search("%[dj]", text):
            raise ValueError(f"{text!r} tells no day of delivery; write for example %Y-%m-%d or %Y%m%dT%H%M")
        return text

    @field_validator("files")
    @classmethod
    def _below_landing(cls, patterns: list[str]) -> list[str]:
        outside = [p for p in patterns if not p or p.startswith(("/", "~")) or ".." in Path(p).parts]
        if outside:
            raise ValueError(f"{outside[0]!r} does not stay below the landing folder")
        return patterns

    @field_validator("header")
    @classmethod
    def _once_each(cls, names: list[str] | None) -> list[str] | None:
        twice = sorted({n for n in names or [] if names.count(n) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} more than once")
        return names

    @field_validator("time_format")
    @classmethod
    def _time_format(cls, text: str | None) -> str | None:
        if text is not None and text not in EPOCH_UNITS and "%" not in text:
            raise ValueError(f"is neither a strptime format nor one of {', '.join(EPOCH_UNITS)}")
        if text is not None and text not in EPOCH_UNITS:
            _check_strptime(text)
        return text

    def mapped_columns(self) -> list[str]:
        """Return every delivered column that the mapping names."""
        return _columns_of(self.columns)


def _columns_of(*fields: dict[str, Columns]) -> list[str]:
    given = [c for named in fields for c in named.values() if c is not None]
    return list(dict.fromkeys(c for g in given for c in ([g] if isinstance(g, str) else g)))


class Feed(FileLayout):
    """Delivered files of events, and what their columns mean."""

    constants: dict[str, str | None] = {}  # canonical field -> value, where no column is given or its cell is empty
    attributes: dict[str, Columns] = {}  # kept as categories: our name -> column
    numbers: dict[str, Columns] = {}  # kept as numbers: our name -> column
    event_types: dict[str, str] = {}  # delivered name -> our name; others keep theirs
    event_type_rules: list[EventTypeRule] = []  # first match wins, before `event_types`
    actors: dict[str, Literal["customer", "brand", "system"]] = {}  # our event type -> who does it
    keep_rows: dict[str, list[str]] = {}  # column -> its wanted values; other rows are left out
    one_event_per: str | None = None  # column; its rows are lines of one event, whose values add up
    # The rows of a file lie in the order in which things happened: events of one moment keep it.
    rows_in_order: bool = False
    value: Literal["amount", "cents", "price_times_quantity"] = "amount"
    decimal_mark: Literal[".", ","] = "."

    @field_validator("columns", "constants")
    @classmethod
    def _canonical(cls, fields: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(fields) - set(CANONICAL))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no field of an event; there are {', '.join(CANONICAL)}")
        return {k: v for k, v in fields.items() if v is not None}

    @field_validator("attributes", "numbers")
    @classmethod
    def _named(cls, fields: dict[str, Any]) -> dict[str, Any]:
        unfit = sorted(n for n in fields if not _OUR_NAME.fullmatch(n))
        if unfit:
            raise ValueError(f"{unfit[0]!r} does not fit: small letters, digits and _ after a first letter")
        return {k: v for k, v in fields.items() if v is not None}

    def named_event_types(self) -> list[str]:
        """Return the event types that the mapping itself names; those of a column are known to the data alone."""
        constant = self.constants.get("event_type")
        given = [] if constant is None else [self.event_types.get(constant, constant)]
        return list(dict.fromkeys([*given, *self.event_types.values(), *(r.event_type for r in self.event_type_rules)]))

    def mapped_columns(self) -> list[str]:
        """Return every delivered column that the mapping names."""
        others = [*self.keep_rows, *(r.column for r in self.event_type_rules), self.one_event_per]
        named = _columns_of(self.columns, self.attributes, self.numbers)
        return list(dict.fromkeys([*named, *(c for c in others if c)]))

    @model_validator(mode="after")
    def _complete(self) -> "Feed":
        given = set(self.columns) | set(self.constants)
        if "event_time" not in self.columns:
            raise ValueError("columns names no event_time")
        if "event_type" not in given and not self.event_type_rules:
            raise ValueError("neither columns nor constants nor event_type_rules give an event_type")
        if not given & {"customer_id", "anonymous_id", "guest_id"}:
            raise ValueError("columns names none of customer_id, anonymous_id, guest_id")
        by_price = self.value == "price_times_quantity"
        if by_price and not {"price", "quantity"} <= given:
            raise ValueError("value: price_times_quantity needs columns price and quantity")
        if given & ({"value"} if by_price else {"price", "quantity"}):
            raise ValueError("columns price and quantity go with value: price_times_quantity, value with the others")
        if self.rows_in_order and "sequence" in given:
            raise ValueError("a column for sequence and rows_in_order both order events of one moment; choose one")
        return self


EPOCH_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # microseconds each


# What the two ends of a link may be, and how their ids begin.
LINK_ENDS = {
    "anonymous_id": "anonymous:",
    "other_anonymous_id": "anonymous:",
    "customer_id": "customer:",
    "other_customer_id": "customer:",
}


class LinkFeed(FileLayout):
    """Delivered files of links between identifiers, and what their columns mean."""

    @field_validator("columns")
    @classmethod
    def _two_ends(cls, columns: dict[str, Any]) -> dict[str, Any]:
        columns = {k: v for k, v in columns.items() if v is not None}
        known = (*LINK_ENDS, "known_time", "event_time", "kind")
        unknown = sorted(set(columns) - set(known))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no field of a link; there are {', '.join(known)}")
        ends = [name for name in LINK_ENDS if name in columns]
        if len(ends) != 2:
            named = " and ".join(filter(None, [", ".join(ends[:-1]), *ends[-1:]])) or "none"
            raise ValueError(f"a link has two ends, of {', '.join(LINK_ENDS)}; columns names {named}")
        return columns

    @model_validator(mode="after")
    def _has_a_time(self) -> "LinkFeed":
        if not {"known_time", "event_time"} & set(self.columns) and self.delivered is None:
            raise ValueError("columns names neither known_time nor event_time, and no `delivered` tells a file's date")
        return self


class SourceConfig(Section):
    """How delivered files become events, and links between their identifiers."""

    name: str
    time_zone: str = "UTC"
    max_reject_share: float = Field(0.05, ge=0, le=1)  # of each feed's rows, those left out by choice not counted
    feeds: dict[str, Feed] = Field(min_length=1)
    links: dict[str, LinkFeed] = {}

    _zone = field_validator("time_zone")(_known_zone)

    @model_validator(mode="after")
    def _one_name_each(self) -> "SourceConfig":
        twice = sorted(set(self.feeds) & set(self.links))
        if twice:
            raise ValueError(f"{twice[0]} is among feeds and among links; each needs a name of its own")
        return self

"""Settings: one frozen model a section of `resolved.yaml`; unknown names, wrong types and bad ranges are refused."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from waymark.errors import InputError

_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where it was built: in Python it takes 0.1 s
RESOLVED = Path("resolved.yaml")
PARAMS = Path("params.yaml")
CONF = Path("conf")

Name = str
Days = int


class Section(BaseModel):
    """A part of the settings. Immutable; knows its names and types, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


# --- source ---------------------------------------------------------------------------------------------------------

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


# --- journey --------------------------------------------------------------------------------------------------------


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
    def _not_reserved(cls, stage: str) -> str:
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
        if any(r.stage == EVENT_TYPE_STAGE for r in self.rules):
            return self  # every event type is a stage, and only the data knows them
        used = {*self.path, *self.allowed, *(s for following in self.allowed.values() for s in following)}
        if used - named:
            raise ValueError(
                f"path or allowed names {', '.join(sorted(used - named))}, which no rule gives; "
                f"there are {', '.join(sorted(named))}"
            )
        return self


# --- identity -------------------------------------------------------------------------------------------------------


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


# --- clock, features, targets, split --------------------------------------------------------------------------------


def _parse_time(value: Any) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)  # OmegaConf writes dates back as strings
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


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
        return [_parse_time(v) for v in value] if isinstance(value, list) else value


class ClockConfig(Section):
    """Tonight."""

    cutoff_time: datetime | Literal["latest"]

    @field_validator("cutoff_time", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return value if value == "latest" else _parse_time(value)


# --- models, evaluation, publication --------------------------------------------------------------------------------


# The names of `models.MODELS`, here as well so that a wrong one is refused before any work starts.
ModelName = Literal[
    *("lightgbm", "logistic", "hazard"),
    *("most_frequent", "repeat_last", "chain", "back_off", "recency", "rfm_logistic", "bg_nbd"),
]


class Estimator(Section):
    """An estimator by its short name, and its settings; `models.make` checks those."""

    name: ModelName
    settings: dict[str, Any] = {}


class ModelConfig(Estimator):
    """The estimator of both targets, or of the next stage alone where churn has one of its own."""

    churn: Estimator | None = None

    def of(self, target: str) -> Estimator:
        """Return the estimator of `next_stage` or `churn`."""
        return self.churn if target == "churn" and self.churn is not None else self


class EvaluateConfig(Section):
    """How the models are judged."""

    baselines: dict[Literal["next_stage", "churn"], list[ModelName]]
    n_bootstrap: int = Field(200, ge=20)
    interval: float = Field(0.95, gt=0.5, lt=1)
    n_calibration_bins: int = Field(10, ge=2)
    n_explained: int = Field(400, ge=0)  # test persons whose reasons are summed and checked


class BacktestConfig(Section):
    """At how many moments back in time every model is judged."""

    n_origins: int = Field(4, ge=4)
    min_train_nights: int = Field(4, ge=1)  # of snapshots: whose horizon has passed at an origin


class Range(Section):
    """The values that a search may give one setting: those between two bounds, both included, or those listed."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False  # as likely between 1 and 10 as between 10 and 100
    choices: list[int | float | str | None] | None = Field(None, min_length=2)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "Range":
        bounds = (self.low, self.high)
        if (self.choices is None) != (None not in bounds) or (self.choices is not None and bounds != (None, None)):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low ({self.low}) is not below high ({self.high})")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers lie between the bounds."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class SearchConfig(Section):
    """What a search may change, and on which held-out part of the training rows it judges that."""

    n_trials: int = Field(30, ge=1)
    n_folds: int = Field(3, ge=1, le=20)
    min_train_nights: int = Field(4, ge=1)
    ranges: dict[ModelName, dict[str, Range]]


class PromoteConfig(Section):
    """When a model becomes champion."""

    n_bootstrap: int = Field(400, ge=100)
    interval: float = Field(0.95, gt=0.5, lt=1)
    margin: float = Field(0.02, ge=0, lt=1)  # of the rival's log loss: worse by less is equal, by more clearly worse
    max_ece: float = Field(0.05, ge=0, lt=1)  # calibration error that a challenger may have where its rival has less
    min_persons: int = Field(100, ge=10)  # a group of fewer test persons guards nothing
    keep: int = Field(5, ge=1, le=100)  # champions before the present one, to go back to


class LeakcheckConfig(Section):
    """How hard leakcheck looks for what a cut-off must not see."""

    n_persons: int = Field(1000, ge=50)  # sampled, with all their identifiers
    n_cutoffs: int = Field(2, ge=1)  # evenly spread over those of the training rows
    # A feature tells too much where it alone reaches the AUC, and leads all that do not together by the lead.
    alone_auc: float = Field(0.8, gt=0.5, lt=1)
    alone_lead: float = Field(0.1, gt=0, lt=0.5)
    # So does an attribute that, where all features together reach the AUC, closes so much of the gap between the AUC
    # without it and 1; and a feature of the user's own.
    added_gain: float = Field(0.1, gt=0, lt=1)
    n_sigma: float = Field(5, ge=3)  # skill where there can be none is an alarm from so many standard errors on
    fail: bool = False  # an alarm stops the run


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
        return _parse_time(value)


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
        return _SafeLoader(RESOLVED.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise InputError(f"{RESOLVED} does not exist; `dvc repro config` makes it from conf/") from None

"""What each table holds: grain, key, columns, types and units. Imports nothing of ours.

Types are written as Arrow writes them. `string` columns that repeat few values are kept as pandas strings.
A table with `families` also holds columns that configuration names: every column that begins with one of the
given prefixes has the family's type.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TIME = "timestamp[us, UTC]"
ARROW = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    TIME: pa.timestamp("us", tz="UTC"),
}


class ContractError(Exception):
    """A table breaks its contract; the message lists every broken promise."""


@dataclass(frozen=True)
class Table:
    """The contract of one table."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    nullable: frozenset[str] = frozenset()
    families: Mapping[str, str] = field(default_factory=dict)

    def type_of(self, column: str) -> str | None:
        """Return the declared type of `column`, or None where the contract does not know it."""
        if column in self.columns:
            return self.columns[column]
        return next((kind for prefix, kind in self.families.items() if column.startswith(prefix)), None)

    def is_nullable(self, column: str) -> bool:
        """Say whether `column` may hold nulls: the named ones, and every column of a family."""
        return column in self.nullable or column not in self.columns


def to_arrow(frame: pd.DataFrame | pa.Table, table: Table) -> pa.Table:
    """Check rows against their contract and return them as Arrow, in declared column order, sorted by key.

    Columns of a family follow the declared ones in the order of the frame.

    Raises
    ------
    ContractError
        Lists all of: missing and unknown columns, values that do not fit a type, null keys or nulls in a
        column that has none, repeated keys.
    """
    found = frame.column_names if isinstance(frame, pa.Table) else list(frame.columns)
    broken = [f"no column {c}" for c in table.columns if c not in found]
    broken += [f"unknown column {c}" for c in found if table.type_of(str(c)) is None]
    names = [c for c in table.columns if c in found]
    names += [c for c in found if c not in table.columns and table.type_of(str(c)) is not None]
    arrays = {}
    for name in names:
        try:
            array = _to_array(frame[name], table.type_of(name))
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError) as error:
            broken.append(f"{name} is not {table.type_of(name)} ({str(error)[:80]})")
            continue
        if array.null_count and not table.is_nullable(name):
            broken.append(f"{array.null_count} nulls in {name}")
        arrays[name] = in_one(array)
    rows = pa.table(arrays)
    if table.key and set(table.key) <= set(arrays):
        order = pc.sort_indices(rows, [(name, "ascending") for name in table.key])
        rows = pc.take(rows, order, boundscheck=False)
        repeated = _count_repeated(rows.select(table.key))
        if repeated:
            broken.append(f"{repeated} repeated keys {table.key}")
    if broken:
        raise ContractError(f"{table.name} ({table.grain}): " + "; ".join(broken))
    return rows


def in_one(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, which Arrow would copy even where it is one."""
    if isinstance(array, pa.Array):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def _count_repeated(keys: pa.Table) -> int:
    """Return how many of some sorted keys are the one before."""
    is_same = np.ones(max(len(keys) - 1, 0), bool)
    for key in keys.columns:
        before, after = key[:-1], key[1:]
        is_equal = pc.equal(before, after).fill_null(False).to_numpy(zero_copy_only=False)
        is_same &= is_equal | (before.is_null().to_numpy() & after.is_null().to_numpy())
    return int(is_same.sum())


def _to_array(values: pd.Series | pa.ChunkedArray, kind: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        if values.type != ARROW[kind]:
            raise TypeError(str(values.type))
        return values
    if kind == TIME and pd.api.types.is_datetime64_dtype(values.dtype):
        raise ValueError("no time zone")
    if kind != "string" and isinstance(values.dtype, pd.StringDtype) and values.notna().any():
        raise TypeError("text")  # which Arrow would parse
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(None)  # Arrow reads the values of zoned times in a way that pandas warns of
    return pa.Array.from_pandas(values, type=ARROW[kind])


ACTORS = ("customer", "brand", "system")

# Attributes that a mapping keeps: categories as attr_<name>, numbers as num_<name>.
ATTRIBUTES = {"attr_": "string", "num_": "float64"}

EVENTS = Table(
    name="events",
    grain="one touchpoint event as delivered",
    key=("event_time", "sequence", "event_id", "known_time"),
    columns={
        "event_id": "string",  # as delivered, else a hash of the delivered row; restatements of an event share it
        "event_time": TIME,  # when it happened
        "known_time": TIME,  # when we could first know it
        "superseded_time": TIME,  # when a restatement took its place; null while it holds
        "sequence": "int64",  # order among events of one moment, where the source states it, else 0
        "source": "string",  # the feed it came through
        "anonymous_id": "string",  # device, cookie or guest order
        "customer_id": "string",  # login, loyalty id or case
        "event_type": "string",  # what was done
        "actor": "string",  # one of ACTORS
        "channel": "string",  # where it was done
        "session_id": "string",
        "value_cents": "int64",  # money, in hundredths of the source's currency unit
    },
    nullable=frozenset({"superseded_time", "anonymous_id", "customer_id", "channel", "session_id", "value_cents"}),
    families=ATTRIBUTES,
)

REJECTS = Table(
    name="rejects",
    grain="one delivered row that was refused, and why",
    key=("source", "file", "line"),
    columns={
        "source": "string",  # the feed
        "file": "string",  # below the landing folder
        "line": "int64",  # of a text file, its header counted; row of a Parquet file
        "rule": "string",  # which rule it broke; `left_out`: the mapping does not want it
        "reason": "string",  # in words, with the value
    },
)

# The customer acted with both; an event of others carried both; a file of links says so; a model of records holds it
# likely; from then on no event says so any more; from then on none of these counts.
LINK_KINDS = ("login", "mention", "alias", "linkage", "withdraw", "erase")

LINKS = Table(
    name="links",
    grain="two identifiers known to be one person from a moment on",
    key=("id_a", "id_b", "known_time", "kind"),
    columns={
        "id_a": "string",  # `anonymous:` or `customer:`, then the id
        "id_b": "string",
        "kind": "string",  # one of LINK_KINDS
        "known_time": TIME,  # from when on it counts
        "source": "string",  # the feed that told of it first
        "probability": "float64",  # of a linkage
    },
    nullable=frozenset({"probability"}),
)

IDENTIFIERS = Table(
    name="identifiers",
    grain="one identifier known before tonight's cut-off, and whose it is",
    key=("id",),
    columns={
        "id": "string",  # `anonymous:` or `customer:`, then the id
        "person_id": "string",  # the person as known before the cut-off: the one of the other tables
        "hindsight_person_id": "string",  # the person by every link known today; never used for features
        "known_from": TIME,  # when the identifier was first known
    },
)

# The whole old person is part of the new one; only some of its ids are; so only because a link was erased.
CHANGE_KINDS = ("merge", "split", "erase")

PERSON_CHANGES = Table(
    name="person_changes",
    grain="identifiers that were one person's the night before and are another's on a night",
    key=("night", "old_person_id", "new_person_id"),
    columns={
        "night": TIME,  # midnight UTC; the night before is the midnight before
        "old_person_id": "string",  # whose they were
        "new_person_id": "string",  # whose they are
        "kind": "string",  # one of CHANGE_KINDS: the whole old person, some of its ids, and so by an erasure
    },
)

JOURNEYS = Table(
    name="journeys",
    grain="one visit of one person to one stage",
    key=("person_id", "visit"),
    columns={
        "person_id": "string",
        "visit": "int32",  # 1 for the first
        "stage": "string",
        "entered_time": TIME,
        "left_time": TIME,  # null while the person is still there
        "n_events": "int32",
        "is_regression": "bool",  # entered from a stage further down the designed path
        "is_reentry": "bool",  # entered again after having left it
        "is_detour": "bool",  # entered by a transition that the designed path does not allow
    },
    nullable=frozenset({"left_time"}),
)

# A prediction point is a person at a cut-off; where every event is one, the prefix length tells them apart.
POINT = {
    "person_id": "string",  # `customer:` or `anonymous:`, then the id
    "cutoff_time": TIME,  # only what had happened and was known before it counts
    "prefix_length": "int32",  # events of the person that the point sees
}

FEATURES = Table(
    name="features",
    grain="one person as seen at one cut-off",
    key=("person_id", "cutoff_time", "prefix_length"),
    columns={
        **POINT,
        "stage": "string",  # where the person is
        "stage_since": TIME,  # since when
    },
    families={"f_": "float32"},
)

TONIGHT = Table(
    name="tonight",
    grain="one person as seen tonight: a row of features, and what those that move with the clock are worked out from",
    key=FEATURES.key,
    columns=FEATURES.columns,
    families={**FEATURES.families, "base_": "float64"},
)

LABEL_STATUS = ("mature", "immature", "not_applicable")

TARGETS = Table(
    name="targets",
    grain="what one person did after one cut-off, in the horizon and until they came back",
    key=("person_id", "cutoff_time", "prefix_length"),
    columns={
        **POINT,
        "next_stage": "string",  # a stage, `stay` or `end`
        "next_stage_status": "string",  # one of LABEL_STATUS; not_applicable where the person was silent
        "is_silent": "bool",  # no activity, or none of the configured event types, in the horizon
        "churn_status": "string",  # one of LABEL_STATUS
        "return_days": "float64",  # days from the cut-off to the first event that ended the silence; null for none
        "observed_days": "float64",  # how long that was watched: to the end of what may train, or the longest horizon
        "fold": "string",  # train, test or embargo
        "split_rank": "int64",  # place in the order by which the split deals out nights or cases, the first trains
    },
    nullable=frozenset({"next_stage", "is_silent", "return_days"}),
)

PREDICTIONS = Table(
    name="predictions",
    grain="one person's forecast at one cut-off",
    key=("person_id",),
    columns={
        "person_id": "string",
        "cutoff_time": TIME,
        "stage": "string",  # where the person is
        "stage_since": TIME,  # since when
        "p_stay": "float64",  # probability of being active and reaching no other stage within the horizon
        "next_stage": "string",  # the likeliest of stay, the next stages and silent
        # Given a return within the longest horizon, half do by this day after the cut-off; of whether anybody returns
        # it says nothing. Null where the champion is of a version that knew one horizon only.
        "return_days": "float64",
        "return_days_low": "float64",  # given a return within the longest horizon: one in ten come by this day
        "return_days_high": "float64",  # given a return within the longest horizon: nine in ten come by this day
        "reason_1": "string",  # what moved the forecast most, which way and how far; empty where nothing did
        "reason_2": "string",
        "reason_3": "string",
        "model_version_next_stage": "string",
        "model_version_churn": "string",
        "data_version": "string",  # hash of the events that could be known
        "mlflow_run_id_next_stage": "string",  # the runs that remember the models
        "mlflow_run_id_churn": "string",
        "scored_at_cutoff": TIME,  # the newest event that could be known then
    },
    nullable=frozenset({"return_days", "return_days_low", "return_days_high"}),
    families={"p_silent_": "float64", "p_next_": "float64"},
)

REASONS = Table(
    name="reasons",
    grain="how far each group of features moved one forecast of one person, of those who are given reasons",
    key=("person_id", "target"),
    columns={
        "person_id": "string",
        "target": "string",  # churn: whether silent within the horizon; next_stage: where to, given activity
        "outcome": "string",  # what is explained: `silent`, or the likeliest of stay and the next stages
        "log_odds": "float64",  # of the outcome; infinite where no other is possible: `base` + all columns `by_`
        "base": "float64",  # the log-odds of an average case
        "reason_1": "string",  # the group that moved it most, in words; empty where nothing did
        "reason_2": "string",
        "reason_3": "string",
        "points_1": "float64",  # percentage points by which the published probability would differ without the group
        "points_2": "float64",
        "points_3": "float64",
    },
    families={"by_": "float64"},
)

BASELINE = Table(
    name="baseline",
    grain="what the best baselines forecast of one person at one cut-off",
    key=("person_id",),
    columns={
        "person_id": "string",
        "p_stay": "float64",  # this and what follows as in the predictions
    },
    families={"p_silent_": "float64", "p_next_": "float64"},
)

ROLES = ("champion", "baseline")

REALISED = Table(
    name="realised",
    grain="how one model's forecasts of one target on one past night came out",
    key=("source", "cutoff_time", "target", "role"),
    columns={
        "source": "string",  # whose night it was
        "cutoff_time": TIME,  # the night
        "target": "string",  # next_stage or churn
        "role": "string",  # one of ROLES: the model that scored, and the best baseline of its day
        "model": "string",  # its name
        "version": "string",  # of the model
        "known_until": TIME,  # what became known at or after this is not part of what happened
        "n": "int64",  # persons graded
        "log_loss": "float64",
        "brier": "float64",
        "auc": "float64",  # of churn, where some went silent and some did not
        "ece": "float64",  # expected calibration error, over ten bins of equally many persons
        "predicted": "float64",  # mean probability of silence, or of the likeliest next stage
        "observed": "float64",  # share of persons for whom it came true
        "forecast_sha256": "string",  # of the file that was graded
    },
    nullable=frozenset({"auc"}),
)

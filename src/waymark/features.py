"""What was known of a person before a cut-off, as one row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark import schema
from waymark.catalogue import Feature
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig
from waymark.console import progress
from waymark.custom import compute
from waymark.errors import InputError
from waymark.eventlog import EventLog, group_by_person, micro, read_log
from waymark.feature_groups import feature_table
from waymark.feature_rows import Row
from waymark.file_watch import opened_files
from waymark.identity import Identities
from waymark.journeys import StageMap
from waymark.lots import lots
from waymark.moving import Moves
from waymark.points import Points, every_event, in_population, latest_event, snapshot
from waymark.vocabulary import Vocabulary, learn_vocabulary
from waymark.walking import CHUNK, moves_of, walk_points
from waymark.walks import Result

with opened_files() as OPENED_ON_IMPORT:  # for leakcheck: a table read here could hold the future
    import custom_features  # noqa: F401 - registers what `features.custom` may name

# Rows of a night that go into those of `schema.TONIGHT`.
WINDOWS = schema.Table(
    name="windows",
    grain="one person without news whose windows may have moved: the features that count what is in windows",
    key=("person_id",),
    columns={"person_id": "string"},
    families=schema.FEATURES.families,
)
NO_CUTOFF = "no training cut-off; see split.n_train, split.min_history_days and targets.horizon_days"


def build_training_features(
    events: pd.DataFrame,
    links: pd.DataFrame,
    cutoff_times: Iterable[pd.Timestamp],
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    rules: IdentityConfig | None = None,
    vocabulary: Vocabulary | None = None,
    learn_until: pd.Timestamp | None = None,
) -> tuple[pd.DataFrame, list[Feature], Vocabulary]:
    """Describe every person of the population at every training point.

    Parameters
    ----------
    events, links
        Rows of `schema.EVENTS` and `schema.LINKS`, in any order.
    cutoff_times
        The nights to look back at; not used where every event is a point.
    as_of
        End of what training may see.
    journey, settings
        The stages, and which features are built at which points.
    rules
        How identifiers become persons.
    vocabulary
        The categories; without one they are learnt.
    learn_until
        End of what they are learnt from; `as_of` by default.

    Returns
    -------
    features : pandas.DataFrame
        Rows of `schema.FEATURES`.
    catalogue : list of Feature
        What each of its `f_` columns is.
    vocabulary : Vocabulary
        The categories, for scoring with the same ones.
    """
    log = read_log(events, links, rules)
    if vocabulary is None:
        until = micro(learn_until or as_of)
        vocabulary = learn_vocabulary(log, StageMap(log, journey), settings, until)
    ends = [as_of] if settings.points == "every_event" else progress(list(cutoff_times), "features")
    parts = [describe_past(log, end, journey, settings, vocabulary) for end in ends]
    if not parts:
        raise InputError(NO_CUTOFF)
    return pa.concat_tables(rows for rows, _ in parts).to_pandas(), parts[0][1], vocabulary


def describe_past(
    log: EventLog,
    end: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
    is_drawn: np.ndarray | None = None,
) -> tuple[pa.Table, list[Feature]]:
    """Describe everybody of the population at a past night, or at every event before a time.

    Parameters
    ----------
    log
        Events of whole persons.
    end
        The night; where every event is a point, the end of those that are described.
    journey, settings, vocabulary
        As for `build_training_features`.
    is_drawn
        Which persons, by their codes; everybody by default. See `draw`.

    Returns
    -------
    features : pyarrow.Table
        Rows of `schema.FEATURES`.
    catalogue : list of Feature
        What each of its `f_` columns is.
    """
    make = every_event if settings.points == "every_event" else snapshot
    points = make(log, StageMap(log, journey), micro(end))
    if is_drawn is not None:
        points = points.keep(is_drawn[points.grouped.persons[points.group]])
    return describe(points.keep(in_population(points, settings.population, points.cutoff)), settings, vocabulary)


def draw(identities: Identities, n_halvings: int, as_of: int) -> np.ndarray | None:
    """Draw a half of a half ... of all persons by their `lots` as of a time (microseconds).

    Returns
    -------
    numpy.ndarray or None
        bool, by the code of an identifier: who is drawn on any night up to `as_of`; None where all are. Whoever is of
        the half of a half is of the half, too.
    """
    if not n_halvings:
        return None
    return lots(identities, as_of, "whoever may help") >> np.uint64(64 - n_halvings) == 0


def count_halvings(n_points: int, at_most: int | None) -> int:
    """Return how often `draw` has to halve for at most so many of `n_points` training points, about."""
    return 0 if at_most is None or n_points <= at_most else math.ceil(math.log2(n_points / at_most))


def count_points(log: EventLog, ends: Sequence[pd.Timestamp], settings: FeaturesConfig) -> int:
    """Return how many training points `log` has at most: its events, or its last persons at each cut-off."""
    last = micro(ends[-1])
    if settings.points == "every_event":
        return len(log.first_told(last))
    return len(ends) * len(group_by_person(log, log.visible(last), last).persons)


def build_features(
    events: pd.DataFrame,
    links: pd.DataFrame,
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary | None = None,
    rules: IdentityConfig | None = None,
) -> tuple[pd.DataFrame, list[Feature]]:
    """Describe every person of the population as of one cut-off.

    Parameters
    ----------
    events, links
        Rows of `schema.EVENTS` and `schema.LINKS`, in any order.
    cutoff_time
        Only events that had happened, and events and links that were known, before it count.
    journey, settings
        The stages, and which features are built. Where every event is a point, the row describes the person right
        after the latest event.
    vocabulary
        The categories; without one they are learnt from what was known before the cut-off.
    rules
        How identifiers become persons.

    Returns
    -------
    features : pandas.DataFrame
        Rows of `schema.FEATURES`; persons outside the population are absent.
    catalogue : list of Feature
        What each of its `f_` columns is.
    """
    log = read_log(events, links, rules)
    if vocabulary is None:
        vocabulary = learn_vocabulary(log, StageMap(log, journey), settings, micro(cutoff_time))
    rows, catalogue = describe_tonight(log, cutoff_time, journey, settings, vocabulary)
    return rows.to_pandas(), catalogue


def describe_tonight(
    log: EventLog,
    cutoff_time: pd.Timestamp,
    journey: JourneyConfig,
    settings: FeaturesConfig,
    vocabulary: Vocabulary,
) -> tuple[pa.Table, list[Feature]]:
    """Describe everybody of the population as of one cut-off; see `build_features`. `log` holds whole persons."""
    points = points_tonight(log, cutoff_time, journey, settings)
    features, result = _read_out(points, settings, vocabulary)
    return _as_of(cutoff_time, assemble(points, features, result)), features


def points_tonight(
    log: EventLog, cutoff_time: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig
) -> Points:
    """Return the point of everybody of the population as of one cut-off; `log` holds whole persons."""
    cutoff, are_events = micro(cutoff_time), settings.points == "every_event"
    points = (latest_event if are_events else snapshot)(log, StageMap(log, journey), cutoff)
    return points.keep(in_population(points, settings.population, np.full(len(points), cutoff)))


def with_bases(points: Points, cutoff_time: pd.Timestamp, settings: FeaturesConfig, vocabulary: Vocabulary) -> pa.Table:
    """Return rows of `schema.TONIGHT` for some of `points_tonight`, whose missing numbers are NaN.

    Where every event is a point they have no bases: what moves with the clock stays what it was right after the latest
    event.
    """
    features, result = _read_out(points, settings, vocabulary, keep_bases=settings.points != "every_event")
    rows = assemble(points, features, result, are_null=False)
    for i, values in enumerate(result.bases):
        rows = rows.append_column(f"base_{i:03d}", pa.array(values))
    return _as_of(cutoff_time, rows)


def in_windows(
    log: EventLog, cutoff_time: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig, vocabulary: Vocabulary
) -> pa.Table:
    """Return rows of `WINDOWS` for the persons of a log, whether they are of the population or not.

    The log holds what happened to them from `windows_begin` on, or more.
    """
    rows = _with_windows(settings, vocabulary)
    points = snapshot(log, StageMap(log, journey), micro(cutoff_time))
    values = walk_points(points, [row.measure for row in rows], vocabulary, tell_stage=False).values
    numbers = {row.feature.column: pa.array(v) for row, v in zip(rows, values, strict=True)}
    return pa.table({"person_id": _person_ids(points), **numbers})


def windows_tonight(settings: FeaturesConfig, vocabulary: Vocabulary) -> set[int]:
    """Return the windows, in days before the cut-off, that features of `describe_tonight` look back for.

    Where every event is a point there is none: they look back from the latest event.
    """
    are_events = settings.points == "every_event"
    return set() if are_events else {row.measure.operands[1] for row in _with_windows(settings, vocabulary)}


def windows_begin(since: int, gap: int | None, settings: FeaturesConfig, vocabulary: Vocabulary) -> int | None:
    """Return from when on events have a say in what windows count at `since`, or later (microseconds); None: all have.

    For `gap` see `Track.looks_back`.
    """
    begins = [row.measure.begins(since, gap) for row in _with_windows(settings, vocabulary)]
    return None if None in begins else min(begins, default=since)


def _with_windows(settings: FeaturesConfig, vocabulary: Vocabulary) -> list[Row]:
    return [row for row in feature_table(settings, vocabulary) if row.measure and row.measure.has_window]


def _as_of(cutoff_time: pd.Timestamp, rows: pa.Table) -> pa.Table:
    place = rows.column_names.index("cutoff_time")
    return rows.set_column(place, "cutoff_time", _times(np.full(len(rows), micro(cutoff_time))))


def describe(
    points: Points, settings: FeaturesConfig, vocabulary: Vocabulary, size: int = CHUNK
) -> tuple[pa.Table, list[Feature]]:
    """Return rows of `schema.FEATURES` for prediction points, and what their `f_` columns are.

    Walks take about `size` events at a time, which changes no byte.
    """
    features, result = _read_out(points, settings, vocabulary, size)
    return assemble(points, features, result), features


def _read_out(
    points: Points, settings: FeaturesConfig, vocabulary: Vocabulary, size: int = CHUNK, *, keep_bases: bool = False
) -> tuple[list[Feature], Result]:
    """Return the features, and what they are at each point."""
    rows = feature_table(settings, vocabulary)
    result = walk_points(points, [row.measure for row in rows], vocabulary, size, keep_bases=keep_bases)
    for row, values in zip(rows, result.values, strict=True):
        if isinstance(row.source, str):
            values[:] = compute(row.source, points)
    return [row.feature for row in rows], result


def moves_tonight(settings: FeaturesConfig, vocabulary: Vocabulary) -> Moves:
    """Return how the features of `describe_tonight` that have bases move, by their places among all."""
    if settings.points == "every_event":
        return Moves([])
    return moves_of([row.measure for row in feature_table(settings, vocabulary)])


def assemble(points: Points, features: Sequence[Feature], result: Result, *, are_null: bool = True) -> pa.Table:
    """Return rows of `schema.FEATURES`, whose features are the rows of `result.values`, without a copy of those.

    What is missing is null, or NaN where not `are_null`.
    """
    column = numbers if are_null else pa.array
    return pa.table(
        {
            "person_id": _person_ids(points),
            "cutoff_time": _times(points.cutoff),
            "prefix_length": (points.end - points.first).astype(np.int32),
            "stage": pa.array(points.stage_map.stages, pa.string()).take(pa.array(result.stage)),
            "stage_since": _times(result.entered),
            **{f.column: column(values) for f, values in zip(features, result.values, strict=True)},
        }
    )


def _person_ids(points: Points) -> pa.Array:
    return points.log.identities.names.take(pa.array(points.grouped.persons[points.group]))


def _times(microseconds: np.ndarray) -> pa.Array:
    return pa.array(microseconds.view("datetime64[us]"), schema.ARROW[schema.TIME])


def numbers(values: np.ndarray) -> pa.Array:
    """Return contiguous floats as Arrow has them, NaN as null, without a copy."""
    is_missing = np.isnan(values)
    n_missing = np.count_nonzero(is_missing)
    known = pa.py_buffer(np.packbits(~is_missing, bitorder="little")) if n_missing else None
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [known, pa.py_buffer(values)], n_missing)

"""What was known of a person before a cut-off, as one row."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from itertools import chain, count

import numpy as np
import pandas as pd

from waymark.catalogue import Feature
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig
from waymark.console import progress
from waymark.errors import InputError
from waymark.eventlog import micro, read_log
from waymark.feature_groups import CORE, GROUPS
from waymark.file_watch import opened_files
from waymark.journeys import StageMap
from waymark.points import Points, every_event, in_population, latest_event, snapshot
from waymark.vocabulary import Vocabulary, learn_vocabulary

with opened_files() as OPENED_ON_IMPORT:  # for leakcheck: a table read here could hold the future
    import custom_features  # noqa: F401 - registers what `features.custom` may name


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
    stage_map = StageMap(log, journey)
    vocabulary = vocabulary or learn_vocabulary(log, stage_map, settings, micro(learn_until or as_of))
    if settings.points == "every_event":
        nights = [every_event(log, stage_map, micro(as_of))]
    else:
        nights = (snapshot(log, stage_map, micro(t)) for t in progress(list(cutoff_times), "features"))
    parts = []
    for points in nights:
        is_in = in_population(points, settings.population, points.cutoff)
        parts.append(_describe(points.keep(is_in), settings, vocabulary))
    if not parts:
        raise InputError("no training cut-off; see split.n_train, split.min_history_days and targets.horizon_days")
    frame = pd.concat([frame for frame, _ in parts], ignore_index=True)
    return frame, parts[0][1], vocabulary


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
    stage_map = StageMap(log, journey)
    cutoff = micro(cutoff_time)
    vocabulary = vocabulary or learn_vocabulary(log, stage_map, settings, cutoff)
    points = (latest_event if settings.points == "every_event" else snapshot)(log, stage_map, cutoff)
    points = points.keep(in_population(points, settings.population, np.full(len(points), cutoff)))
    frame, catalogue = _describe(points, settings, vocabulary)
    return frame.assign(cutoff_time=pd.Timestamp(cutoff_time).as_unit("us")), catalogue


def _describe(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> tuple[pd.DataFrame, list[Feature]]:
    unknown = sorted(set(settings.groups) - set(GROUPS))
    if unknown:
        raise InputError(f"features.groups has no {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    columns: dict[str, np.ndarray] = {}
    catalogue: list[Feature] = []
    for group in (g for g in GROUPS if g in settings.groups or g in CORE):
        for feature, values in GROUPS[group](points, settings, vocabulary):
            if group in settings.groups or (feature.name in CORE[group] and feature.column not in columns):
                catalogue.append(_distinct(feature, columns))
                columns[catalogue[-1].column] = np.asarray(values, np.float32)
    names = np.array(points.stage_map.stages, object)
    keys = {
        "person_id": pd.array(points.person_ids, "str"),
        "cutoff_time": _times(points.cutoff),
        "prefix_length": (points.end - points.first).astype(np.int32),
        "stage": pd.array(names[points.stage[points.last]], "str"),
        "stage_since": _times(points.stage_since),
    }
    return pd.DataFrame({**keys, **columns}), catalogue


def _distinct(feature: Feature, taken: Container[str]) -> Feature:
    """Return `feature` with a name of its own: data may call an event type or an attribute as we call a feature."""
    names = chain([feature.name], (f"{feature.name}_{n}" for n in count(2)))
    return next(f for f in (replace(feature, name=name) for name in names) if f.column not in taken)


def _times(microseconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.astype("datetime64[us]")).tz_localize("UTC")

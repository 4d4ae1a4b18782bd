"""The features, group by group: each function yields what a feature is together with its values.

`GROUPS` names the groups as `conf/features/` does. To add a feature, yield it from its group. The words of a count
begin with what is counted, in the plural: reasons put the number before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from waymark import kernels
from waymark.catalogue import Feature
from waymark.config import FeaturesConfig
from waymark.custom import compute
from waymark.eventlog import recode
from waymark.journeys import DETOURS, ENTRY, REENTRIES, REGRESSIONS, VISITS
from waymark.points import Points
from waymark.vocabulary import Vocabulary, transition_names

Yields = Iterator[tuple[Feature, np.ndarray]]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAYPARTS = ("0-4 h", "4-8 h", "8-12 h", "12-16 h", "16-20 h", "20-24 h")
_HOUR = 3_600_000_000
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


def slugs(names: Sequence[str]) -> list[str]:
    """Turn names into distinct words of ASCII letters, digits and underscores, fit for a column."""
    taken: set[str] = set()
    out = []
    for i, name in enumerate(names):
        slug = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or str(i)
        while slug in taken:
            slug = f"{slug}_{i}"
        taken.add(slug)
        out.append(slug)
    return out


def category(codes: np.ndarray) -> np.ndarray:
    """Return category codes as floats, NaN for -1."""
    return np.where(codes >= 0, codes, np.nan)


def _types(points: Points, categories: Sequence[str]) -> np.ndarray:
    return recode(points.log.event_type[points.grouped.index], points.log.event_types, categories)


def _channels(points: Points, categories: Sequence[str]) -> np.ndarray:
    return recode(points.log.channel[points.grouped.index], points.log.channels, categories)


def _activity(points: Points) -> np.ndarray:
    return np.where(points.is_customer, 0, -1)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _spans(settings: FeaturesConfig) -> list[tuple[str, str]]:
    """Return what `Points.window_sums` adds up over: its name in a column, and in words."""
    return [*((f"{days}d", f"in the last {_days(days)}") for days in settings.windows_days), ("ever", "so far")]


def _days(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


def counts(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """How often a person did, or met with, each thing."""
    types = vocabulary.counted_types
    sums = points.window_sums(_types(points, types), len(types), settings.windows_days)
    own = points.window_sums(_activity(points), 1, settings.windows_days)[:, :, 0]
    for w, (span, when) in enumerate(_spans(settings)):
        yield Feature(f"n_activities_{span}", "counts", f"activities {when}", "count"), own[:, w]
        for c, slug in enumerate(slugs(types)):
            words = f"events of type {types[c]} {when}"
            yield Feature(f"n_{slug}_{span}", "counts", words, "count"), sums[:, w, c]


def values(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """How much money was in it; an event of value 0 had none."""
    value = points.log.value_cents[points.grouped.index]
    any_type = np.where(value != 0, 0, -1)
    sums = points.window_sums(any_type, 1, settings.windows_days, value)[:, :, 0]
    yield Feature("value_cents_ever", "values", "value so far", "cents"), sums[:, -1]
    types = vocabulary.valued_types
    if not types:
        return
    for w, days in enumerate(settings.windows_days):
        yield Feature(f"value_cents_{days}d", "values", f"value in the last {_days(days)}", "cents"), sums[:, w]
    n = points.window_sums(any_type, 1, [])[:, 0, 0]
    yield Feature("mean_value_cents", "values", "mean value of an event", "cents"), _share(sums[:, -1], n)
    here, _ = _latest_two(points, any_type)
    at = here[points.last]
    yield Feature("last_value_cents", "values", "the latest value", "cents"), np.where(at >= 0, value[at], np.nan)
    if len(types) == 1:  # its sums are those above; twins would share the credit of one cause
        return
    sums = points.window_sums(_types(points, types), len(types), settings.windows_days, value)
    for w, (span, when) in enumerate(_spans(settings)):
        for c, slug in enumerate(slugs(types)):
            words = f"value of {types[c]} events {when}"
            yield Feature(f"value_cents_{slug}_{span}", "values", words, "cents"), sums[:, w, c]


def recency(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """How long ago a person did, or met with, each thing."""
    own = points.days_since(_activity(points), 1)[:, 0]
    yield Feature("days_since_last_activity", "recency", "days since the last activity", "days"), own[:, 1]
    yield Feature("tenure_days", "recency", "days since the first activity", "days"), own[:, 0]
    types = vocabulary.counted_types
    since = points.days_since(_types(points, types), len(types))
    for c, slug in enumerate(slugs(types)):
        yield Feature(f"days_since_last_{slug}", "recency", f"days since the last {types[c]}", "days"), since[:, c, 1]


def gaps(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """The rhythm of a person's activities, and the present silence against it."""
    state = kernels.gap_states(points.grouped.starts, points.grouped.time, points.is_customer)[points.last]
    mean, sd, last = state[:, 0], state[:, 1], state[:, 2]
    silence = points.days_since(_activity(points), 1)[:, 0, 1]
    yield Feature("mean_gap_days", "gaps", "mean time between activities", "days"), mean
    yield Feature("sd_gap_days", "gaps", "spread of the time between activities", "days"), sd
    yield Feature("last_gap_days", "gaps", "days between the last two activities", "days"), last
    yield Feature("last_gap_over_mean", "gaps", "last gap against the person's mean gap", "ratio"), _ratio(last, mean)
    yield (
        Feature("silence_over_mean_gap", "gaps", "silence against the person's mean gap", "ratio"),
        _ratio(silence, mean),
    )


def last_k(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """The latest events one by one, the latest first, and the time between them."""
    types = _types(points, vocabulary.type_categories)
    time = points.grouped.time
    for k in range(1, settings.last_k + 1):
        at = points.end - k
        there = at >= points.first
        words = "the latest event" if k == 1 else f"the event {k - 1} before the latest"
        yield (
            Feature(f"last_type_{k}", "last_k", words, "category", vocabulary.type_categories),
            category(np.where(there, types[np.maximum(at, 0)], -1)),
        )
        if k > 1:
            gap = np.where(
                there, (time[np.clip(at + 1, 0, len(time) - 1)] - time[np.maximum(at, 0)]) / kernels.DAY, np.nan
            )
            yield Feature(f"event_gap_{k - 1}_days", "last_k", f"days between {words} and the next", "days"), gap


def transitions(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """The latest changes of stage, in pairs and in threes."""
    stage, state = points.stage[points.last], points.state[points.last]
    one, two = transition_names(points.stage_map.stages, stage, state)
    for name, words, found, known in (
        ("last_transition", "the latest change of stage", one, vocabulary.transitions),
        ("last_two_transitions", "the sequence of the latest three stages", two, vocabulary.two_transitions),
    ):
        distinct, codes = np.unique(found.astype(str), return_inverse=True)
        position = recode(codes, distinct, known)
        yield Feature(name, "transitions", words, "category", known), category(np.where(found == "", -1, position))


def stage(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """Where a person is on the journey, and how straight the way there was."""
    state, last = points.state[points.last], points.last
    names = np.array(points.stage_map.stages, object)
    known = vocabulary.stages
    codes = recode(points.stage, names, known)
    yield Feature("stage", "stage", "the present stage", "category", known), category(codes[last])
    before = recode(state[:, 1], names, known)
    yield Feature("previous_stage", "stage", "the stage before", "category", known), category(before)
    in_stage = (points.cutoff - points.stage_since) / kernels.DAY
    yield Feature("days_in_stage", "stage", "days in the present stage", "days"), in_stage
    yield Feature("n_events_in_stage", "stage", "events in the present stage", "count"), last - state[:, ENTRY] + 1
    for name, words, column in (
        ("n_visits", "visits to stages so far", VISITS),
        ("n_regressions", "steps back along the path so far", REGRESSIONS),
        ("n_reentries", "returns to an earlier stage so far", REENTRIES),
        ("n_detours", "steps off the path so far", DETOURS),
    ):
        yield Feature(name, "stage", words, "count"), state[:, column]
    entries = np.where(points.state[:, ENTRY] == np.arange(len(points.stage)), codes, -1)
    visits = points.window_sums(entries, len(known), [])[:, 0]
    for c, slug in enumerate(slugs(known)):
        yield Feature(f"n_visits_to_{slug}", "stage", f"visits to the stage {known[c]} so far", "count"), visits[:, c]


def channels(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """Where it happened: an attribute of what happened."""
    known = vocabulary.counted_channels
    if not known:
        return
    codes = _channels(points, known)
    sums = points.window_sums(codes, len(known), [])[:, 0]
    for c, slug in enumerate(slugs(known)):
        share = _share(sums[:, c], sums.sum(axis=1))
        yield Feature(f"share_channel_{slug}", "channels", f"share of {known[c]} among channels", "share"), share
    yield Feature("n_channels", "channels", "channels used so far", "count"), (sums > 0).sum(axis=1)
    own = np.where(points.is_customer, codes, -1)
    here, earlier = _latest_two(points, own)
    switched = np.where((own >= 0) & (earlier >= 0) & (own[earlier] != own), 0, -1)
    switches = points.window_sums(switched, 1, [])[:, 0, 0]
    yield Feature("n_channel_switches", "channels", "changes of channel so far", "count"), switches
    categories = vocabulary.channel_categories
    last = _channels(points, categories)[here[points.last]]
    yield (
        Feature("last_channel", "channels", "the latest channel", "category", categories),
        category(np.where(here[points.last] >= 0, last, -1)),
    )


def calendar(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """When in the day and the week a person acts, and when the forecast is made. All in UTC."""
    time = points.grouped.time
    total = points.window_sums(_activity(points), 1, [])[:, 0, 0]
    daypart = np.where(points.is_customer, time // (4 * _HOUR) % 6, -1)
    parts = points.window_sums(daypart, 6, [])[:, 0]
    for c, slug in enumerate(slugs(DAYPARTS)):
        yield (
            Feature(f"share_{slug}", "calendar", f"share of activities at {DAYPARTS[c]} UTC", "share"),
            _share(parts[:, c], total),
        )
    weekday = np.where(points.is_customer, (time // kernels.DAY + _EPOCH_WEEKDAY) % 7, -1)
    days = points.window_sums(weekday, 7, [])[:, 0]
    for c, name in enumerate(WEEKDAYS):
        yield (
            Feature(f"share_{name.lower()}", "calendar", f"share of activities on {name}s", "share"),
            _share(days[:, c], total),
        )
    today = (points.cutoff // kernels.DAY + _EPOCH_WEEKDAY) % 7
    yield (
        Feature("cutoff_weekday", "calendar", "the weekday of the forecast", "category", WEEKDAYS),
        today.astype(float),
    )
    if settings.points == "every_event":
        hour = points.cutoff % kernels.DAY / _HOUR
        yield Feature("cutoff_hour", "calendar", "the time of the latest event", "hours"), hour


def decays(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """Counts that forget: an event is worth one half for every half-life of its age."""
    types = vocabulary.counted_types
    grouped = points.grouped
    for days in settings.half_lives_days:
        half_life = float(days * kernels.DAY)
        for names, codes in ((("activities",), _activity(points)), (types, _types(points, types))):
            level = kernels.decayed_counts(
                points.first, points.end, points.cutoff, grouped.time, codes.astype(np.int32), half_life, len(names)
            )
            for c, slug in enumerate(slugs(names)):
                prefix, what = ("decayed_n", "events of type ") if names is types else ("decayed_all", "")
                words = f"{what}{names[c]}, halved every {_days(days)}"
                yield Feature(f"{prefix}_{slug}_{days}d", "decays", words, "count"), level[:, c]


def sessions(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """How a person's activities bunch: by the source's session ids, else by gaps longer than the journey allows."""
    starts = _session_starts(points)
    sums = points.window_sums(np.where(starts, 0, -1), 1, settings.windows_days)[:, :, 0]
    for w, (span, when) in enumerate(_spans(settings)):
        yield Feature(f"n_sessions_{span}", "sessions", f"sessions {when}", "count"), sums[:, w]
    activities = points.window_sums(_activity(points), 1, [])[:, 0, 0]
    yield (
        Feature("activities_per_session", "sessions", "activities in a session", "count"),
        _share(activities, sums[:, -1]),
    )


def _session_starts(points: Points) -> np.ndarray:
    """Say which of the grouped events begin a session, (n_events,) bool."""
    own = points.is_customer
    session = points.log.session[points.grouped.index]
    _, earlier = _latest_two(points, np.where(own, 0, -1))
    gap = points.grouped.time - points.grouped.time[earlier]
    long = gap > points.stage_map.journey.session_gap_minutes * 60_000_000
    same_id = (session >= 0) & (session == session[earlier])
    both_ids = (session >= 0) & (session[earlier] >= 0)
    return own & ((earlier < 0) | np.where(both_ids, ~same_id, long))


def attributes(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """Whatever else the mapping keeps: last values, and how they mix."""
    log, grouped = points.log, points.grouped
    names = [*vocabulary.attributes, *vocabulary.numbers]
    for i, (name, slug) in enumerate(zip(names, slugs(names), strict=True)):
        if i < len(vocabulary.attributes):
            yield from _attribute(points, name, slug, settings, vocabulary.attributes[name])
        else:
            value = log.numbers.get(name, np.full(len(log), np.nan))[grouped.index]
            here, _ = _latest_two(points, np.where(np.isnan(value), -1, 0))
            at = here[points.last]
            yield (
                Feature(f"last_{slug}", "attributes", f"the latest {name}", "number", attribute=name),
                np.where(at >= 0, value[at], np.nan),
            )
            mean = kernels.running_means(grouped.starts, value)[points.last]
            yield Feature(f"mean_{slug}", "attributes", f"the mean {name}", "number", attribute=name), mean


def _attribute(points: Points, name: str, slug: str, settings: FeaturesConfig, known: tuple[str, ...]) -> Yields:
    if name in points.log.attributes:
        codes, names = points.log.attributes[name]
        code = recode(codes[points.grouped.index], names, known)
    else:  # a source that tonight delivers no such column
        code = np.full(len(points.stage), -1, np.int32)
    here, earlier = _latest_two(points, code)
    at = here[points.last]
    before = np.where(at >= 0, earlier[at], -1)
    yield (
        Feature(f"last_{slug}", "attributes", f"the latest {name}", "category", known, name),
        category(np.where(at >= 0, code[at], -1)),
    )
    yield (
        Feature(f"last_{slug}_before", "attributes", f"the {name} before the latest", "category", known, name),
        category(np.where(before >= 0, code[before], -1)),
    )
    sums = points.window_sums(code, len(known), [])[:, 0]
    for c, mixed in list(enumerate(slugs(known)))[: settings.max_mixed]:
        share = _share(sums[:, c], sums.sum(axis=1))
        words = f"share of {known[c]} in {name}"
        yield Feature(f"share_{slug}_{mixed}", "attributes", words, "share", attribute=name), share


def _latest_two(points: Points, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each event, where its person's latest event with a code was, itself included, and the one before.

    The second array counts from the event itself where that has a code: it is the latest such event strictly before.
    -1 where there is none.
    """
    starts = np.repeat(points.grouped.starts[:-1], np.diff(points.grouped.starts))
    position = np.arange(len(code))
    here = np.maximum.accumulate(np.where(code >= 0, position, -1)) if len(code) else position
    before = np.concatenate([[-1], here[:-1]])[: len(code)]
    return np.where(here >= starts, here, -1), np.where(before >= starts, before, -1)


def custom(points: Points, settings: FeaturesConfig, vocabulary: Vocabulary) -> Yields:
    """What functions of the user's own say; see `waymark.custom`."""
    for name in settings.custom:
        yield compute(name, points)


GROUPS = {
    "counts": counts,
    "values": values,
    "recency": recency,
    "gaps": gaps,
    "last_k": last_k,
    "transitions": transitions,
    "stage": stage,
    "channels": channels,
    "calendar": calendar,
    "decays": decays,
    "sessions": sessions,
    "attributes": attributes,
    "custom": custom,
}

# Group -> what the baselines need of it: built whether the group is on or off.
CORE = {
    "counts": {"n_activities_ever"},
    "values": {"value_cents_ever"},
    "recency": {"days_since_last_activity", "tenure_days"},
    "last_k": {f"last_type_{k}" for k in range(1, 21)},
    "stage": {"stage", "previous_stage"},
}

"""The table of features: each function yields the rows of a group.

A row says what a feature is called, what it is in words, its unit, its categories, and by which measure it is read from
the events: kernels, catalogue, docs/features.md and reasons all come from here. Names and words are patterns: the
braces in `n_{type}_{window}` and in `events of type {type} {window}` take the slug and the words of what the row is
given. The words of a count begin with what is counted, in the plural: reasons put the number before them.

`GROUPS` names the groups as `conf/features/` does. To add a feature, yield a row from its group.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count

from waymark import measures as m
from waymark import tracks
from waymark.config import FeaturesConfig
from waymark.custom import find
from waymark.errors import InputError
from waymark.feature_rows import Row, Rows, Term, row, terms, windows
from waymark.kernels import rhythm as r
from waymark.kernels import stages as s
from waymark.tracks import ACTIVITIES, DAYPARTS, EVERY, SESSIONS, WEEKDAYS, Track
from waymark.vocabulary import Vocabulary
from waymark.walks import VALUE


def of_types(names: tuple[str, ...]) -> Track:
    """Return the track of event types."""
    return Track(tracks.by_type, "events of type {type}", names)


def counts(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """How often a person did, or met with, each thing."""
    types = of_types(known.counted_types)
    for w in windows(settings):
        yield row("n_activities_{window}", "activities {window}", "count", m.n_events(ACTIVITIES, 0, w), window=w)
        for code, t in terms(types.names):
            words, n = "events of type {type} {window}", m.n_events(types, code, w)
            yield row("n_{type}_{window}", words, "count", n, type=t, window=w)


def values(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """How much money was in it; an event of value 0 had none."""
    types = of_types(known.valued_types)
    *recent, ever = windows(settings)
    for w in (ever, *recent) if types.names else (ever,):
        yield row("value_cents_{window}", "value {window}", "cents", m.value(EVERY, 0, w), window=w)
    if not types.names:
        return
    mean = m.mean_number(VALUE, "mean value_cents of the events where it is not 0, so far")
    last = m.latest_number(VALUE, "value_cents of the latest event where it is not 0")
    yield row("mean_value_cents", "mean value of an event", "cents", mean)
    yield row("last_value_cents", "the latest value", "cents", last)
    if len(types.names) == 1:  # its sums are those above; twins would share the credit of one cause
        return
    for w in windows(settings):
        for code, t in terms(types.names):
            words, value = "value of {type} events {window}", m.value(types, code, w)
            yield row("value_cents_{type}_{window}", words, "cents", value, type=t, window=w)


def recency(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """How long ago a person did, or met with, each thing."""
    last = m.days_since_last(f"days from the latest of {ACTIVITIES.words} to the cut-off")
    first = m.days_since_first(f"days from the first of {ACTIVITIES.words} to the cut-off")
    yield row("days_since_last_activity", "days since the last activity", "days", last)
    yield row("tenure_days", "days since the first activity", "days", first)
    types = of_types(known.counted_types)
    for code, t in terms(types.names):
        yield row("days_since_last_{type}", "days since the last {type}", "days", m.days_since(types, code), type=t)


def gaps(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """The rhythm of a person's activities, and the present silence against it."""
    between = "days between activities that follow each other"
    mean = m.of_rhythm(r.MEAN_GAP, f"mean of the {between}")
    spread = m.of_rhythm(r.SD_GAP, f"standard deviation (of the population) of the {between}")
    last = m.of_rhythm(r.LAST_GAP, "days between the latest two activities")
    last_over_mean = m.of_rhythm(r.LAST_OVER_MEAN, "last_gap_days / mean_gap_days")
    silence_over_mean = m.silence_over_mean("days_since_last_activity / mean_gap_days")
    yield row("mean_gap_days", "mean time between activities", "days", mean)
    yield row("sd_gap_days", "spread of the time between activities", "days", spread)
    yield row("last_gap_days", "days between the last two activities", "days", last)
    yield row("last_gap_over_mean", "last gap against the person's mean gap", "ratio", last_over_mean)
    yield row("silence_over_mean_gap", "silence against the person's mean gap", "ratio", silence_over_mean)


def last_k(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """The latest events one by one, the latest first, and the time between them."""
    for k in range(1, settings.last_k + 1):
        event = Term(str(k), "the latest event" if k == 1 else f"the event {k - 1} before the latest")
        types = known.type_categories
        yield row("last_type_{k}", "{k}", "category", m.latest_type(k, types), types, k=event)
        if k > 1:
            words = f"days between {event.words} and the next"
            yield row("event_gap_{k}_days", words, "days", m.latest_gap(k - 1), k=Term(str(k - 1), ""))


def transitions(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """The latest changes of stage, in pairs and in threes."""
    one = m.of_way(s.TRANSITION, "stage before > present stage", known)
    two = m.of_way(s.TWO_TRANSITIONS, "stage before that > stage before > present stage", known)
    yield row("last_transition", "the latest change of stage", "category", one, known.transitions)
    words = "the sequence of the latest three stages"
    yield row("last_two_transitions", words, "category", two, known.two_transitions)


def stage(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """Where a person is on the journey, and how straight the way there was."""
    present = m.of_way(s.STAGE, "stage after the latest event", known)
    previous = m.of_way(s.PREVIOUS, "stage of the visit before the present one", known)
    entered = m.days_in_stage("days from the event that entered the present stage to the cut-off", known)
    yield row("stage", "the present stage", "category", present, known.stages)
    yield row("previous_stage", "the stage before", "category", previous, known.stages)
    yield row("days_in_stage", "days in the present stage", "days", entered)
    for name, words, which, formula in (
        ("n_events_in_stage", "events in the present stage", s.EVENTS_IN_STAGE, "events since the present stage began"),
        ("n_visits", "visits to stages so far", s.VISITS, "visits to stages, the present one included"),
        ("n_regressions", "steps back along the path so far", s.REGRESSIONS, "changes to a stage earlier on the path"),
        ("n_reentries", "returns to an earlier stage so far", s.REENTRIES, "changes to a stage visited before"),
        ("n_detours", "steps off the path so far", s.DETOURS, "changes that `allowed` of the journey does not list"),
    ):
        yield row(name, words, "count", m.of_way(which, f"number of {formula}", known))
    entries = Track(tracks.by_entry, "events that enter the stage {stage}", known.stages)
    for code, t in terms(known.stages):
        yield row(
            "n_visits_to_{stage}", "visits to the stage {stage} so far", "count", m.n_events(entries, code), stage=t
        )


def channels(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """Where it happened: an attribute of what happened."""
    used = Track(tracks.by_channel, "events on {channel}", known.counted_channels)
    if not used.names:
        return
    for code, t in terms(used.names):
        share = m.share(used, code, "events on any of the channels")
        yield row("share_channel_{channel}", "share of {channel} among channels", "share", share, channel=t)
    n_used = m.n_classes(used, "number of channels with an event, so far")
    yield row("n_channels", "channels used so far", "count", n_used)
    switches = Track(tracks.by_switch, f"{ACTIVITIES.words} on another channel than the last", ("switch",), used.names)
    yield row("n_channel_switches", "changes of channel so far", "count", m.n_events(switches))
    own = Track(
        tracks.by_own_channel, f"the channels of {ACTIVITIES.words}", known.channel_categories, used.names, True
    )
    yield row("last_channel", "the latest channel", "category", m.latest(own), own.names)


def calendar(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """When in the day and the week a person acts, and when the forecast is made. All in UTC."""
    parts = Track(tracks.by_daypart, f"{ACTIVITIES.words} at {{daypart}} UTC", DAYPARTS)
    for code, t in terms(DAYPARTS):
        share = m.share(parts, code, ACTIVITIES.words)
        yield row("share_{daypart}", "share of activities at {daypart} UTC", "share", share, daypart=t)
    days = Track(tracks.by_weekday, f"{ACTIVITIES.words} on {{weekday}}s (UTC)", WEEKDAYS)
    for code, name in enumerate(WEEKDAYS):
        t, share = Term(name.lower(), name), m.share(days, code, ACTIVITIES.words)
        yield row("share_{weekday}", "share of activities on {weekday}s", "share", share, weekday=t)
    yield row("cutoff_weekday", "the weekday of the forecast", "category", m.weekday(), WEEKDAYS)
    if settings.points == "every_event":
        yield row("cutoff_hour", "the time of the latest event", "hours", m.hour())


def decays(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """Counts that forget: an event is worth one half for every half-life of its age."""
    types = of_types(known.counted_types)
    for days in settings.half_lives_days:
        h = Term(f"{days}d", f"halved every {m.in_days(days)}")
        own = m.decayed(ACTIVITIES, 0, days)
        yield row("decayed_all_activities_{half_life}", "activities, {half_life}", "count", own, half_life=h)
        for code, t in terms(types.names):
            words, level = "events of type {type}, {half_life}", m.decayed(types, code, days)
            yield row("decayed_n_{type}_{half_life}", words, "count", level, type=t, half_life=h)


def sessions(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """How a person's activities bunch: by the source's session ids, else by gaps longer than the journey allows."""
    for w in windows(settings):
        yield row("n_sessions_{window}", "sessions {window}", "count", m.n_events(SESSIONS, 0, w), window=w)
    mean = m.all_for_each(SESSIONS, 0, f"number of {ACTIVITIES.words} / number of sessions, so far")
    yield row("activities_per_session", "activities in a session", "count", mean)


def active_days(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """Days on which a person was active: did what ends a silence (`active_event_types`). Days are those of UTC."""
    types = tuple(settings.active_event_types or ())
    of_types = f" of type {' or '.join(types)}" if types else ""
    what = f"{ACTIVITIES.words}{of_types} that are the first of their day"
    days = Track(tracks.by_day, what, ("first", "later"), types)
    yield row("n_active_days_ever", "days of activity so far", "count", m.n_events(days))
    if not types:  # the day of the first activity is the first active one
        return
    first = m.days_since_first(f"days from the first of {what} to the cut-off", days)
    last = m.days_since_last(f"days from the latest of {what} to the cut-off", days)
    yield row("days_since_first_active_day", "days since the first active day", "days", first)
    yield row("days_since_last_active_day", "days since the last active day", "days", last)


def attributes(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """Whatever else the mapping keeps: last values, and how they mix."""
    named = [term for _, term in terms([*known.attributes, *known.numbers])]
    for a, names in zip(named, known.attributes.values(), strict=False):
        track = Track(tracks.by_attribute, "events where {attribute} is {category}", names, attribute=a.words)
        latest, before = m.latest(track, "{attribute}"), m.one_before(track, "{attribute}")
        yield row("last_{attribute}", "the latest {attribute}", "category", latest, names, attribute=a)
        yield row(
            "last_{attribute}_before", "the {attribute} before the latest", "category", before, names, attribute=a
        )
        for code, t in terms(names)[: settings.max_mixed]:
            words, share = (
                "share of {category} in {attribute}",
                m.share(track, code, "events where {attribute} is told"),
            )
            yield row("share_{attribute}_{category}", words, "share", share, attribute=a, category=t)
    for n in named[len(known.attributes) :]:
        latest = m.latest_number(n.words, "{number} of the latest event that has one")
        mean = m.mean_number(n.words, "mean {number} of the events that have one, so far")
        yield row("last_{number}", "the latest {number}", "number", latest, number=n)
        yield row("mean_{number}", "the mean {number}", "number", mean, number=n)


def custom(settings: FeaturesConfig, known: Vocabulary) -> Rows:
    """What functions of the user's own say; see `waymark.custom`."""
    for name in settings.custom:
        yield Row(find(name).feature, name, name)


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
    "active_days": active_days,
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


def feature_table(settings: FeaturesConfig, known: Vocabulary) -> list[Row]:
    """Return the rows for these settings and categories, each with a name of its own.

    Data may call an event type or an attribute as we call a feature; the later one gets a number then.
    """
    unknown = sorted(set(settings.groups) - set(GROUPS))
    if unknown:
        raise InputError(f"features.groups has no {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    found: dict[str, Row] = {}
    for group in (g for g in GROUPS if g in settings.groups or g in CORE):
        for one in GROUPS[group](settings, known):
            name = one.feature.name
            if group in settings.groups or (name in CORE[group] and name not in found):
                names = chain([name], (f"{name}_{n}" for n in count(2)))
                name = next(n for n in names if n not in found)
                found[name] = replace(one, feature=replace(one.feature, name=name, group=group))
    return list(found.values())

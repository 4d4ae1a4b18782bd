"""The features once more, slowly: plain loops over one person's events, short enough to be checked by eye.

Shares with the library only settings, vocabularies and the shape of tables.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pandas as pd

from waymark.config import FeaturesConfig, JourneyConfig, StageRule
from waymark.vocabulary import Vocabulary

NAN = math.nan
OTHER = "(other)"
DAY = timedelta(days=1)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYPARTS = ("0_4_h", "4_8_h", "8_12_h", "12_16_h", "16_20_h", "20_24_h")


@dataclass
class Event:
    """One event as its person meets it; `time` is the clock that orders the person's events."""

    row: dict[str, Any]
    time: pd.Timestamp
    stage: str = ""
    moves: bool = False  # a rule matched it

    def __getattr__(self, column: str) -> Any:
        return self.row[column]

    @property
    def by_customer(self) -> bool:
        return self.row["actor"] == "customer"


@dataclass
class Visit:
    """One stay in one stage."""

    stage: str
    since: pd.Timestamp
    events: list[Event] = field(default_factory=list)


# --- who ------------------------------------------------------------------------------------------------------------


def in_order(events: pd.DataFrame) -> list[dict[str, Any]]:
    """Return events as rows, in order; None for what is missing."""
    table = events.sort_values(["event_time", "sequence", "event_id"]).to_dict("records")
    return [{k: None if v is None or v != v else v for k, v in row.items()} for row in table]


def known(log: list[dict[str, Any]], before: pd.Timestamp) -> list[dict[str, Any]]:
    """Return what had happened and was known before a time."""
    return [row for row in log if row["event_time"] < before and row["known_time"] < before]


def rows(events: pd.DataFrame, before: pd.Timestamp) -> list[dict[str, Any]]:
    """Return the events that had happened and were known before a time, as rows, in order."""
    return known(in_order(events), before)


def people(seen: list[dict[str, Any]]) -> dict[str, str]:
    """Return the person of each id: a customer with the devices where nobody else logged in, called by the oldest."""
    customers_of: dict[str, set[str]] = {}
    first_known: dict[str, pd.Timestamp] = {}
    for row in seen:
        for name in ids_of(row):
            when = max(row["event_time"], row["known_time"])
            first_known[name] = min(first_known.get(name, when), when)
        if row["anonymous_id"] and row["customer_id"]:
            customers_of.setdefault(f"anonymous:{row['anonymous_id']}", set()).add(f"customer:{row['customer_id']}")
    owner_of = {device: min(them) for device, them in customers_of.items() if len(them) == 1}
    families: dict[str, list[str]] = {}
    for name in first_known:
        families.setdefault(owner_of.get(name, name), []).append(name)
    return {
        name: min(family, key=lambda n: (first_known[n], not n.startswith("customer:"), n))
        for family in families.values()
        for name in family
    }


def ids_of(row: dict[str, Any]) -> list[str]:
    """Return the ids of an event, that of the customer first."""
    return [f"{kind}:{row[f'{kind}_id']}" for kind in ("customer", "anonymous") if row[f"{kind}_id"]]


def persons(seen: list[dict[str, Any]], *, linked: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Group events by person, by what they themselves say of who is who, or by their ids alone."""
    person_of = people(seen) if linked else {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in seen:
        own = ids_of(row)[0]
        groups.setdefault(person_of.get(own, own), []).append(row)
    return groups


# --- where on the journey -------------------------------------------------------------------------------------------


def matches(rule: StageRule, event: Event, earlier: list[Event]) -> bool:
    """Say whether every predicate of a rule holds; `earlier` are the person's events before this one."""
    count = 1 + sum(e.event_type == event.event_type for e in earlier)
    value = event.value_cents
    return (
        event.actor in rule.actor
        and (rule.event_type is None or event.event_type in rule.event_type)
        and (rule.channel is None or event.channel in rule.channel)
        and (rule.count_at_least is None or count >= rule.count_at_least)
        and (rule.count_at_most is None or count <= rule.count_at_most)
        and (rule.value_cents_at_least is None or (value is not None and value >= rule.value_cents_at_least))
        and (rule.value_cents_at_most is None or (value is not None and value <= rule.value_cents_at_most))
    )


def walk(history: list[Event], journey: JourneyConfig) -> list[Visit]:
    """Set the stage of each event, and return the visits."""
    stage = journey.initial
    visits: list[Visit] = []
    for i, event in enumerate(history):
        for rule in journey.rules:
            if matches(rule, event, history[:i]):
                event.moves = True
                stage = event.event_type if rule.stage == "{event_type}" else rule.stage
                break
        event.stage = stage
        if not visits or visits[-1].stage != stage:
            visits.append(Visit(stage, event.time))
        visits[-1].events.append(event)
    return visits


def is_regression(before: str, after: str, journey: JourneyConfig) -> bool:
    """Say whether `after` lies before `before` on the designed path."""
    path = journey.path
    return before in path and after in path and path.index(after) < path.index(before)


def is_detour(before: str, after: str, journey: JourneyConfig) -> bool:
    """Say whether the design does not let `after` follow."""
    return before in journey.allowed and after not in journey.allowed[before]


# --- features -------------------------------------------------------------------------------------------------------


def snapshot_features(
    events: pd.DataFrame, cutoff: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig, known: Vocabulary
) -> pd.DataFrame:
    """Return one row for each person with activity before the cut-off."""
    found = {}
    for name, history in persons(rows(events, cutoff)).items():
        mine = [Event(row, row["event_time"]) for row in history]
        if any(e.by_customer for e in mine):
            found[name] = describe(mine, cutoff, journey, settings, known)
    return pd.DataFrame.from_dict(found, orient="index")


def describe(
    history: list[Event], cutoff: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig, known: Vocabulary
) -> dict[str, Any]:
    """Return every feature of one person with these events, in order, at a cut-off."""
    visits = walk(history, journey)
    own = [e for e in history if e.by_customer]
    out: dict[str, Any] = {"prefix_length": len(history), "stage": visits[-1].stage, "stage_since": visits[-1].since}
    out |= _counts(history, own, cutoff, settings, known)
    out |= _values(history, cutoff, settings, known)
    out |= _rhythm(history, own, cutoff, known)
    out |= _latest(history, visits, settings, known)
    out |= _stages(visits, cutoff, journey, known)
    out |= _channels(history, own, known)
    out |= _calendar(own, cutoff, settings)
    out |= _decays(history, own, cutoff, settings, known)
    out |= _sessions(own, cutoff, journey, settings)
    out |= _active_days(own, cutoff, settings)
    out |= _attributes(history, settings, known)
    return out


def as_known(name: str | None, categories: tuple[str, ...]) -> str | None:
    """Return a name as a vocabulary has it: itself, the rest, or nothing."""
    if name is None or name in categories:
        return name
    return OTHER if OTHER in categories else None


def code(name: str | None, categories: tuple[str, ...]) -> float:
    """Return the place of a name in a vocabulary."""
    found = as_known(name, categories)
    return NAN if found is None else float(categories.index(found))


def slug(name: str) -> str:
    """Return a name as columns have it; the names of the tests need no more than this."""
    return name.strip("()")


def days(span: timedelta) -> float:
    """Return a span in days."""
    return span / DAY


def share(part: float, whole: float) -> float:
    """Return a share, NaN of nothing."""
    return part / whole if whole > 0 else NAN


def _within(events: list[Event], cutoff: pd.Timestamp, n_days: int) -> list[Event]:
    return [e for e in events if e.time >= cutoff - n_days * DAY]


def _windows(events: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig) -> dict[str, list[Event]]:
    return {f"{d}d": _within(events, cutoff, d) for d in settings.windows_days} | {"ever": events}


def _counts(
    history: list[Event], own: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig, known: Vocabulary
) -> dict[str, float]:
    out = {f"f_n_activities_{w}": len(events) for w, events in _windows(own, cutoff, settings).items()}
    for window, events in _windows(history, cutoff, settings).items():
        for name in known.counted_types:
            n = sum(as_known(e.event_type, known.counted_types) == name for e in events)
            out[f"f_n_{slug(name)}_{window}"] = n
    return out


def _values(
    history: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig, known: Vocabulary
) -> dict[str, float]:
    windows = _windows(history, cutoff, settings)
    sums = {w: sum(e.value_cents or 0 for e in events) for w, events in windows.items()}
    types = known.valued_types
    if not types:
        return {"f_value_cents_ever": sums["ever"]}
    with_value = [e for e in history if e.value_cents]
    out = {f"f_value_cents_{w}": v for w, v in sums.items()}
    out["f_mean_value_cents"] = share(sums["ever"], len(with_value))
    out["f_last_value_cents"] = with_value[-1].value_cents if with_value else NAN
    for window, events in windows.items() if len(types) > 1 else ():
        for name in types:
            of_type = [e for e in events if as_known(e.event_type, types) == name]
            out[f"f_value_cents_{slug(name)}_{window}"] = sum(e.value_cents or 0 for e in of_type)
    return out


def _rhythm(history: list[Event], own: list[Event], cutoff: pd.Timestamp, known: Vocabulary) -> dict[str, float]:
    out = {
        "f_days_since_last_activity": days(cutoff - own[-1].time),
        "f_tenure_days": days(cutoff - own[0].time),
    }
    for name in known.counted_types:
        times = [e.time for e in history if as_known(e.event_type, known.counted_types) == name]
        out[f"f_days_since_last_{slug(name)}"] = days(cutoff - times[-1]) if times else NAN
    gaps = [days(b.time - a.time) for a, b in pairwise(own)]
    mean = statistics.fmean(gaps) if gaps else NAN
    return out | {
        "f_mean_gap_days": mean,
        "f_sd_gap_days": statistics.pstdev(gaps) if gaps else NAN,
        "f_last_gap_days": gaps[-1] if gaps else NAN,
        "f_last_gap_over_mean": gaps[-1] / mean if gaps and mean > 0 else NAN,
        "f_silence_over_mean_gap": days(cutoff - own[-1].time) / mean if gaps and mean > 0 else NAN,
    }


def _latest(history: list[Event], visits: list[Visit], settings: FeaturesConfig, known: Vocabulary) -> dict[str, float]:
    out = {}
    for k in range(1, settings.last_k + 1):
        there = len(history) >= k
        out[f"f_last_type_{k}"] = code(history[-k].event_type, known.type_categories) if there else NAN
        if k > 1:
            out[f"f_event_gap_{k - 1}_days"] = days(history[1 - k].time - history[-k].time) if there else NAN
    names = [v.stage for v in visits]
    one = " > ".join(names[-2:]) if len(names) >= 2 else None
    two = " > ".join(names[-3:]) if len(names) >= 3 else None
    return out | {
        "f_last_transition": code(one, known.transitions),
        "f_last_two_transitions": code(two, known.two_transitions),
    }


def _stages(visits: list[Visit], cutoff: pd.Timestamp, journey: JourneyConfig, known: Vocabulary) -> dict[str, float]:
    names = [v.stage for v in visits]
    steps = list(pairwise(names))
    out = {
        "f_stage": code(names[-1], known.stages),
        "f_previous_stage": code(names[-2] if len(names) > 1 else None, known.stages),
        "f_days_in_stage": days(cutoff - visits[-1].since),
        "f_n_events_in_stage": len(visits[-1].events),
        "f_n_visits": len(visits),
        "f_n_regressions": sum(is_regression(a, b, journey) for a, b in steps),
        "f_n_reentries": len(names) - len(set(names)),
        "f_n_detours": sum(is_detour(a, b, journey) for a, b in steps),
    }
    return out | {f"f_n_visits_to_{slug(s)}": names.count(s) for s in known.stages}


def _channels(history: list[Event], own: list[Event], known: Vocabulary) -> dict[str, float]:
    if not known.counted_channels:
        return {}
    used = [c for e in history if (c := as_known(e.channel, known.counted_channels))]
    mine = [c for e in own if (c := as_known(e.channel, known.counted_channels))]
    latest = [e.channel for e in own if as_known(e.channel, known.counted_channels)]
    out = {f"f_share_channel_{slug(c)}": share(used.count(c), len(used)) for c in known.counted_channels}
    return out | {
        "f_n_channels": len(set(used)),
        "f_n_channel_switches": sum(a != b for a, b in pairwise(mine)),
        "f_last_channel": code(latest[-1], known.channel_categories) if latest else NAN,
    }


def _calendar(own: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig) -> dict[str, float]:
    parts, weekdays = [e.time.hour // 4 for e in own], [e.time.weekday() for e in own]
    out = {f"f_share_{name}": share(parts.count(i), len(own)) for i, name in enumerate(DAYPARTS)}
    out |= {f"f_share_{name}": share(weekdays.count(i), len(own)) for i, name in enumerate(WEEKDAYS)}
    out["f_cutoff_weekday"] = cutoff.weekday()
    if settings.points == "every_event":
        out["f_cutoff_hour"] = (cutoff - cutoff.floor("D")) / timedelta(hours=1)
    return out


def _decays(
    history: list[Event], own: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig, known: Vocabulary
) -> dict[str, float]:
    out = {}
    for n in settings.half_lives_days:
        out[f"f_decayed_all_activities_{n}d"] = sum(0.5 ** (days(cutoff - e.time) / n) for e in own)
        for name in known.counted_types:
            same = [e for e in history if as_known(e.event_type, known.counted_types) == name]
            out[f"f_decayed_n_{slug(name)}_{n}d"] = sum(0.5 ** (days(cutoff - e.time) / n) for e in same)
    return out


def _sessions(
    own: list[Event], cutoff: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig
) -> dict[str, float]:
    begins = own[:1]
    for before, event in pairwise(own):
        if before.session_id and event.session_id:
            is_new = before.session_id != event.session_id
        else:
            is_new = event.time - before.time > timedelta(minutes=journey.session_gap_minutes)
        begins = [*begins, event] if is_new else begins
    out = {f"f_n_sessions_{w}": len(events) for w, events in _windows(begins, cutoff, settings).items()}
    return out | {"f_activities_per_session": share(len(own), len(begins))}


def _active_days(own: list[Event], cutoff: pd.Timestamp, settings: FeaturesConfig) -> dict[str, float]:
    types = settings.active_event_types
    first_of_day: dict[Any, pd.Timestamp] = {}
    for event in own:
        if types is None or event.event_type in types:
            first_of_day.setdefault(event.time.date(), event.time)
    out = {"f_n_active_days_ever": len(first_of_day)}
    if types is None:
        return out
    times = [*first_of_day.values()]
    out["f_days_since_first_active_day"] = days(cutoff - times[0]) if times else NAN
    return out | {"f_days_since_last_active_day": days(cutoff - times[-1]) if times else NAN}


def _attributes(history: list[Event], settings: FeaturesConfig, known: Vocabulary) -> dict[str, float]:
    out = {}
    for name, categories in known.attributes.items():
        found = [c for e in history if (c := as_known(e.row.get(f"attr_{name}"), categories))]
        out[f"f_last_{name}"] = code(found[-1], categories) if found else NAN
        out[f"f_last_{name}_before"] = code(found[-2], categories) if len(found) > 1 else NAN
        for category in categories[: settings.max_mixed]:
            out[f"f_share_{name}_{slug(category)}"] = share(found.count(category), len(found))
    for name in known.numbers:
        numbers = [v for e in history if (v := e.row.get(f"num_{name}")) is not None]
        out[f"f_last_{name}"] = numbers[-1] if numbers else NAN
        out[f"f_mean_{name}"] = statistics.fmean(numbers) if numbers else NAN
    return out


def every_event_features(
    events: pd.DataFrame, as_of: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig, known: Vocabulary
) -> pd.DataFrame:
    """Return one row after each event, in the order in which events became known; the key is (person, prefix)."""
    found = {}
    for name, history in persons(rows(events, as_of), linked=False).items():
        mine = [Event(row, max(row["event_time"], row["known_time"])) for row in history]
        mine.sort(key=lambda e: e.time)
        for k in range(1, len(mine) + 1):
            if any(e.by_customer for e in mine[:k]):
                found[name, k] = describe(
                    mine[:k], mine[k - 1].time + timedelta(microseconds=1), journey, settings, known
                )
    return pd.DataFrame.from_dict(found, orient="index")


def vocabulary(
    events: pd.DataFrame, as_of: pd.Timestamp, journey: JourneyConfig, settings: FeaturesConfig
) -> dict[str, Any]:
    """Return the categories known at a time, as `Vocabulary.to_json` does."""
    seen = rows(events, as_of)
    stages, ones, twos = [], [], []
    for history in persons(seen).values():
        names = [v.stage for v in walk([Event(row, row["event_time"]) for row in history], journey)]
        stages += names
        ones += [" > ".join(names[i - 1 : i + 1]) for i in range(1, len(names))]
        twos += [" > ".join(names[i - 2 : i + 1]) for i in range(2, len(names))]
    types, channels = [row["event_type"] for row in seen], [row["channel"] for row in seen]
    designed = dict.fromkeys([*journey.path, journey.initial, *(r.stage for r in journey.rules), *sorted(set(types))])
    attributes = sorted(c for c in events if c.startswith("attr_"))
    return {
        "counted_types": commonest(types, settings.max_counted),
        "type_categories": commonest(types, settings.max_categories),
        "counted_channels": commonest(channels, settings.max_counted),
        "channel_categories": commonest(channels, settings.max_categories),
        "stages": tuple(s for s in designed if s in stages),
        "transitions": commonest(ones, settings.max_categories),
        "two_transitions": commonest(twos, settings.max_categories),
        "attributes": {
            c.removeprefix("attr_"): commonest([row[c] for row in seen], settings.max_categories) for c in attributes
        },
        "numbers": tuple(sorted(c.removeprefix("num_") for c in events if c.startswith("num_"))),
        "valued_types": commonest([row["event_type"] for row in seen if row["value_cents"]], settings.max_counted),
    }


def commonest(names: list[str | None], at_most: int) -> tuple[str, ...]:
    """Return the names, the commonest first, ties by name; where they are too many the last stands for the rest."""
    there = [n for n in names if n is not None]
    ordered = sorted(set(there), key=lambda n: (-there.count(n), n))
    return tuple(ordered) if len(ordered) <= at_most else (*ordered[: at_most - 1], OTHER)


# --- targets --------------------------------------------------------------------------------------------------------


def snapshot_target(
    point: dict[str, Any],
    log: list[dict[str, Any]],
    as_of: pd.Timestamp,
    journey: JourneyConfig,
    horizon_days: int,
    back: list[str] | None,
) -> tuple[str | None, str, bool | None]:
    """Return the next stage, its status and whether the person was silent, for a row of the features.

    `log` are all events as rows, in order.
    """
    cutoff, end = point["cutoff_time"], point["cutoff_time"] + horizon_days * DAY
    if end > as_of:
        return None, "immature", None
    then, later = people(known(log, cutoff)), people(known(log, end))
    own = [name for name, person in then.items() if person == point["person_id"]]
    followed = [name for name in own if name.startswith("customer:")] or own
    become = {later[name] for name in followed}
    seen = [row for row in known(log, as_of) if row["event_time"] < end]
    after: list[Event] = []
    for person in become:
        history = [Event(row, row["event_time"]) for row in seen if later.get(ids_of(row)[0]) == person]
        walk(history, journey)
        after += [e for e in history if e.time >= cutoff]
    place = {id(row): i for i, row in enumerate(seen)}
    after.sort(key=lambda e: place[id(e.row)])
    if not any(e.by_customer and (back is None or e.event_type in back) for e in after):
        return None, "not_applicable", True
    return next((e.stage for e in after if e.moves and e.stage != point["stage"]), "stay"), "mature", False

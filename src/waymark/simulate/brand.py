"""The simulated brand: who did what, what of it was delivered and when, and the truth behind it."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from waymark.config import SimulateConfig
from waymark.errors import InputError
from waymark.simulate import journal, law
from waymark.simulate.life import Life
from waymark.simulate.people import draw_devices, draw_persons

HOUR = 3600  # seconds
ACTORS = {"email_sent": "brand", "offer_sent": "brand", "support_answer": "brand", "parcel_delivered": "system"}
BREAKS = ("time", "ids")  # what a broken row lacks
_ANONYMOUS_FEEDS = [journal.WEB, journal.APP, journal.CALL_CENTRE, journal.LOGISTICS]


@dataclass(frozen=True)
class Brand:
    """A simulated brand; the frames share the names of persons, `p000000` and so on."""

    persons: pd.DataFrame  # one row a person: traits
    identities: pd.DataFrame  # one row a person and anonymous id
    pauses: pd.DataFrame  # one row a silence
    events: pd.DataFrame  # one row an event, as it happened, with what the law drew it from
    deliveries: pd.DataFrame  # one row a delivered row: `event` (position in events), `known_time`, `broken`


def simulate(settings: SimulateConfig, seed: int) -> Brand:
    """Draw a brand under the law of `law.py`; the same settings and seed give the same brand.

    Events that happen or are delivered after the last day are not in `deliveries`; those that happen after it are
    not in `events` either.
    """
    for_persons, for_devices, for_life, for_delivery = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    persons = draw_persons(settings.n_persons, settings.days, for_persons)
    devices, slots = draw_devices(settings.n_persons, settings.shared_device_share, for_devices)
    life = Life(persons, devices, slots, for_life)
    life.live(settings.start.date(), settings.days)
    end = settings.start + timedelta(days=settings.days)
    drawn = life.journal.frame().sort_values("second", kind="stable", ignore_index=True)
    drawn = drawn[drawn["second"] < settings.days * 24 * HOUR]
    known_second = drawn["second"] + _delays(drawn["feed"].to_numpy(), settings.late_share, for_delivery)
    events = _events(drawn, known_second, persons, devices, settings)
    brand = Brand(
        persons=persons,
        identities=_identities(events, persons, devices),
        pauses=life.pauses.assign(person=lambda f: persons["person"].to_numpy()[f["person"]]),
        events=events,
        deliveries=_deliveries(events, end, settings, for_delivery),
    )
    missing = sorted(set(journal.FEEDS) - set(events["feed"].iloc[brand.deliveries["event"]]))
    if missing:
        raise InputError(f"simulate: so small a brand has no {', '.join(missing)} events; raise n_persons or days")
    return brand


def _delays(feed: np.ndarray, late_share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the seconds until each event is known: less than an hour, or two hours to five days for the late."""
    minutes = np.isin(feed, [journal.STORE, journal.LOGISTICS])  # tills and lorries send batches
    delay = np.where(minutes, rng.integers(60, 40 * 60, len(feed)), rng.integers(1, 90, len(feed)))
    late = rng.choice(len(feed), round(late_share * len(feed)), replace=False)
    delay[late] = np.exp(rng.uniform(np.log(2 * HOUR), np.log(120 * HOUR), len(late)))
    return delay


def _events(
    drawn: pd.DataFrame,
    known_second: pd.Series,
    persons: pd.DataFrame,
    devices: pd.DataFrame,
    settings: SimulateConfig,
) -> pd.DataFrame:
    """Put names to what was drawn by position."""
    person, feed, device = (drawn[c].to_numpy() for c in ("person", "feed", "device"))
    on_device = np.isin(feed, [journal.WEB, journal.APP])
    has_anonymous = np.isin(feed, _ANONYMOUS_FEEDS) & (device >= 0)
    is_social = feed == journal.SOCIAL
    is_known = drawn["is_known"].to_numpy() & (~is_social | persons["is_handle_connected"].to_numpy()[person])
    anonymous_id = np.where(has_anonymous, _names(devices["anonymous_id"], device), None)
    nth = drawn.groupby("feed").cumcount()
    start = pd.Timestamp(settings.start).as_unit("us")
    law_saw = drawn.loc[:, "state":].assign(
        state=_names(law.STATES, drawn["state"]),
        campaign=_names(law.CAMPAIGNS, drawn["campaign"]),
        style=_names(law.STYLES, drawn["style"]),
    )
    return pd.DataFrame({
        "event_id": [f"{journal.FEEDS[f]}:{journal.FEEDS[f][:2]}{n:07d}" for f, n in zip(feed, nth)],
        "person": _names(persons["person"], person),
        "event_time": start + pd.to_timedelta(drawn["second"], unit="s"),
        "known_time": start + pd.to_timedelta(known_second, unit="s"),
        "feed": _names(journal.FEEDS, feed),
        "event_type": _names(journal.EVENT_TYPES, drawn["event_type"]),
        "actor": np.array([ACTORS.get(name, "customer") for name in journal.EVENT_TYPES])[drawn["event_type"]],
        "anonymous_id": np.where(is_social, _names(persons["handle"], person), anonymous_id),
        "customer_id": np.where(is_known, _names(persons["customer_id"], person), None),
        "session_id": [f"s{v:07d}" if d else None for v, d in zip(drawn["visit"], on_device)],
        "value_cents": drawn["value_cents"].where(drawn["value_cents"] >= 0).astype("Int64"),
        "category": np.where(on_device | (feed == journal.STORE), _names(law.CATEGORIES, drawn["category"]), None),
        "seen_campaign": np.where(on_device, _names(law.CAMPAIGNS, drawn["seen_campaign"]), None),
        "device_type": np.where(on_device, _names(devices["device_type"], device), None),
        "mailing": _names(journal.MAILINGS, drawn["mailing"]),
        "visit": drawn["visit"],
        "kind": _names(journal.KINDS, drawn["kind"]),
        "move": _names((*law.MOVES, "errand"), drawn["move"]),
        "stage": _names(law.STAGES, drawn["stage"]),
        **{name: law_saw[name] for name in law_saw},
    }).reset_index(drop=True)  # fmt: skip


def _names(names: pd.Series | tuple[str, ...], positions: pd.Series | np.ndarray) -> np.ndarray:
    """Return the name at each position, and None at -1."""
    return np.array([*names, None], dtype=object)[np.asarray(positions)]


def _identities(events: pd.DataFrame, persons: pd.DataFrame, devices: pd.DataFrame) -> pd.DataFrame:
    """Return who is behind each anonymous id, and how often."""
    shared = devices[devices["second_user"] >= 0]
    used = pd.DataFrame({
        "anonymous_id": pd.concat([devices["anonymous_id"], shared["anonymous_id"]]),
        "position": pd.concat([devices["owner"], shared["second_user"]]),
    })  # fmt: skip
    handles = persons.loc[persons["handle"].notna(), ["handle"]].rename(columns={"handle": "anonymous_id"})
    used = pd.concat([used, handles.assign(position=handles.index)])
    n_events = events.groupby(["anonymous_id", "person"]).size().rename("n_events")
    who = persons[["person", "customer_id", "joins"]].iloc[used["position"]].reset_index(drop=True)
    who["customer_id"] = who["customer_id"].where(who.pop("joins"))  # others have none that anybody could know
    identities = pd.concat([used["anonymous_id"].reset_index(drop=True), who], axis=1)
    identities = identities.join(n_events, on=["anonymous_id", "person"]).fillna({"n_events": 0})
    return identities.astype({"n_events": "int64"})


def _deliveries(
    events: pd.DataFrame, end: pd.Timestamp, settings: SimulateConfig, rng: np.random.Generator
) -> pd.DataFrame:
    """Say which rows are delivered when: every event once, some twice, some followed by a broken row."""
    once = pd.DataFrame({"event": np.arange(len(events)), "known_time": events["known_time"], "broken": ""})
    once = once[once["known_time"] < end]
    extra = [once]
    for share, what in (
        (settings.duplicate_share, "duplicate"),
        (settings.redelivered_share, "redelivered"),
        (settings.broken_share, "broken"),
    ):
        rows = once.iloc[_sample_by_feed(events["feed"].to_numpy()[once["event"]], share, rng)].copy()
        if what == "redelivered":
            rows["known_time"] += pd.to_timedelta(rng.integers(60, 72 * HOUR, len(rows)), unit="s")
        if what == "broken":
            rows["broken"] = np.resize(np.array(BREAKS), len(rows))
        extra.append(rows[rows["known_time"] < end])
    rows = pd.concat(extra)
    return rows.sort_values(["known_time", "event", "broken"], kind="stable", ignore_index=True)


def _sample_by_feed(feed: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return positions of a sample of whole rows of each feed, rounded down, so that a small feed gets none."""
    places = [np.flatnonzero(feed == name) for name in journal.FEEDS]
    return np.concatenate([np.sort(rng.choice(p, int(share * len(p)), replace=False)) for p in places])

"""The two clocks: what scoring may see tonight, and what training may see and where it looks.

Both are small values that change only when what they stand for changes, so that steps which depend on them, and not on
the events, leave training alone while the night moves on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pandas as pd

from waymark.config import ClockConfig, SplitConfig, TargetsConfig
from waymark.errors import InputError

DAY = pd.Timedelta(days=1)
_YEAR = 365
_MONDAY = pd.Timestamp("1970-01-05", tz="UTC")  # cut-offs that step by weeks fall on Mondays


@dataclass(frozen=True)
class TrainClock:
    """What training may see, and its cut-offs."""

    as_of: pd.Timestamp  # end of what training may see, labels included
    train_cutoffs: tuple[pd.Timestamp, ...]
    test_cutoffs: tuple[pd.Timestamp, ...]
    data_version: str

    @property
    def learn_until(self) -> pd.Timestamp:
        """End of what the categories of features are learnt from: which there are, a test must not tell."""
        return min(self.test_cutoffs, default=self.as_of)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `tables.write_json`."""
        return {
            "as_of": self.as_of.isoformat(),
            "train_cutoffs": [t.isoformat() for t in self.train_cutoffs],
            "test_cutoffs": [t.isoformat() for t in self.test_cutoffs],
            "data_version": self.data_version,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrainClock:
        """Read back what `to_json` returned."""
        train, test = (tuple(_utc(t) for t in value[k]) for k in ("train_cutoffs", "test_cutoffs"))
        return cls(_utc(value["as_of"]), train, test, value["data_version"])


@dataclass(frozen=True)
class ScoreClock:
    """Tonight, and what can be known by then."""

    cutoff_time: pd.Timestamp
    scored_at_cutoff: pd.Timestamp  # the newest event that could be known
    data_version: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `tables.write_json`."""
        return {
            "cutoff_time": self.cutoff_time.isoformat(),
            "scored_at_cutoff": self.scored_at_cutoff.isoformat(),
            "data_version": self.data_version,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ScoreClock:
        """Read back what `to_json` returned."""
        return cls(_utc(value["cutoff_time"]), _utc(value["scored_at_cutoff"]), value["data_version"])


def known_before(events: pd.DataFrame, time: pd.Timestamp) -> pd.DataFrame:
    """Return the events that had happened and were known before `time`, as the table was then.

    Those that had been restated by then are among them, for questions as of earlier times; restatements that were still
    to come are not told of.
    """
    known = events[(events["event_time"] < time) & (events["known_time"] < time)]
    is_past = known["superseded_time"] < time
    return known if is_past.all() else known.assign(superseded_time=known["superseded_time"].where(is_past))


class Facts(Protocol):
    """What the clocks have to know of all events and links. Days are those of UTC, from 1970-01-01 on."""

    known_days: np.ndarray  # (n,) the days when events became known, ascending
    n_known: np.ndarray  # (n,) how many did

    def newest_before(self, time: pd.Timestamp) -> pd.Timestamp | None:
        """Return when the newest of the events happened that had happened and were known before `time`."""

    def version_as_of(self, time: pd.Timestamp) -> str:
        """Return a hash of the events that had happened, and the events and links that were known, before `time`."""


def version(n_events: int, events: int, n_links: int, links: int) -> str:
    """Return the version of data whose rows have hashes that add up to these."""
    return hashlib.sha256(f"{n_events} {events % 2**64} {n_links} {links % 2**64}".encode()).hexdigest()[:12]


def latest_cutoff(facts: Facts) -> pd.Timestamp:
    """Return midnight UTC ending the last delivered day.

    Where nothing but the event itself says when it was known, a wrong year would move the night to that year. So stray
    events, at most one in a thousand that were known more than a year after all the others, deliver no day.
    """
    return _midnight(_last_day(facts) + 1)


def _last_day(facts: Facts) -> int:
    days, n = facts.known_days, facts.n_known
    if not len(days):
        raise InputError("no event was accepted, so there is no night to score; data/rejects.parquet says why")
    n_from = np.cumsum(n[::-1])[::-1]  # events known on each day or later
    is_gap = np.flatnonzero((np.diff(days) > _YEAR) & (n_from[1:] <= n.sum() // 1000))
    return int(days[is_gap[0]] if len(is_gap) else days[-1])


def strays(facts: Facts) -> list[str]:
    """Say how many events were known only after the latest cut-off, if any were."""
    is_stray = facts.known_days > _last_day(facts)
    if not is_stray.any():
        return []
    n, first = facts.n_known[is_stray].sum(), _midnight(int(facts.known_days[is_stray][0]))
    return [
        f"{n:,} of {facts.n_known.sum():,} events, from {first:%Y-%m-%d} on, lie a year after all others and move no"
        " night"
    ]


def _midnight(day: int) -> pd.Timestamp:
    return pd.Timestamp(np.datetime64(day, "D")).tz_localize("UTC").as_unit("us")


def set_score_clock(facts: Facts, settings: ClockConfig) -> ScoreClock:
    """Return tonight's clock: the configured cut-off, or the end of the last delivered day."""
    latest = latest_cutoff(facts)
    cutoff = latest if settings.cutoff_time == "latest" else pd.Timestamp(settings.cutoff_time).as_unit("us")
    newest = facts.newest_before(cutoff)
    if newest is None:
        first = _midnight(int(facts.known_days[0]))
        raise InputError(
            f"cutoff_time {cutoff} is before the first known event; choose one after {first}, up to {latest}"
        )
    if cutoff > latest:
        raise InputError(f"cutoff_time {cutoff} is after the last delivered day; choose `latest` or one up to {latest}")
    return ScoreClock(cutoff, newest, facts.version_as_of(cutoff))


def set_train_clock(facts: Facts, split: SplitConfig, targets: TargetsConfig) -> TrainClock:
    """Return what training may see, with its cut-offs laid so that no training label reaches a test cut-off.

    The horizon of up to `split.n_unripe` more training cut-offs does: they have no labels, and a hazard of return
    learns from them as far as they were watched until the tests begin.
    """
    latest = latest_cutoff(facts)
    if split.kind == "cases":
        as_of = _floor(latest, split.step_days)
        return TrainClock(as_of, (), (), facts.version_as_of(as_of))
    horizon, step = timedelta(days=targets.horizon_days), timedelta(days=split.step_days)
    if split.test_cutoffs:
        as_of = latest
        test = sorted(pd.Timestamp(t).as_unit("us") for t in split.test_cutoffs)
        immature = [t.isoformat() for t in test if t + horizon > as_of]
        if immature:
            raise InputError(
                f"split.test_cutoffs {immature} are not mature: their {targets.horizon_days} days end after {as_of};"
                f" choose them up to {(as_of - horizon).isoformat()} or shorten targets.horizon_days"
            )
    else:
        as_of = _floor(latest, split.step_days)
        test = [as_of - horizon - i * step for i in reversed(range(split.n_test))]
    newest = test[0] - horizon - timedelta(days=split.gap_days)
    first_event = _midnight(int(facts.known_days[0]))
    earliest = first_event + timedelta(days=split.min_history_days)
    train = [newest - i * step for i in reversed(range(split.n_train)) if newest - i * step >= earliest]
    ends = test[0] - timedelta(days=split.gap_days)
    unripe = [newest + i * step for i in range(1, split.n_unripe + 1) if earliest <= newest + i * step < ends]
    train += unripe
    if not train and split.test_cutoffs:
        raise InputError(
            f"no training cut-off fits before split.test_cutoffs {test[0].isoformat()}: choose them from"
            f" {(earliest + (test[0] - newest)).isoformat()} on, or shorten targets.horizon_days"
            f" ({targets.horizon_days}) or split.min_history_days ({split.min_history_days})"
        )
    if not train:
        missing = (as_of + -((newest - earliest) // step) * step - latest).days
        raise InputError(
            f"no training cut-off fits: the events from {first_event.date()} to {latest.date()} are {missing} days"
            f" short of two horizons ({targets.horizon_days} days each), {split.n_test} test cut-offs and"
            f" split.min_history_days ({split.min_history_days}); deliver more history or shorten targets.horizon_days"
        )
    return TrainClock(as_of, tuple(train), tuple(test), facts.version_as_of(as_of))


def _floor(time: pd.Timestamp, days: int) -> pd.Timestamp:
    """Return the last whole step of `days` days, counted from a Monday."""
    return _MONDAY.as_unit("us") + (time - _MONDAY) // pd.Timedelta(days=days) * pd.Timedelta(days=days)


def _utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(datetime.fromisoformat(text).astimezone(UTC)).as_unit("us")

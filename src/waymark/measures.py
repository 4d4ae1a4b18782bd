"""Measures: what one number about a person at a point is, in words, and which walk reads it out."""

from __future__ import annotations

from dataclasses import dataclass

from waymark.kernels import moves, rhythm, stages
from waymark.kernels.jit import DAY
from waymark.moving import Moving
from waymark.tracks import ACTIVITIES, Track
from waymark.vocabulary import Vocabulary
from waymark.walks import (
    DISTINCT,
    SINCE,
    TOTAL,
    Decay,
    Latest,
    LatestGaps,
    LatestTypes,
    Numbers,
    Rhythm,
    Since,
    Tally,
    Walk,
    Way,
)


@dataclass(frozen=True)
class Measure:
    """One number about a person at a point."""

    formula: str  # in words; a name in braces is what the feature's name has there
    walk: Walk | None  # None where only the clock tells
    operands: tuple = ()  # what the walk is asked for
    moving: Moving | None = None  # how the number hangs on the clock; what the walk is asked for are its bases then

    @property
    def has_window(self) -> bool:
        """Whether it changes without news once an event leaves a window."""
        return isinstance(self.walk, Tally) and self.operands[1] is not None

    def begins(self, cutoff: int, gap: int | None) -> int | None:
        """Return from when on events have a say in a number that has a window (microseconds); None: all have.

        For `gap` see `Track.looks_back`.
        """
        _, days, of = self.operands
        back = self.walk.track.looks_back(gap)
        return None if back is None or of is not None else cutoff - days * int(DAY) - back


@dataclass(frozen=True)
class Window:
    """The last `days` before a point, half-open; the whole history where there are none."""

    days: int | None

    @property
    def slug(self) -> str:
        """The window in a feature's name."""
        return "ever" if self.days is None else f"{self.days}d"

    @property
    def words(self) -> str:
        """The window in words."""
        return "so far" if self.days is None else f"in the last {in_days(self.days)}"


def in_days(days: int) -> str:
    """Write a number of days: `day`, `30 days`."""
    return "day" if days == 1 else f"{days} days"


def n_events(track: Track, code: int = 0, window: Window | None = None) -> Measure:
    """How many events of a class there were in a window; so far, where none is given."""
    days, when = (None, "so far") if window is None else (window.days, "{window}")
    return Measure(f"number of {track.words}, {when}", Tally(track), (code, days, None))


def value(track: Track, code: int, window: Window) -> Measure:
    """The values of the events of a class in a window, added up."""
    return Measure(f"sum of value_cents of {track.words}, {{window}}", Tally(track, True), (code, window.days, None))


def n_classes(track: Track, formula: str) -> Measure:
    """How many classes of a track there were so far."""
    return Measure(formula, Tally(track), (DISTINCT, None, None))


def share(track: Track, code: int, of: str) -> Measure:
    """The share of a class in all events that have one; `of` says what those are."""
    return Measure(f"number of {track.words} / number of {of}, so far", Tally(track), (code, None, TOTAL))


def all_for_each(track: Track, code: int, formula: str) -> Measure:
    """How many events there were for each of one class, so far."""
    return Measure(formula, Tally(track), (TOTAL, None, code))


def days_since(track: Track, code: int) -> Measure:
    """Days from the latest event of a class to the point."""
    formula = f"days from the latest of {track.words} to the cut-off"
    return Measure(formula, Since(track), moving=Moving(moves.DAYS, ((code,),)))


def decayed(track: Track, code: int, days: int) -> Measure:
    """How many events of a class there were, each worth one half for every `days` of its age."""
    formula = f"sum over {track.words} so far of 0.5 ** (age in days at the cut-off / {{half_life}})"
    walk = Decay(track, days)
    return Measure(formula, walk, moving=Moving(moves.FADES, ((code,), (SINCE,)), walk.half_life))


def latest(track: Track, what: str = "") -> Measure:
    """The class of the latest event that has one."""
    return Measure(f"the latest of {what or track.words}", Latest(track), (0,))


def one_before(track: Track, what: str = "") -> Measure:
    """The class of the event with one before the latest that has one."""
    return Measure(f"the one before the latest of {what or track.words}", Latest(track), (1,))


def latest_number(name: str, formula: str) -> Measure:
    """The latest of a number that events carry; for `VALUE`, their value where it is not 0."""
    return Measure(formula, Numbers(name), (0,))


def mean_number(name: str, formula: str) -> Measure:
    """The mean so far of a number that events carry."""
    return Measure(formula, Numbers(name), (1,))


def latest_type(k: int, categories: tuple[str, ...]) -> Measure:
    """The type of the `k`-th latest event."""
    return Measure("type of the {k}th latest event", LatestTypes(categories), (k,))


def latest_gap(k: int) -> Measure:
    """Days from the event before the `k`-th latest to that."""
    return Measure("days from the event before the {k}th latest to that", LatestGaps(), (k,))


def of_rhythm(which: int, formula: str) -> Measure:
    """A number of the rhythm of the customer's own events: `rhythm.MEAN_GAP` and the others."""
    return Measure(formula, Rhythm(), (which,))


def days_since_last(formula: str, track: Track = ACTIVITIES) -> Measure:
    """Days from the latest event of a track's first class to the point."""
    return Measure(formula, Rhythm(track), moving=Moving(moves.DAYS, ((rhythm.LAST,),)))


def days_since_first(formula: str, track: Track = ACTIVITIES) -> Measure:
    """Days from the first event of a track's first class to the point."""
    return Measure(formula, Rhythm(track), moving=Moving(moves.DAYS, ((rhythm.FIRST,),)))


def silence_over_mean(formula: str) -> Measure:
    """Days since the last activity in mean gaps between activities."""
    return Measure(formula, Rhythm(), moving=Moving(moves.OVER, ((rhythm.LAST,), (rhythm.MEAN,))))


def of_way(which: int, formula: str, known: Vocabulary) -> Measure:
    """A number of the way through the stages: `stages.STAGE` and the others."""
    return Measure(formula, way(known), (which,))


def days_in_stage(formula: str, known: Vocabulary) -> Measure:
    """Days from the event that entered the present stage to the point."""
    return Measure(formula, way(known), moving=Moving(moves.DAYS, ((stages.ENTERED,),)))


def way(known: Vocabulary) -> Way:
    """Return the walk along the stages."""
    return Way(known.stages, known.transitions, known.two_transitions)


def weekday() -> Measure:
    """The weekday of the cut-off."""
    return Measure("weekday of the cut-off (UTC)", None, moving=Moving(moves.WEEKDAY))


def hour() -> Measure:
    """The hour of the cut-off."""
    return Measure("hours from midnight (UTC) to the cut-off", None, moving=Moving(moves.HOUR))

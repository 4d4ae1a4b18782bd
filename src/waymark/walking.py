"""Walking over a log: by some persons at a time, so that what lies between events and numbers stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from waymark.eventlog import Columns
from waymark.kernels import grouping
from waymark.measures import Measure, way
from waymark.moving import Moves
from waymark.points import Points
from waymark.tracks import Chunk, Find, People, Track
from waymark.vocabulary import Vocabulary
from waymark.walks import Asked, Result, Walk

CHUNK = 1 << 16  # events worked on at a time: few enough for the cache, enough to make calls from Python cheap
_LINE = 16  # float32 in a line of the cache


def walk_points(
    points: Points,
    measures: Sequence[Measure | None],
    known: Vocabulary,
    size: int = CHUNK,
    *,
    keep_bases: bool = False,
    tell_stage: bool = True,
) -> Result:
    """Read out every measure at each of `points`; the rows of None hold nothing.

    About `size` events are worked on at a time, and at least those of one person; how many has no say in the result.
    Unless `keep_bases`, the result has no bases; with them, those of `moves_of`. Unless `tell_stage`, its stages hold
    nothing.
    """
    moves = moves_of(measures)
    asked: dict[Walk, Asked] = {way(known): Asked([], [])} if tell_stage else {}
    for row, measure in enumerate(measures):
        if measure is not None and measure.moving is None:
            asked.setdefault(measure.walk, Asked([], [])).values.append((measure.operands, row))
    for (walk, operands), row in moves.bases.items():
        asked.setdefault(walk, Asked([], [])).bases.append((operands, row))
    runs = [walk.prepare(numbers, points.stage_map) for walk, numbers in asked.items()]
    n = len(points)
    kept = np.empty((len(moves.bases) if keep_bases else 0, n))
    result = Result(_rows(len(measures) + 1, n), kept, np.empty(n, np.int32), np.empty(n, np.int64))
    for chunk in _chunks(points, size):
        cutoffs, first = chunk.people.cutoffs, chunk.people.first_point
        here = result._replace(bases=np.empty((len(moves.bases) + 1, len(cutoffs))))
        for run in runs:
            run(chunk, here)
        moves.work_out(cutoffs, here.bases, result.values, first)
        if keep_bases:
            kept[:, first : first + len(cutoffs)] = here.bases[:-1]
    return result._replace(values=result.values[:-1, :n])


def moves_of(measures: Sequence[Measure | None]) -> Moves:
    """Return how those of some measures that move are worked out, by their places."""
    return Moves((row, m.walk, m.moving) for row, m in enumerate(measures) if m is not None and m.moving is not None)


def _chunks(points: Points, size: int) -> Iterator[Chunk]:
    """Yield the events and points of some persons after another."""
    grouped, stage_map, n = points.grouped, points.stage_map, len(points)
    finders: dict[Track, Find] = {}
    first = np.flatnonzero(np.append(True, points.group[1:] != points.group[:-1])[:n])
    groups, first = points.group[first], np.append(first, n)
    ends = points.end[first[1:] - 1]
    n_events = np.cumsum(ends - grouped.starts[groups])
    begin = 0
    while begin < len(groups):
        so_far = n_events[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(n_events, so_far + size, side="right")))
        these, here = groups[begin:end], slice(first[begin], first[end])
        starts, index, time = grouping.select(these, grouped.starts, ends[begin:end], grouped.index, grouped.time)
        columns = Columns(points.log, starts, index, time)
        point_starts = first[begin : end + 1] - first[begin]
        shift = np.repeat(grouped.starts[these] - starts[:-1], np.diff(point_starts))
        people = People(starts, time, point_starts, points.end[here] - shift, points.cutoff[here], int(first[begin]))
        yield Chunk(people, columns, stage_map, finders)
        begin = end


def _rows(n: int, width: int) -> np.ndarray:
    """Return room for `n` rows of float32 that begin on different lines of the cache: a point writes to all of them."""
    lines = -(-width // _LINE)
    return np.empty((n, (lines + 1 - lines % 2) * _LINE), np.float32)

"""Counts that forget: an event is worth one half for every half-life of its age."""

import math

import numpy as np

from waymark.kernels.jit import at, jit

_SPAN = 512  # half-lives, after which worths are counted from a later moment, before they grow too large


@jit
def worths(people, half_life):
    """Return what each event adds to counts that forget: 2 ** (half-lives since a moment), float64.

    So no earlier sum changes as time goes on: at a point, sums are divided by what an event would add then. The moment
    is the person's first event; it moves on by `_SPAN` half-lives (int64 microseconds) before numbers overflow.
    """
    starts, time, _, _, _, _ = people
    out = np.empty(len(time))
    for g in range(len(starts) - 1):
        since = time[starts[g]]
        for k in range(starts[g], starts[g + 1]):
            i = at(k)
            while time[i] - since >= _SPAN * half_life:
                since += _SPAN * half_life
            out[i] = math.exp2((time[i] - since) / half_life)
    return out


@jit
def levels(people, classes, n_classes, worth, half_life, which, column, bases):
    """Write the sum of the worths of the events of the classes `which` into rows of `bases`.

    `classes` is the class of each event, (n_events,) int32, `n_classes` is none; `worth` is what `worths` returns.
    Class -1 stands for the moment that the person's worths are counted from at the point: an event that happened then
    adds 1.
    """
    starts, time, point_starts, ends, _, _ = people
    level = np.zeros(n_classes + 1)
    for g in range(len(starts) - 1):
        level[:] = 0.0
        i = starts[g]
        since = time[i]
        for p in range(point_starts[g], point_starts[g + 1]):
            while i < ends[at(p)]:
                while time[at(i)] - since >= _SPAN * half_life:
                    since += _SPAN * half_life
                    level *= 2.0**-_SPAN
                level[at(classes[at(i)])] += worth[at(i)]
                i += 1
            for r in range(len(column)):
                bases[at(column[r]), at(p)] = level[at(which[r])] if which[r] >= 0 else since

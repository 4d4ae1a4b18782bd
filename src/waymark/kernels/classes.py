"""The class of each event on a track: its code, or the number of classes where it has none."""

import numpy as np

from waymark.kernels.jit import DAY, NEVER, at, jit

OWN = 0  # class of what the customer did, 1 for the rest
_HOUR = DAY // 24
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, and Monday is 0


@jit
def look_up(table, codes):
    """Return the class that `table` has for each code."""
    out = np.empty(len(codes), np.int32)
    for i in range(len(codes)):
        out[i] = table[at(codes[i])]
    return out


@jit
def dayparts(time, own):
    """Class the customer's own events by the four hours of the day (UTC) that they fall in."""
    out = np.empty(len(time), np.int32)
    for i in range(len(time)):
        out[i] = time[i] // (4 * _HOUR) % 6 if own[i] == OWN else 6
    return out


@jit
def weekdays(time, own):
    """Class the customer's own events by their weekday (UTC), Monday first."""
    out = np.empty(len(time), np.int32)
    for i in range(len(time)):
        out[i] = (time[i] // DAY + _EPOCH_WEEKDAY) % 7 if own[i] == OWN else 7
    return out


@jit
def entries(starts, stage, table, none):
    """Class events that enter a stage, a person's first among them, as `table` has it for the stages."""
    out = np.empty(len(stage), np.int32)
    for i in range(1, len(stage)):
        is_entry = stage[i] != stage[i - 1]
        out[i] = none + (table[at(stage[i])] - none) * is_entry  # there is no branch to guess wrong
    for p in range(len(starts) - 1):
        out[starts[p]] = table[stage[starts[p]]]
    return out


@jit
def switches(starts, channel, none):
    """Class as 0 the events on another channel than the one before; channel `none` is no channel."""
    out = np.empty(len(channel), np.int32)
    for p in range(len(starts) - 1):
        now = none
        for k in range(starts[p], starts[p + 1]):
            i = at(k)
            out[i] = not ((channel[i] != none) & (now != none) & (channel[i] != now))
            now = channel[i] if channel[i] != none else now
    return out


@jit
def days(starts, time, own):
    """Class the events `own` marks: 0 for the first of a person's on each day (UTC), 1 for the others."""
    out = np.full(len(time), 2, np.int32)
    for p in range(len(starts) - 1):
        day = NEVER
        for i in range(starts[p], starts[p + 1]):
            if own[i] == OWN:
                out[i] = time[i] // DAY == day
                day = time[i] // DAY
    return out


@jit
def sessions(starts, time, own, session, gap):
    """Class the customer's own events: 0 for those that begin a session, 1 for the others.

    Where two events that follow each other both have a session id, it says whether they are one session; else a gap of
    more than `gap` microseconds parts them.
    """
    out = np.full(len(time), 2, np.int32)
    for p in range(len(starts) - 1):
        before = -1
        for i in range(starts[p], starts[p + 1]):
            if own[i] != OWN:
                continue
            if before < 0:
                out[i] = 0
            elif session[i] >= 0 and session[before] >= 0:
                out[i] = session[i] == session[before]
            else:
                out[i] = time[i] - time[before] <= gap
            before = i
    return out

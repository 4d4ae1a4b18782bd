"""Which events a cut-off sees, and their grouping by person: a counting sort, which compares nothing."""

import numpy as np

from waymark.kernels.jit import at, jit


@jit
def number_kinds(event_type, channel, actor, has_value, n_channels, n_actors, kinds, out):
    """Number the kinds of events, as they first occur: type, channel (-1 for none), actor and whether there is a value.

    Parameters
    ----------
    event_type, channel, actor, has_value
        Codes, one an event, and bool.
    kinds
        Room for all kinds that could be, (n_types * (n_channels + 1) * n_actors * 2,) int32, all -1.
    out
        The kind of each event is written here, (n_events,) int16 or int32.

    Returns
    -------
    ndarray
        (n_kinds,) int64: where each kind is in `kinds`, as an array of those four dimensions.
    """
    found = np.empty(len(kinds), np.int64)
    n = 0
    for i in range(len(event_type)):
        place = np.int64(event_type[i]) * (n_channels + 1) + channel[i] + 1
        place = (place * n_actors + actor[i]) * 2 + has_value[i]
        if kinds[place] < 0:
            kinds[place] = n
            found[n] = place
            n += 1
        out[i] = kinds[place]
    return found[:n].copy()


@jit
def seen_before(event_time, known_time, superseded_time, cutoff, out):
    """Write the positions of the events that had happened, were known, and held before `cutoff`; return how many."""
    n = 0
    for i in range(len(event_time)):
        out[at(n)] = i  # written in any case and kept if it counts: there is no branch to guess wrong
        n += (event_time[i] < cutoff) & (known_time[i] < cutoff) & (superseded_time[i] >= cutoff)
    return n


@jit
def told_before(event_time, known_time, is_first_told, cutoff, out):
    """Write the positions of the events as they were first told, of those known before `cutoff`; return how many."""
    n = 0
    for i in range(len(event_time)):
        out[at(n)] = i
        n += (event_time[i] < cutoff) & (known_time[i] < cutoff) & is_first_told[i]
    return n


@jit
def group(index, owner, people, event_time, known_time, when_known, person, grouped, time):
    """Group events by person, in the order they have; return where each person code's begin, (n_people + 1,) int64.

    Parameters
    ----------
    index
        Positions of the events that count, (n,) int32, in the order of `event_time`.
    owner, people
        The identifier each event of the log belongs to, and the person code of each identifier, both int32.
    event_time, known_time
        Of each event of the log.
    when_known
        Whether a person's events follow each other as they became known (by the later of the two times).
    person
        Room for work, (n,) int32.
    grouped, time
        The positions in the log, (n,) int32, and the times by which events are ordered, (n,) int64, are written here.
    """
    place = np.zeros(len(people) + 1, np.int64)
    for j in range(len(index)):
        person[j] = people[at(owner[at(index[j])])]
        place[at(person[j] + 1)] += 1
    for p in range(len(people)):
        place[p + 1] += place[p]
    starts = place.copy()
    for j in range(len(index)):
        i, p = at(index[j]), at(person[j])
        to = at(place[p])
        place[p] += 1
        grouped[to] = i
        time[to] = max(event_time[i], known_time[i]) if when_known else event_time[i]
    if when_known:
        for p in range(len(people)):
            _sort(grouped[starts[p] : starts[p + 1]], time[starts[p] : starts[p + 1]])
    return starts


@jit
def _sort(index, time):
    """Sort one person's events by time, in place; those of one time stay in the order they have."""
    moves = 0
    for i in range(1, len(time)):
        to, now, event = i, time[i], index[i]
        while to > 0 and time[to - 1] > now:
            time[to], index[to] = time[to - 1], index[to - 1]
            to -= 1
        time[to], index[to] = now, event
        moves += i - to
        if moves > 8 * len(time):  # far from sorted: a history told in no order
            order = np.argsort(time, kind="mergesort")
            time[:], index[:] = time[order], index[order]
            return


@jit
def select(groups, starts, ends, index, time):
    """Copy the events of some persons, `starts[groups[k]] <= i < ends[k]`.

    Returns where each one's events start in the copies, (len(groups) + 1,) int64, and the copies of `index` and `time`.
    """
    begins = np.zeros(len(groups) + 1, np.int64)
    for k in range(len(groups)):
        begins[k + 1] = begins[k] + ends[k] - starts[groups[k]]
    to_index, to_time = np.empty(begins[-1], np.int32), np.empty(begins[-1], np.int64)
    for k in range(len(groups)):
        begin, end = starts[groups[k]], ends[k]
        to_index[begins[k] : begins[k + 1]] = index[begin:end]
        to_time[begins[k] : begins[k + 1]] = time[begin:end]
    return begins, to_index, to_time


@jit
def codes_at(column, index, none, out):
    """Write the codes of a column of the log, of whichever small type, at the events of `index`; `none` for -1."""
    for i in range(len(index)):
        code = column[at(index[i])]
        out[i] = code if code >= 0 else none


@jit
def take(column, index):
    """Return the values of a column of the log at the events of `index`."""
    out = np.empty(len(index), column.dtype)
    for i in range(len(index)):
        out[i] = column[at(index[i])]
    return out


@jit
def values_at(values, kind, has_value, index):
    """Return the values, int64, at the events of `index`: only of the kinds that have one, since most have none."""
    out = np.zeros(len(index), np.int64)
    for i in range(len(index)):
        if has_value[at(kind[i])]:
            out[i] = values[at(index[i])]
    return out

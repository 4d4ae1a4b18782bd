"""The events of a bucket, put together from its segments."""

import numpy as np

from waymark.kernels.jit import at, jit

_ENDLESS = np.iinfo(np.int64).max  # the time of what never happens


@jit
def find_unsorted(customer, anonymous, component, time, sequence, starts):
    """Say in which components events are not sure to be in order: (n_ids,) bool, by component.

    Parameters
    ----------
    customer, anonymous
        (n_events,) int32, the places of an event's identifiers, -1 for none.
    component
        (n_ids,) int32 code of each identifier's component.
    time, sequence
        (n_events,) int64, by which the events of a component should be ordered.
    starts
        Where the events of each segment start, (n_segments + 1,): those of one identifier that lie side by side in one
        are in order, ties included.
    """
    latest = np.full(len(component), -1, np.int64)
    is_unsorted = np.zeros(len(component), np.bool_)
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            owner = customer[at(i)] if customer[at(i)] >= 0 else anonymous[at(i)]
            c = at(component[at(owner)])
            j = latest[c]
            latest[c] = i
            if j < 0 or time[at(j)] < time[at(i)]:
                continue
            lies_beside = j + 1 == i and j >= starts[s]
            lies_beside &= owner == (customer[at(j)] if customer[at(j)] >= 0 else anonymous[at(j)])
            before, now = sequence[at(j)], sequence[at(i)]
            if time[at(j)] > time[at(i)] or before > now or (before == now and not lies_beside):
                is_unsorted[c] = True
    return is_unsorted


@jit
def least_at(least, place, one, other):
    """Lower `least[place[i]]` to the later of the times `one[i]` and `other[i]`, in place; a place of -1 is none."""
    for i in range(len(place)):
        if place[i] >= 0:
            least[at(place[i])] = min(least[at(place[i])], max(one[i], other[i]))


@jit
def recode(codes, new, out):
    """Write `new[codes[i]]` to `out[i]`; a code of -1 is none, for which the last of `new` stands."""
    last = len(new) - 1
    for i in range(len(codes)):
        code = codes[at(i)]
        out[at(i)] = new[at(code if code >= 0 else last)]


@jit
def owned(customer, anonymous, is_asked):
    """Return the positions of the events of some identifiers, int64: an event is its customer's, where it has one.

    Parameters
    ----------
    customer, anonymous
        (n_events,) int32, the places of an event's identifiers, -1 for none.
    is_asked
        (n_ids,) bool.
    """
    out = np.empty(len(customer), np.int64)
    n = 0
    for i in range(len(customer)):
        owner = customer[at(i)] if customer[at(i)] >= 0 else anonymous[at(i)]
        out[n] = i  # without a branch: which rows are asked for follows no pattern
        n += is_asked[at(owner)]
    return out[:n].copy()


@jit
def mark(is_marked, places):
    """Mark some places, in place; a place of -1 is the last."""
    for i in range(len(places)):
        is_marked[places[i]] = True


@jit
def mark_later(is_marked, one, two, times, begin):
    """Mark `one[i]` and `two[i]`, as `mark` does, where `times[i]` is from `begin` on; the largest number is never."""
    for i in range(len(times)):
        if begin <= times[i] < _ENDLESS:
            is_marked[one[i]] = True
            is_marked[two[i]] = True


@jit
def mark_between(is_marked, customer, anonymous, time, ranges):
    """Mark whose events happened in one of some half-open ranges, (n_ranges, 2) int64, in place; see `owned`."""
    first, last = ranges[:, 0].min(), ranges[:, 1].max()
    for i in range(len(time)):
        if first <= time[at(i)] < last:
            for r in range(len(ranges)):
                if ranges[r, 0] <= time[at(i)] < ranges[r, 1]:
                    is_marked[at(customer[at(i)] if customer[at(i)] >= 0 else anonymous[at(i)])] = True


@jit
def both(one, two, in_one, in_two):
    """Write where the numbers that two ascending lists share are in each, and return how many.

    A number that `two` holds several times is met each time; `in_one` and `in_two` have room for as many as `two`.
    """
    i, j, n = 0, 0, 0
    while i < len(one) and j < len(two):
        a, b = one[i], two[j]
        in_one[n], in_two[n] = i, j  # without a branch, as above
        n += a == b
        i += a < b
        j += b <= a
    return n

"""The events of a bucket put together from its segments: whole components, each in the order of time."""

import numpy as np

from waymark.kernels.jit import at, jit


@jit
def arrange(customer, anonymous, component, is_dead, time, sequence, segment, position):
    """Order the events that count by the component of their identifier, those of one component as they lie.

    Parameters
    ----------
    customer, anonymous
        (n_events,) int32, the places of an event's identifiers, -1 for none.
    component
        (n_ids,) int32 code of each identifier's component.
    is_dead
        (n_events,) bool: the event no longer counts.
    time, sequence
        (n_events,) int64, by which events should be ordered.
    segment, position
        (n_events,) int32, where an event lies: events of one segment and component that lie side by side are in order,
        ties included.

    Returns
    -------
    order : (n_alive,) int32, positions of events
    is_unsorted : (n_ids,) bool, by component: its events are not sure to be in order yet
    """
    n = len(component)
    starts = np.zeros(n + 1, np.int64)
    owner = np.empty(len(customer), np.int32)
    for i in range(len(customer)):
        owner[i] = -1
        if not is_dead[i]:
            owner[i] = component[at(customer[i] if customer[i] >= 0 else anonymous[i])]
            starts[at(owner[i] + 1)] += 1
    for c in range(n):
        starts[c + 1] += starts[c]
    order = np.empty(starts[n], np.int32)
    latest = np.full(n, -1, np.int32)
    is_unsorted = np.zeros(n, np.bool_)
    for i in range(len(owner)):
        if owner[i] < 0:
            continue
        c = at(owner[i])
        j = latest[c]
        latest[c] = i
        order[at(starts[c])] = i
        starts[c] += 1
        if j < 0 or time[j] < time[i]:
            continue
        lies_beside = segment[j] == segment[i] and position[j] + 1 == position[i]
        if time[j] > time[i] or sequence[j] > sequence[i] or (sequence[j] == sequence[i] and not lies_beside):
            is_unsorted[c] = True
    return order, is_unsorted


@jit
def least_at(least, place, values):
    """Lower `least[place[i]]` to `values[i]`, in place; a place of -1 is none."""
    for i in range(len(place)):
        if place[i] >= 0 and values[i] < least[at(place[i])]:
            least[at(place[i])] = values[i]

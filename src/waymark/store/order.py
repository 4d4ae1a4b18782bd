"""The order of events within their component: by time, sequence, event id and when they were known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

Texts = Callable[[np.ndarray], pa.Array | pa.ChunkedArray]  # positions -> the event ids there


def order_events(
    component: np.ndarray, time: np.ndarray, sequence: np.ndarray, known: np.ndarray, event_ids: Texts
) -> np.ndarray:
    """Return the positions of events in order; event ids are looked up only where everything else is equal.

    Parameters
    ----------
    component, time, sequence, known
        (n_events,) component codes, int64 microseconds, int64, int64 microseconds.
    event_ids
        Returns the ids at some positions.
    """
    order = np.lexsort((sequence, time, component))
    c, t, s = component[order], time[order], sequence[order]
    is_tied = np.zeros(len(order), bool)
    is_tied[1:] = (c[1:] == c[:-1]) & (t[1:] == t[:-1]) & (s[1:] == s[:-1])
    run = np.cumsum(~is_tied)
    is_tied[:-1] |= is_tied[1:]
    at = np.flatnonzero(is_tied)
    if len(at):
        texts = event_ids(order[at])
        rank = ranks_of(texts)
        order[at] = order[at][np.lexsort((known[order[at]], rank, run[at]))]
    return order


def ranks_of(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return the place of each text among the distinct ones, sorted."""
    coded = texts.dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    place = np.empty(len(coded.dictionary), np.int64)
    place[np.argsort(coded.dictionary.to_numpy(zero_copy_only=False).astype(object), kind="stable")] = np.arange(
        len(place)
    )
    return place[coded.indices.to_numpy()]

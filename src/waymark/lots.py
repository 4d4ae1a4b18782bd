"""Whom to draw: lots that stay with persons whatever night one looks from, through every merge.

Who is one person hangs on the night: a log-in makes one of two. Drawn by the ids of a night, a person could train and
test, or be drawn on one night and not on another. So the lot goes by all that were ever linked, whose persons of any
night never meet; and as of a time, so that it hangs on nothing that was known later. No feature goes by a lot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from waymark.identity import Identities
from waymark.persons import ever_linked


def lots(identities: Identities, as_of: int, hash_key: str) -> np.ndarray:
    """Return a lot for each identifier: a hash of the oldest that is of its widest component as of a time.

    Parameters
    ----------
    as_of
        Microseconds. Persons of any cut-off up to it have one lot each.
    hash_key
        16 characters; draws with other keys know nothing of each other.

    Returns
    -------
    numpy.ndarray
        (n_ids,) uint64, spread evenly.
    """
    return pd.util.hash_array(identities.person_ids, hash_key=hash_key, categorize=False)[widest(identities, as_of)]


def widest(identities: Identities, as_of: int) -> np.ndarray:
    """Return the code of the oldest identifier of each one's widest component, (n_ids,) int32.

    The component is all that links join that counted at any cut-off up to `as_of` (microseconds), whether or not they
    still do. Those of an identifier from then on when too many were linked to it never count (`Identities.hubs_since`):
    what they lead to may lie in any bucket.
    """
    since = identities.hubs_since
    counted = identities.linked_from < np.minimum(since[identities.low], since[identities.high])
    links = {name: getattr(identities, name)[counted] for name in ("low", "high", "linked_from", "linked_until")}
    return ever_linked(replace(identities, **links), before=as_of)

"""Your own features, one function each; `features.custom: [name, ...]` in the settings switches them on.

A function gets the prediction points (`waymark.points.Points`) and returns one float a point: NaN where nothing is
known. What point p may see are the grouped events `points.first[p] <= i < points.end[p]`; `points.window_sums` and
`points.days_since` add them up, and `points.log` holds their columns, found through `points.grouped.index`. The log
itself knows more than a point may see: `make leakcheck` says whether a function looked. The same function serves
training and scoring, reads no files, and says the same of a person whoever else is there.
"""

import numpy as np

from waymark.custom import feature
from waymark.points import Points

_DAY_US = 86_400_000_000
_THURSDAY = 3  # weekday of 1970-01-01, Monday being 0


@feature("share of activities at weekends", unit="share")
def share_weekend(points: Points) -> np.ndarray:
    """Say how much of a person's activity falls on Saturdays and Sundays, in UTC."""
    is_weekend = (points.grouped.time // _DAY_US + _THURSDAY) % 7 >= 5
    category = np.where(points.is_customer, is_weekend, -1)  # 1 at weekends, 0 on other days, -1 does not count
    sums = points.window_sums(category, 2, windows_days=[])[:, -1]  # over the whole history
    return sums[:, 1] / sums.sum(axis=1)  # who has a row has been active

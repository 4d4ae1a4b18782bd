"""Do others compute what we compute? `python agreement.py OURS THEIRS` prints the columns that differ."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from waymark import tonight

CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # ours are 32 bits wide; long sums of small numbers differ by their order


def differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Return the features in which two tables differ, whose rows are persons in any order.

    Persons have ids in one table and numbers in the other, so rows are compared in the order of all their values.
    """
    columns = sorted(c for c in ours if c.startswith("f_"))
    lacking = [c for c in columns if c not in theirs]
    if lacking or len(ours) != len(theirs):
        return lacking or [f"{len(theirs):,} persons instead of {len(ours):,}"]
    exact = [c for c in columns if c.startswith(("f_n_", "f_last_type", "f_value"))]
    one, other = (t[columns].astype("float64").sort_values([*exact, "f_tenure_days"]) for t in (ours, theirs))
    return [c for c in columns if not np.allclose(one[c], other[c], equal_nan=True, **CLOSE)]


if __name__ == "__main__":
    print("\n".join(differences(tonight.read(path=Path(sys.argv[1])), pd.read_parquet(Path(sys.argv[2])))))

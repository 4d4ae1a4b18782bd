"""Whose each identifier of a bucket is on a night, remembered so that the next one need not find it out again.

Of persons of whom nothing was learnt it is the same on the next night. What is remembered is an int32 by the place of
an identifier in its bucket: the place of the one that names its person. It is -1 of an identifier whose events may be
somebody else's, and of one that lives elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark import heads
from waymark.identity import Identities


def path_of(folder: Path, night: str, bucket: int) -> Path:
    """Return the file of a bucket."""
    return folder / f"{night}-{bucket:04d}.columns"


def read(path: Path) -> np.ndarray:
    """Return what is remembered of a bucket."""
    return heads.read(path).numbers("person")


def write(person: np.ndarray, path: Path) -> None:
    """Remember."""
    heads.write(pa.table({"person": person}), path)


def renewed(before: np.ndarray, mine: Identities, places: np.ndarray, cutoff: int, n_ids: int) -> np.ndarray:
    """Return what is to be remembered of a bucket of `n_ids` identifiers.

    Those of `mine`, which are at some `places`, are whose they are at a cut-off, but for foreign ones; all others are
    whose they were `before`.
    """
    person = np.append(before, np.full(n_ids - len(before), -1, np.int32))
    own = np.flatnonzero(~mine.is_foreign)
    person[places[own]] = np.where(mine.are_lent(cutoff), -1, places[mine.people(cutoff)])[own]
    return person


def delete_others(folder: Path, night: str) -> None:
    """Delete what was remembered on other nights."""
    for path in folder.iterdir():
        if not path.name.startswith(f"{night}-"):
            path.unlink()

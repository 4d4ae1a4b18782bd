"""Whose each identifier of a bucket is on a night, remembered so that the next one need not find it out again.

Of persons of whom nothing was learnt it is the same on the next night. What is remembered is an int32 by the place of
an identifier in its bucket: the place of the one that names its person. It is -1 where events that carry the identifier
and no customer may be somebody else's. Nobody asks for what it holds of one that has left the bucket.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from waymark import heads
from waymark.identity import Identities


class Memory(NamedTuple):
    """Where it is remembered: a file for each bucket, called after the night."""

    folder: Path
    last: str = ""  # the last night; none where nothing is remembered of it
    night: str = ""  # tonight; none where nothing is to be remembered

    def holds(self, night: str, n_buckets: int) -> bool:
        """Say whether something is remembered of all buckets of a night."""
        return all(self._file(night, bucket).exists() for bucket in range(n_buckets))

    def read(self, bucket: int) -> np.ndarray | None:
        """Return what is remembered of a bucket of the last night, if anything."""
        return heads.read(self._file(self.last, bucket)).numbers("person") if self.last else None

    def write(self, bucket: int, person: np.ndarray) -> None:
        """Remember something of a bucket of tonight."""
        heads.write(pa.table({"person": person}), self._file(self.night, bucket))

    def forget_others(self) -> None:
        """Delete what is remembered of other nights than tonight."""
        for path in self.folder.iterdir():
            if not (self.night and path.name.startswith(f"{self.night}-")):
                path.unlink(missing_ok=True)  # a worker that was taken for dead may still be writing

    def _file(self, night: str, bucket: int) -> Path:
        return self.folder / f"{night}-{bucket:04d}.columns"


def renewed(before: np.ndarray | None, mine: Identities, places: np.ndarray, cutoff: int, n_ids: int) -> np.ndarray:
    """Return what is to be remembered of a bucket of `n_ids` identifiers.

    Those of `mine`, which are at some `places`, are whose they are at a cut-off, but for foreign ones; all others are
    whose they were `before`.
    """
    person = np.full(n_ids, -1, np.int32)
    if before is not None:
        person[: len(before)] = before
    own = np.flatnonzero(~mine.is_foreign)
    person[places[own]] = np.where(mine.are_lent(cutoff), -1, places[mine.people(cutoff)])[own]
    return person

"""Which rows of a person a kept table need not be told again, because they are as they were.

A person's rows are numbered, and most news only add to their end. Of each person a kept table remembers how many rows
there are, and a hash of all but the last one, which hardly ever stays. Where the rows made tonight begin with the same
ones, those stay where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import tables
from waymark.store import mapped
from waymark.store.hashes import hash_names, hash_rows, hash_texts

SCHEMA = pa.schema({"person": pa.uint64(), "n": pa.int32(), "head": pa.uint64()})


def write(heads: pa.Table, path: Path) -> None:
    """Write what is remembered: rows of `SCHEMA`, which no packing makes smaller."""
    with tables.atomic(path) as temporary:
        mapped.write_mapped(temporary, heads.cast(SCHEMA))


def read(path: Path) -> pa.Table:
    """Read what `write` wrote."""
    return mapped.Mapped(path, "delete it").table()


class Changed(NamedTuple):
    """What is new of some rows."""

    rows: pa.Table  # those that are not as they were
    persons: pa.Array  # of whom some rows stay: their names
    first: np.ndarray  # int32: the number of the first row that is new, of each of them
    heads: pa.Table  # of everybody: `SCHEMA`, sorted by `person`, a hash of the name


def changed_rows(rows: pa.Table, person: str, number: str, old: pa.Table, gone: np.ndarray) -> Changed:
    """Tell which rows are not as they were.

    Parameters
    ----------
    rows
        Those of a person below each other, in the order of their `number`, which begins with 1.
    person, number
        Names of columns.
    old
        What was remembered last: `SCHEMA`.
    gone
        Names (an object array of texts) of persons of whom nothing but `rows` is to be remembered.
    """
    numbers = rows[number].to_numpy()
    begins = np.flatnonzero(numbers == 1)
    sizes = np.diff(np.append(begins, len(rows)))
    names = rows[person].combine_chunks().take(pa.array(begins))
    persons = hash_texts(names)
    hashes = _hashes(rows.drop_columns(person), np.repeat(persons, sizes))
    sums = np.append(np.uint64(0), np.cumsum(hashes, dtype=np.uint64))
    known, n, head = (old[c].to_numpy() for c in SCHEMA.names)
    at, is_known = _find(known, persons)
    n_same = np.where(is_known, np.append(n, np.int32(1))[at] - 1, 0)
    is_same = sums[begins + np.minimum(n_same, sizes)] - sums[begins] == np.append(head, np.uint64(0))[at]
    n_same[~is_same | (n_same >= sizes)] = 0
    stays = n_same > 0
    at, is_known = _find(known, hash_names(gone))
    is_kept = np.ones(len(known), bool)
    is_kept[at[is_known]] = False
    columns = persons, sizes.astype(np.int32), sums[begins + sizes - 1] - sums[begins]
    together = [np.append(old[c].to_numpy()[is_kept], new) for c, new in zip(SCHEMA.names, columns, strict=True)]
    order = np.argsort(together[0], kind="stable")
    return Changed(
        rows.filter(pa.array(numbers > np.repeat(n_same, sizes))),
        names.filter(pa.array(stays)),
        (n_same[stays] + 1).astype(np.int32),
        pa.table([c[order] for c in together], SCHEMA),
    )


def _find(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where some hashes are or would be among sorted ones, and which of them are there."""
    at = np.searchsorted(known, asked)
    is_there = at < len(known)
    is_there[is_there] = known[at[is_there]] == asked[is_there]
    return at, is_there


def _hashes(rows: pa.Table, persons: np.ndarray) -> np.ndarray:
    """Return a hash of each row."""
    columns = {"": (persons, True)}
    for name in rows.column_names:
        values = rows[name].combine_chunks()
        is_there = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else True
        if pa.types.is_string(values.type):
            coded = values.dictionary_encode()
            place = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
            bits = hash_texts(coded.dictionary)[place] if len(coded.dictionary) else np.zeros(len(rows), np.uint64)
        else:
            bits = pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        columns[name] = bits, is_there
    return hash_rows(columns)

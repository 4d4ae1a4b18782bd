"""Which rows of a person a kept table need not be told again, because they are as they were.

A person's rows are numbered, and most news only add to their end. Of each person a kept table remembers how many rows
there are, and a hash of all but the last one, which hardly ever stays. Where the rows made tonight begin with the same
ones, those stay where they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark.store.hashes import hash_names, hash_rows, hash_texts

SCHEMA = pa.schema({"person": pa.uint64(), "n": pa.int32(), "head": pa.uint64()})


class Changed(NamedTuple):
    """What is new of some rows."""

    rows: pd.DataFrame  # those that are not as they were
    persons: pd.Series  # of whom some rows stay: their names
    first: np.ndarray  # int32: the number of the first row that is new, of each of them
    heads: pa.Table  # of everybody: `SCHEMA`, sorted by `person`, a hash of the name


def changed_rows(rows: pd.DataFrame, person: str, number: str, old: pa.Table, gone: np.ndarray) -> Changed:
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
    begins = np.flatnonzero(rows[number].to_numpy() == 1)
    sizes = np.diff(np.append(begins, len(rows)))
    names = rows[person].iloc[begins]
    persons = hash_texts(pa.array(names, pa.string()))
    hashes = _hashes(rows.drop(columns=person), np.repeat(persons, sizes))
    sums = np.append(np.uint64(0), np.cumsum(hashes, dtype=np.uint64))
    known, n, head = (old[c].to_numpy() for c in SCHEMA.names)
    at = np.searchsorted(known, persons)
    is_known = np.append(known, np.uint64(0))[at] == persons
    n_same = np.where(is_known, np.append(n, np.int32(1))[at] - 1, 0)
    is_same = sums[begins + np.minimum(n_same, sizes)] - sums[begins] == np.append(head, np.uint64(0))[at]
    n_same[~is_same | (n_same >= sizes)] = 0
    stays = n_same > 0
    is_kept = np.isin(known, hash_names(gone), invert=True)
    columns = persons, sizes.astype(np.int32), sums[begins + sizes - 1] - sums[begins]
    together = [np.append(old[c].to_numpy()[is_kept], new) for c, new in zip(SCHEMA.names, columns, strict=True)]
    order = np.argsort(together[0], kind="stable")
    return Changed(
        rows[rows[number].to_numpy() > np.repeat(n_same, sizes)],
        names[stays],
        (n_same[stays] + 1).astype(np.int32),
        pa.table([c[order] for c in together], SCHEMA),
    )


def _hashes(rows: pd.DataFrame, persons: np.ndarray) -> np.ndarray:
    """Return a hash of each row."""
    columns = {"": (persons, np.ones(len(rows), bool))}
    for name in rows:
        column = rows[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.tz_convert(None)
        values = pa.table({name: pa.Array.from_pandas(column)})[name].combine_chunks()
        is_there = values.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            coded = values.dictionary_encode()
            bits = hash_texts(coded.dictionary)[coded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
        else:
            bits = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        columns[name] = bits, is_there
    return hash_rows(columns)

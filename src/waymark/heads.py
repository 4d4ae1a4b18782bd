"""What is remembered of each person from night to night, so that a night tells of nothing but its news.

*Which rows need not be told again*, because they are as they were. A person's rows are numbered, and most news only add
to their end. Of each person a kept table remembers how many rows there are, and a hash of all but the last one, which
hardly ever stays. Where the rows made tonight begin with the same ones, those stay where they are.

*Numbers that are added up*: each person's are remembered, and no table of them is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.store import mapped
from waymark.store.hashes import Ordered, hash_rows, hash_texts

SCHEMA = pa.schema({"person": pa.uint64(), "n": pa.int32(), "head": pa.uint64()})


def write(remembered: pa.Table, path: Path) -> None:
    """Write what is remembered, which hardly any packing makes smaller."""
    # Where a worker is taken for dead and is not, two processes write the same: each a file of its own.
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    mapped.write_mapped(temporary, remembered)
    temporary.replace(path)


def read(path: Path) -> mapped.Mapped:
    """Open what `write` wrote."""
    return mapped.Mapped(path, "delete it")


class Changed(NamedTuple):
    """What is new of some rows."""

    rows: pa.Table  # those that are not as they were
    persons: np.ndarray  # of whom some rows stay: hashes of their names
    first: np.ndarray  # int32: the number of the first row that is new, of each of them
    heads: pa.Table  # of everybody: `SCHEMA`, sorted by `person`, a hash of the name


def changed_rows(rows: pa.Table, person: str, number: str, old: mapped.Mapped | None, gone: np.ndarray) -> Changed:
    """Tell which rows are not as they were.

    Parameters
    ----------
    rows
        Those of a person below each other, in the order of their `number`, which begins with 1.
    person, number
        Names of columns.
    old
        What was remembered last, a file of `SCHEMA`; None: nothing.
    gone
        Hashes of names, ascending, of persons of whom nothing but `rows` is to be remembered.
    """
    numbers = rows[number].to_numpy()
    begins = np.flatnonzero(numbers == 1)
    sizes = np.diff(np.append(begins, len(rows)))
    persons = hash_texts(rows[person].combine_chunks().take(pa.array(begins)))
    hashes = _hashes(rows.drop_columns(person), np.repeat(persons, sizes))
    sums = np.append(np.uint64(0), np.cumsum(hashes, dtype=np.uint64))
    before = SCHEMA.empty_table() if old is None else old.table()
    known, n, head = (before[c].to_numpy() for c in SCHEMA.names)
    at, is_known = _find(known, persons)
    n_same = np.where(is_known, np.append(n, np.int32(1))[at] - 1, 0)
    is_same = sums[begins + np.minimum(n_same, sizes)] - sums[begins] == np.append(head, np.uint64(0))[at]
    n_same[~is_same | (n_same >= sizes)] = 0
    stays = n_same > 0
    at, is_known = _find(known, gone)
    is_kept = np.ones(len(known), bool)
    is_kept[at[is_known]] = False
    columns = persons, sizes.astype(np.int32), sums[begins + sizes - 1] - sums[begins]
    together = [np.append(before[c].to_numpy()[is_kept], new) for c, new in zip(SCHEMA.names, columns, strict=True)]
    order = np.argsort(together[0], kind="stable")
    return Changed(
        rows.filter(pa.array(numbers > np.repeat(n_same, sizes))),
        persons[stays],
        (n_same[stays] + 1).astype(np.int32),
        pa.table([c[order] for c in together], SCHEMA),
    )


def renewed_numbers(
    rows: pa.Table, person: str, old: mapped.Mapped | None, gone: np.ndarray
) -> tuple[pa.Table, dict[str, int]]:
    """Return the numbers of everybody, and their sums: those of `rows`, and the `old` ones of all who are not `gone`.

    What is returned, and `old` is a file of, has a column `person`, a hash of the name, in no order. A 0 is a null:
    where all are, they take no room. See `changed_rows`.
    """
    new, known = hash_texts(rows[person]), np.zeros(0, np.uint64) if old is None else old.numbers("person")
    stays = np.ones(len(known), bool)
    stays[Ordered(gone).positions_in(known)] = False
    columns, sums = {"person": np.append(known[stays], new)}, {}
    for name in rows.drop_columns(person).column_names:
        now = rows[name].to_numpy()
        if (old is None or old.only(name, 0) == 0) and not now.any():
            columns[name], sums[name] = pa.nulls(len(columns["person"]), pa.int32()), 0
            continue
        all_of = now if old is None else np.append(old.numbers(name)[stays], now)
        columns[name], sums[name] = pa.array(all_of, mask=all_of == 0), int(all_of.sum(dtype=np.int64))
    return pa.table(columns), sums


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

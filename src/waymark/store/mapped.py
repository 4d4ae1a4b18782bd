"""Columns of events as they lie in memory: files that are mapped, of which nothing is unpacked.

What walks and nights look at again and again is read in a sixth of the time that Parquet takes, and a few rows are
taken out without the others. Such a file is a checksum of each column, and then one column below the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

_KINDS = {
    "key": pa.uint64(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "known_time": pa.timestamp("us", tz="UTC"),
    "customer": pa.int32(),
    "anonymous": pa.int32(),
    "event_type": pa.int16(),
    "channel": pa.int16(),
    "actor": pa.int8(),
}  # the widest first: each lies where its values may
COLUMNS = frozenset(_KINDS)
SUFFIX = ".columns"
_BEGIN = 4 * len(_KINDS)  # of the first column, behind the checksums


def write_mapped(path: Path, table: pa.Table) -> None:
    """Write the `COLUMNS` of coded events, none of which lacks a value."""
    columns = [_bytes(table[name].combine_chunks().cast(kind)) for name, kind in _KINDS.items()]
    with path.open("wb") as file:
        file.write(np.array([zlib.crc32(column) for column in columns], "<u4").tobytes())
        for column in columns:
            file.write(column)


def _bytes(values: pa.Array) -> np.ndarray:
    whole = values.view(f"uint{values.type.bit_width}") if pa.types.is_timestamp(values.type) else values
    return whole.to_numpy(zero_copy_only=True).view(np.uint8)


def read_mapped(path: Path, n_rows: int, names: Iterable[str], *, are_checked: bool = True) -> dict[str, pa.Array]:
    """Return some of the columns, as they lie in the file; what is not checked is not looked at as a whole.

    Raises
    ------
    OSError
        It is not there, or not as it was written.
    """
    room = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    widths = [kind.bit_width // 8 for kind in _KINDS.values()]
    if len(room) != _BEGIN + n_rows * sum(widths):
        raise OSError(f"it does not hold {n_rows:,} rows")
    begins = _BEGIN + n_rows * np.cumsum([0, *widths])
    sums, places, found = room[:_BEGIN].view("<u4"), list(_KINDS), {}
    for name in names:
        i = places.index(name)
        column = room[begins[i] : begins[i + 1]]
        if are_checked and zlib.crc32(column) != sums[i]:
            raise OSError(f"its {name} has another checksum")
        found[name] = pa.Array.from_buffers(_KINDS[name], n_rows, [None, pa.py_buffer(column)])
    return found

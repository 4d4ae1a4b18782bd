"""Columns as they lie in memory: files that are mapped, of which nothing is unpacked.

What walks and nights look at again and again is read in a sixth of the time that Parquet takes, and a few rows are
taken out without the others. Such a file is a head, with the size and a checksum of each part, and then one part below
the other. A column of numbers or times is one part; a column of texts is two: their lengths, or none where all are
alike (as ids often are), and their bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

Kinds = Mapping[str, pa.DataType]  # the columns of a file, in their order; none of them lacks a value
SUFFIX = ".columns"


def write_mapped(path: Path, kinds: Kinds, table: pa.Table) -> None:
    """Write the columns `kinds` of a table."""
    parts = [part for name, kind in kinds.items() for part in _parts(table[name], kind)]
    sizes = [len(part) for part in parts]
    parts = [np.append(part, np.zeros(-len(part) % 8, np.uint8)) if len(part) % 8 else part for part in parts]
    head = np.array([table.num_rows, *sizes, *map(zlib.crc32, parts)], "<i8")
    with path.open("wb") as file:
        for part in (np.array([zlib.crc32(head)], "<i8"), head, *parts):  # each begins where 64 bits may
            file.write(part.data)


def read_mapped(
    path: Path, kinds: Kinds, names: Iterable[str] | None = None, *, are_checked: bool = True
) -> dict[str, pa.Array]:
    """Return the columns, or some, as they lie in the file; what is not checked is not looked at as a whole.

    Raises
    ------
    OSError
        It is not there, or not as it was written.
    """
    room = np.memmap(path, np.uint8, "r").view(np.ndarray) if path.stat().st_size else np.zeros(0, np.uint8)
    n_parts = sum(_n_parts(kind) for kind in kinds.values())
    head = room[8 : 16 + 16 * n_parts]
    if len(head) < 8 + 16 * n_parts or room[:8].view("<i8")[0] != zlib.crc32(head):
        raise OSError("its head has another checksum")
    (n_rows, *facts) = head.view("<i8").tolist()
    begins = np.cumsum([8 + len(head), *(size + -size % 8 for size in facts[:n_parts])]).tolist()
    if len(room) != begins[-1]:
        raise OSError(f"it does not hold {n_rows:,} rows")
    found, i = {}, 0
    for name, kind in kinds.items():
        at = range(i, i + _n_parts(kind))
        i = at.stop
        if names is not None and name not in names:
            continue
        if are_checked and any(zlib.crc32(room[begins[j] : begins[j + 1]]) != facts[n_parts + j] for j in at):
            raise OSError(f"its {name} has another checksum")
        found[name] = _column(kind, n_rows, [room[begins[j] :][: facts[j]] for j in at])
    return found


def _n_parts(kind: pa.DataType) -> int:
    return 2 if pa.types.is_string(kind) else 1


def _parts(column: pa.ChunkedArray, kind: pa.DataType) -> list[np.ndarray]:
    if column.null_count:
        raise pa.ArrowInvalid("a column that is mapped lacks a value")
    values = pa.concat_arrays([chunk.cast(kind) for chunk in column.chunks] or [pa.array([], kind)])
    if not pa.types.is_string(kind):
        plain = values.view(f"uint{kind.bit_width}") if pa.types.is_timestamp(kind) else values
        return [plain.to_numpy(zero_copy_only=True).view(np.uint8)]
    _, offsets, texts = values.buffers()
    begins = np.frombuffer(offsets, np.int32)[values.offset :][: len(values) + 1]
    lengths = np.diff(begins)
    longest = int(lengths.max(initial=0))
    width = next(w for w in (np.uint8, np.uint16, np.uint32) if longest <= np.iinfo(w).max)
    lengths = lengths[:0] if (lengths == longest).all() else lengths
    return [lengths.astype(width).view(np.uint8), np.frombuffer(texts, np.uint8)[begins[0] : begins[-1]]]


def _column(kind: pa.DataType, n_rows: int, parts: list[np.ndarray]) -> pa.Array:
    if not pa.types.is_string(kind):
        return pa.Array.from_buffers(kind, n_rows, [None, pa.py_buffer(parts[0])])
    lengths, texts = parts
    begins = np.zeros(n_rows + 1, np.int32)
    if len(lengths):
        np.cumsum(lengths.view(f"<u{len(lengths) // n_rows}"), out=begins[1:])
    elif n_rows:
        begins[:] = np.arange(n_rows + 1) * (len(texts) // n_rows)
    if begins[-1] != len(texts):
        raise OSError("its texts have other lengths")
    return pa.Array.from_buffers(kind, n_rows, [None, pa.py_buffer(begins), pa.py_buffer(texts)])

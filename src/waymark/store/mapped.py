"""Columns as they lie in memory: files that are mapped, of which nothing is unpacked.

What walks and nights look at again and again is read in a sixth of the time that Parquet takes, and a few rows are
taken out without the others. Such a file is a head, with the size and a checksum of each part, and then one part below
the other. A column of numbers or times is one part, of integers in as few bytes as the largest needs; a column of texts
is two: their lengths, or none where all are alike (as ids often are), and their bytes; and a column that mostly holds
nothing is two: the places of values, and these.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from waymark.kernels.texts import first_bytes


class Sparse(NamedTuple):
    """The kind of a column of integers of which rows may lack a value."""

    kind: pa.DataType


Kinds = Mapping[str, pa.DataType | Sparse]  # the columns of a file, in their order; no other lacks a value
SUFFIX = ".columns"
_INTEGERS = (np.int8, np.int16, np.int32, np.int64)


def write_mapped(path: Path, kinds: Kinds, table: pa.Table) -> None:
    """Write the columns `kinds` of a table."""
    parts = [part for name, kind in kinds.items() for part in _parts(table[name], kind)]
    sizes = [len(part) for part in parts]
    parts = [np.append(part, np.zeros(-len(part) % 8, np.uint8)) if len(part) % 8 else part for part in parts]
    head = np.array([table.num_rows, *sizes, *map(zlib.crc32, parts)], "<i8")
    with path.open("wb") as file:
        for part in (np.array([zlib.crc32(head)], "<i8"), head, *parts):  # each begins where 64 bits may
            file.write(part.data)


def write_beside(root: Path, before: Sequence[str], stem: str, kinds: Kinds, table: pa.Table) -> tuple[str, ...]:
    """Write a table as one more file of some below `root`, and return the names of all."""
    write_mapped(root / f"{stem}{SUFFIX}", kinds, table)
    return (*before, f"{stem}{SUFFIX}")


def read_mapped(
    path: Path,
    kinds: Kinds,
    names: Collection[str] | None = None,
    at: np.ndarray | None = None,
    *,
    are_checked: bool = True,
) -> dict[str, pa.Array]:
    """Return the columns, or some, or their rows `at` (ascending); what is not checked is not looked at as a whole.

    Raises
    ------
    OSError
        It is not there, or not as it was written.
    """
    with path.open("rb", buffering=0) as file:
        is_empty = not os.fstat(file.fileno()).st_size
        room = np.frombuffer(b"" if is_empty else mmap(file.fileno(), 0, access=ACCESS_READ), np.uint8)
    n_parts = sum(_n_parts(kind) for kind in kinds.values())
    head = room[8 : 16 + 16 * n_parts]
    if len(head) < 8 + 16 * n_parts or room[:8].view("<i8")[0] != zlib.crc32(head):
        raise OSError("its head has another checksum")
    (n_rows, *facts) = head.view("<i8").tolist()
    begins = np.cumsum([8 + len(head), *(size + -size % 8 for size in facts[:n_parts])]).tolist()
    if len(room) != begins[-1] or (at is not None and len(at) and at.max() >= n_rows):
        raise OSError(f"it does not hold {n_rows:,} rows")
    found, i = {}, 0
    for name, kind in kinds.items():
        mine = range(i, i + _n_parts(kind))
        i = mine.stop
        if names is not None and name not in names:
            continue
        if are_checked and any(zlib.crc32(room[begins[j] : begins[j + 1]]) != facts[n_parts + j] for j in mine):
            raise OSError(f"its {name} has another checksum")
        found[name] = _column(kind, n_rows, [room[begins[j] :][: facts[j]] for j in mine], at)
    return found


def _n_parts(kind: pa.DataType | Sparse) -> int:
    return 2 if isinstance(kind, Sparse) or pa.types.is_string(kind) else 1


def _parts(column: pa.ChunkedArray, kind: pa.DataType | Sparse) -> list[np.ndarray]:
    if isinstance(kind, Sparse):
        places = np.flatnonzero(column.is_valid().to_numpy()).astype(np.int32)
        return [places.view(np.uint8), *_parts(column.drop_null(), kind.kind)]
    if column.null_count:
        raise pa.ArrowInvalid("a column that is mapped lacks a value")
    values = pa.concat_arrays([chunk.cast(kind) for chunk in column.chunks] or [pa.array([], kind)])
    if not pa.types.is_string(kind):
        plain = values.view(f"uint{kind.bit_width}") if pa.types.is_timestamp(kind) else values
        numbers = plain.to_numpy(zero_copy_only=True)
        return [_narrow(numbers) if pa.types.is_signed_integer(kind) else numbers.view(np.uint8)]
    _, offsets, texts = values.buffers()
    begins = np.frombuffer(offsets, np.int32)[values.offset :][: len(values) + 1]
    lengths = np.diff(begins)
    are_alike = len(lengths) and (lengths == lengths[0]).all()
    return [_narrow(lengths[:0] if are_alike else lengths), np.frombuffer(texts, np.uint8)[begins[0] : begins[-1]]]


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """Return integers as the bytes of the narrowest type that holds all of them."""
    ends = numbers.min(initial=0), numbers.max(initial=0)
    kind = next(k for k in _INTEGERS if np.iinfo(k).min <= ends[0] and ends[1] <= np.iinfo(k).max)
    return numbers.astype(kind, copy=False).view(np.uint8)


def _column(kind: pa.DataType | Sparse, n_rows: int, parts: list[np.ndarray], at: np.ndarray | None) -> pa.Array:
    if isinstance(kind, Sparse):
        places = parts[0].view("<i4")
        values = _column(kind.kind, len(places), parts[1:], None).to_numpy()
        if at is not None:
            found = np.searchsorted(places, at)
            is_there = np.append(places, -1)[found] == at
            n_rows, places, values = len(at), np.flatnonzero(is_there), values[found[is_there]]
        whole, is_none = np.zeros(n_rows, values.dtype), np.ones(n_rows, bool)
        whole[places], is_none[places] = values, False
        return pa.array(whole, kind.kind, mask=is_none)
    if not pa.types.is_string(kind):
        width = len(parts[0]) // max(n_rows, 1)
        numbers = parts[0].view(f"<i{width}" if width else np.int8)
        numbers = (numbers if at is None else numbers[at]).astype(f"<i{kind.bit_width // 8}", copy=False)
        return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
    lengths, texts = parts
    if len(lengths):
        lengths = lengths.view(f"<i{len(lengths) // n_rows}")
    else:
        lengths = np.full(n_rows, len(texts) // max(n_rows, 1), np.int32)
    if at is not None:
        from_, lengths = first_bytes(lengths, at.astype(np.int64, copy=False)), lengths[at]
        if (from_ + lengths).max(initial=0) > len(texts):
            raise OSError("its texts have other lengths")
    to = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, dtype=np.int32, out=to[1:])
    if at is not None:
        texts = texts[np.repeat(from_ - to[:-1], lengths) + np.arange(to[-1])]
    if to[-1] != len(texts):
        raise OSError("its texts have other lengths")
    return pa.Array.from_buffers(kind, len(lengths), [None, pa.py_buffer(to), pa.py_buffer(texts)])

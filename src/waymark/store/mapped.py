"""Columns as they lie in memory: files that are mapped, of which nothing is unpacked.

Such a file is a head and the parts of its columns, one below the other, each with a checksum. The head says of each
column how it is written; a column of one value, or of none, lies there and has no part. Integers and times take as few
bytes as the largest needs. What walks and nights look at again and again is read in a sixth of the time that Parquet
takes, and a few rows are taken out without the others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from waymark.errors import InputError
from waymark.kernels import buckets
from waymark.kernels.checks import checksum
from waymark.kernels.texts import first_bytes

SUFFIX = ".columns"
_INTEGERS = (np.int8, np.int16, np.int32, np.int64)
_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")
_KINDS = {
    str(kind): (kind, np.dtype(plain))
    for kind, plain in (
        (pa.uint64(), np.uint64),
        (pa.int64(), np.int64),
        (pa.int32(), np.int32),
        (pa.int16(), np.int16),
        (pa.int8(), np.int8),
        (pa.uint8(), np.uint8),
        (pa.bool_(), np.int8),
        (pa.float64(), np.float64),
        (_TIME, np.int64),
        (_TEXT, np.uint8),
    )
}
# How values are written: one in all rows; all; those that are there, and their places; or the distinct ones, and which.
_ONE, _ALL, _FEW, _AGAIN = "one", "all", "few", "again"
_NONE = "none"  # what stands for the value of a column that has none


class Values(NamedTuple):
    """Some rows of a column: numbers, of any width, or texts, as their bytes and the length of each."""

    data: np.ndarray
    lengths: np.ndarray | None = None  # of texts
    is_none: np.ndarray | None = None  # None: all rows have a value


def damaged(path: Path, what: object, remedy: str = "delete the folder of the store") -> InputError:
    """Return the error of a file that is not as it was written."""
    return InputError(f"{path} is missing or damaged ({str(what)[:120]}); {remedy} and run `dvc repro -P`")


# --- writing --------------------------------------------------------------------------------------------------------


def write_mapped(path: Path, table: pa.Table, repeated: Collection[str] = ()) -> None:
    """Write a table; of the columns `repeated` each value is written once."""
    columns, parts = {}, []
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = _whole(column)
        how, mine = _written(values, name in repeated)
        columns[name] = [str(values.type), how, [[len(part), int(checksum(_words(part)))] for part in mine]]
        parts += mine
    head = json.dumps({"n_rows": table.num_rows, "columns": columns}, separators=(",", ":")).encode()
    head = np.frombuffer(head + b" " * (-len(head) % 8), np.uint8)
    with path.open("wb") as file:
        file.write(np.array([len(head), checksum(_words(head))], "<u8").data)
        file.write(head.data)
        for part in parts:  # each begins where 64 bits may
            file.write(part.data)
            file.write(bytes(-len(part) % 8))


def write_beside(root: Path, before: Sequence[str], stem: str, table: pa.Table) -> tuple[str, ...]:
    """Write a table as one more file of some below `root`, and return the names of all."""
    write_mapped(root / f"{stem}{SUFFIX}", table)
    return (*before, f"{stem}{SUFFIX}")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    is_text = pa.types.is_large_string(column.type)
    chunks = [chunk.cast(_TEXT) if is_text else chunk for chunk in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks or [pa.array([], _TEXT if is_text else column.type)])


def _words(part: np.ndarray) -> np.ndarray:
    """Return bytes as 64-bit words; the last is filled up."""
    n = -len(part) % 8
    return (np.append(part, np.zeros(n, np.uint8)) if n else part).view("<u8")


def _written(values: pa.Array, is_repeated: bool) -> tuple[list[Any], list[np.ndarray]]:
    """Return how values are written, and the parts that hold them."""
    n = len(values)
    if n and values.null_count == n:
        return [_ONE, n, None], []
    if is_repeated:
        coded = values.dictionary_encode()
        how, parts = _written(coded.dictionary, False)
        if how[0] == _ONE and not values.null_count:
            return [_ONE, n, *how[2:]], []
        return [_AGAIN, n, how], [_narrow(coded.indices.fill_null(-1).to_numpy()), *parts]
    if values.null_count:
        places = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
        how, parts = _written(values.drop_null(), False)
        return [_FEW, n, how], [places.astype("<i4").view(np.uint8), *parts]
    if values.type == _TEXT:
        _, offsets, texts = values.buffers()
        begins = np.frombuffer(offsets or bytes(4), np.int32)[values.offset :][: n + 1]
        lengths = np.diff(begins)
        are_alike = n and (lengths == lengths[0]).all()
        mine = np.frombuffer(texts or b"", np.uint8)[begins[0] : begins[-1]]
        return [_ALL, n], [_narrow(lengths[:0] if are_alike else lengths), mine]
    kind, plain = _KINDS[str(values.type)]
    if kind == pa.bool_():
        numbers = values.to_numpy(zero_copy_only=False).view(plain)
    else:
        numbers = np.frombuffer(values.buffers()[1] or b"", plain)[values.offset :][:n]
    bits = numbers.view(np.int64) if plain == np.float64 else numbers
    if n and bits[0] == bits[-1] and (bits == bits[0]).all():
        return [_ONE, n, numbers[0].item()], []
    return [_ALL, n], [_narrow(numbers) if plain.kind == "i" else numbers.view(np.uint8)]


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """Return integers as the bytes of the narrowest type that holds all of them."""
    ends = numbers.min(initial=0), numbers.max(initial=0)
    kind = next(k for k in _INTEGERS if np.iinfo(k).min <= ends[0] and ends[1] <= np.iinfo(k).max)
    return numbers.astype(kind, copy=False).view(np.uint8)


# --- reading --------------------------------------------------------------------------------------------------------


class Mapped:
    """A file of columns. Of what it holds nothing is looked at before it is asked for.

    Whatever is wrong with it, then or later, is an `InputError`. Rows are asked for by their places, ascending; what is
    not to be checked is not looked at as a whole.
    """

    def __init__(self, path: Path, remedy: str = "delete the folder of the store") -> None:
        """Open it; `remedy` says what to do where it is damaged."""
        self.path, self._remedy = path, remedy
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                room = np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_READ) if size else b"", np.uint8)
            begin, said = room[:16].view("<u8").tolist() if size >= 16 else (0, 0)
            head = room[16 : 16 + begin]
            if size < 16 + begin or begin % 8 or not begin or checksum(head.view("<u8")) != said:
                raise OSError("its head has another checksum")
            self._room, facts, begin = room, json.loads(head.tobytes()), begin + 16
            self.n_rows: int = facts["n_rows"]
            self._columns = {}
            for name, (kind, how, parts) in facts["columns"].items():
                self._columns[name] = kind, how, parts, begin
                for size, _ in parts:
                    begin += size + -size % 8
            if len(room) != begin:
                raise OSError(f"it does not hold {self.n_rows:,} rows")
        except OSError as error:
            raise damaged(path, error, remedy) from None

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self._columns)

    def kind(self, name: str) -> pa.DataType:
        """Return the type of a column."""
        return _KINDS[self._columns[name][0]][0]

    def only(self, name: str, none: Any) -> Any:
        """Return the one value, or `none`, that a column of numbers has in all rows; None where it has several."""
        if name not in self._columns:
            return none
        way, _, *of = self._columns[name][1]
        return None if way != _ONE else none if of[0] is None else of[0]

    def values(self, name: str, at: np.ndarray | None = None, *, none: float = 0, are_checked: bool = True) -> Values:
        """Return all rows of a column, or some; a number that is not there is `none`."""
        kind, how, sizes, begin = self._columns[name]
        parts = []
        try:
            for size, said in sizes:
                end = begin + size + -size % 8
                if are_checked and checksum(self._room[begin:end].view("<u8")) != said:
                    raise OSError(f"its {name} has another checksum")
                parts.append(self._room[begin : begin + size])
                begin = end
            if at is not None and len(at) and at[-1] >= self.n_rows:
                raise OSError(f"it has {self.n_rows:,} rows")
            return _read(None if kind == "string" else _KINDS[kind][1], how, iter(parts), at, none)
        except (OSError, IndexError, ValueError) as error:
            raise damaged(self.path, error, self._remedy) from None

    def numbers(self, name: str, at: np.ndarray | None = None, *, are_checked: bool = True) -> np.ndarray:
        """Return all rows of a column of numbers, or some, in its own type; what has no value is 0."""
        data = self.values(name, at, are_checked=are_checked).data
        return data.astype(_KINDS[self._columns[name][0]][1], copy=False)

    def table(
        self, names: Iterable[str] | None = None, at: np.ndarray | None = None, *, are_checked: bool = True
    ) -> pa.Table:
        """Return its columns, or those of some names that it has."""
        asked = self.names if names is None else [name for name in names if name in self._columns]
        return together([(self, at)], asked, are_checked=are_checked)


def together(
    asked: Sequence[tuple[Mapped, np.ndarray | None]], names: Iterable[str], *, are_checked: bool = True
) -> pa.Table:
    """Return rows of some files, of which all have the columns `names`, below each other."""
    columns, first = {}, asked[0][0]
    n_rows = sum(file.n_rows if at is None else len(at) for file, at in asked)
    for name in names:
        ones = {file.only(name, _NONE) for file, _ in asked}
        if ones == {_NONE}:
            columns[name] = pa.nulls(n_rows, first.kind(name))
            continue
        if len(ones) == 1 and None not in ones:
            found = [Values(np.full(n_rows, ones.pop()))]
        else:
            found = [file.values(name, at, are_checked=are_checked) for file, at in asked]
        columns[name] = _array(first.kind(name), found)
    return pa.table(columns)


def _read(
    plain: np.dtype | None, how: Sequence[Any], parts: Iterator[np.ndarray], at: np.ndarray | None, none: float = 0
) -> Values:
    """Return values that are written in a way; `plain` is the type of numbers, None of texts."""
    way, n, *of = how
    n_asked = n if at is None else len(at)
    if way == _ONE:
        is_none = np.ones(n_asked, bool) if of[0] is None else None
        if plain is None:
            return Values(np.zeros(0, np.uint8), np.zeros(n_asked, np.int32), is_none)
        return Values(np.full(n_asked, none if of[0] is None else of[0], plain), None, is_none)
    if way == _FEW:
        places = next(parts).view("<i4")
        if at is not None:
            found = np.empty(n_asked, np.int64), np.empty(n_asked, np.int64)
            n_found = buckets.both(places, at.astype(np.int64, copy=False), *found)
            at, places = (one[:n_found] for one in found)
        data, lengths, _ = _read(plain, of[0], parts, at)
        is_none = np.ones(n_asked, bool)
        is_none[places] = False
        if lengths is not None:
            return Values(data, _spread(lengths, places, np.zeros(n_asked, np.int32)), is_none)
        room = np.full(n_asked, none, plain) if none else np.zeros(n_asked, data.dtype)
        return Values(_spread(data, places, room), None, is_none)
    if way == _AGAIN:
        codes = _numbers(next(parts), n, None)
        codes = codes if at is None else codes[at]
        is_none = codes < 0
        used = None
        if at is not None and plain is None:  # of the distinct texts, which are many, only those that are asked for
            used, codes = np.unique(codes[~is_none], return_inverse=True)
            codes = _spread(codes, np.flatnonzero(~is_none), np.full(n_asked, -1))
            if len(used) and used[-1] >= of[0][1]:
                raise OSError(f"it has {of[0][1]:,} distinct texts")
        data, lengths, _ = _read(plain, of[0], parts, used)
        if lengths is None:
            return Values(np.where(is_none, none, data[codes]), None, is_none)
        lengths = np.append(lengths, np.int32(0))  # where -1 points
        begins = np.cumsum(lengths, dtype=np.int64) - lengths
        return Values(_bytes_at(data, begins[codes], lengths[codes]), lengths[codes], is_none)
    if plain is not None:
        numbers = _numbers(next(parts), n, plain)
        return Values(numbers if at is None else numbers[at])
    lengths, data = next(parts), next(parts)
    if not len(lengths):  # all are alike
        length = len(data) // max(n, 1)
        if length * n != len(data):
            raise OSError("its texts have other lengths")
        found = data if at is None else data.reshape(n, length)[at].reshape(-1)
        return Values(found, np.full(n_asked, length, np.int32))
    lengths = _numbers(lengths, n, None)
    if at is None:
        if lengths.sum(dtype=np.int64) != len(data):
            raise OSError("its texts have other lengths")
        return Values(data, lengths)
    begins = first_bytes(lengths, at.astype(np.int64, copy=False))
    return Values(_bytes_at(data, begins, lengths[at]), lengths[at])


def _numbers(part: np.ndarray, n: int, plain: np.dtype | None) -> np.ndarray:
    """Return a part as numbers, of the width that they were written in; None: integers."""
    width = len(part) // max(n, 1)
    return part.view(f"<i{width}" if width and (plain is None or plain.kind == "i") else plain or np.int8)


def _spread(values: np.ndarray, places: np.ndarray, room: np.ndarray) -> np.ndarray:
    room[places] = values
    return room


def _bytes_at(data: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the bytes of some texts, one after another, given where each begins."""
    to = np.cumsum(lengths, dtype=np.int64)
    return data[np.repeat(begins - to + lengths, lengths) + np.arange(to[-1] if len(to) else 0)]


def _array(kind: pa.DataType, found: Sequence[Values]) -> pa.Array:
    """Return values below each other."""
    data, lengths, is_none = zip(*found, strict=True)
    mine = _below(data, _KINDS[str(kind)][1])
    n = len(mine)
    buffers = [np.packbits(mine != 0, bitorder="little") if kind == pa.bool_() else mine]
    if kind == _TEXT:
        to = np.zeros(sum(map(len, lengths)) + 1, np.int32)
        np.cumsum(_below(lengths, np.int32), dtype=np.int32, out=to[1:])
        n, buffers = len(to) - 1, [to, mine]
    valid, n_none = None, 0
    if any(one is not None for one in is_none):
        rows = [d if of is None else of for d, of in zip(data, lengths, strict=True)]
        none = np.concatenate([np.zeros(len(r), bool) if m is None else m for r, m in zip(rows, is_none, strict=True)])
        valid, n_none = pa.py_buffer(np.packbits(~none, bitorder="little")), int(none.sum())
    return pa.Array.from_buffers(kind, n, [valid, *map(pa.py_buffer, buffers)], n_none)


def _below(arrays: Sequence[np.ndarray], plain: np.dtype | type) -> np.ndarray:
    return arrays[0].astype(plain, copy=False) if len(arrays) == 1 else np.concatenate(arrays, dtype=plain)

"""Batches of the table of tonight's features, filled a page at a time with rows that are new and rows that stay."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import tables
from waymark.arrow_files import ArrowFile
from waymark.features import numbers
from waymark.kernels.jit import read_only
from waymark.kernels.merging import gather, merged
from waymark.moving import Moves
from waymark.parts import Stretch

Rows = pa.Table | Mapping[str, pa.Array] | Stretch


class Page:
    """A batch of the table, of `tables.GROUP_ROWS` rows. What moves with the clock is worked out once it is full."""

    def __init__(self, columns: pa.Schema, moves: Moves, cutoff: int) -> None:
        """Make an empty page of a table of some columns; `moves` tells of its features by their places."""
        size, self._columns, self._moves, self._n = tables.GROUP_ROWS, columns, moves, 0
        features = [name for name in columns.names if name.startswith("f_")]
        bases = [name for name in columns.names if name.startswith("base_")]
        self._values = np.zeros((len(features) + 1, size), np.float32)
        self._bases = np.zeros((len(bases) + 1, size))
        self._cutoffs, self._is_begun = np.full(size, cutoff), False
        self._numbers = dict(zip(features, self._values, strict=False)) | dict(zip(bases, self._bases, strict=False))
        # What is worked out is not looked at.
        self._read = dict(self._numbers)
        for row in moves.rows:
            del self._read[features[row]]
        self._texts: dict[str, list[pa.Array]] = {}
        for field in columns:
            if pa.types.is_string(field.type):
                self._texts[field.name] = []
            elif field.name not in (*self._numbers, "cutoff_time"):  # which is the same in all rows
                self._read[field.name] = self._numbers[field.name] = np.empty(size, f"int{field.type.bit_width}")

    def copied(self, stretches: Iterable[Stretch]) -> Iterator[pa.RecordBatch]:
        """Yield batches of new rows."""
        for rows in stretches:
            yield from self._add([rows], rows.order)
        yield from self._rest()

    def merged(
        self, table: ArrowFile, stays: np.ndarray, moved: Iterator[pa.Table], chunks: Iterator[pa.Table]
    ) -> Iterator[pa.RecordBatch]:
        """Yield batches of those rows of a table that stay (bool), and of new ones; both in order, as they come out.

        Of those that stay, `moved` says what other numbers some have tonight (`features.WINDOWS`), in order as well.
        """
        others = _Others(moved)
        for rows, at, new in _side_by_side(table, stays, others, chunks):
            yield from self._add([rows, new], _order(rows["person_id"], at, new["person_id"].combine_chunks()))
        yield from self._rest()

    def _add(self, sources: Sequence[Rows], order: np.ndarray | None) -> Iterator[pa.RecordBatch]:
        """Add rows by their places in tables below each other, or all of one; yield the pages that are full."""
        n, begin = len(sources[0]) if order is None else len(order), 0
        while begin < n:
            end = min(n, begin + tables.GROUP_ROWS - self._n)
            here, to = slice(begin, end), slice(self._n, self._n + end - begin)
            for name, room in self._read.items():
                first, *others = (_plain(rows[name], room.dtype) for rows in sources)
                others = others or [first[:0]]
                if order is None:
                    room[to] = first[here]
                else:
                    gather(first, *others, order[here], room[to])
            for name, found in self._texts.items():
                texts = pa.concat_arrays([chunk for rows in sources for chunk in _chunks(rows[name])])
                found.append(texts[here] if order is None else texts.take(pa.array(order[here])))
            self._n, begin = to.stop, end
            if self._n == tables.GROUP_ROWS:
                yield self._turned()

    def _rest(self) -> Iterator[pa.RecordBatch]:
        """Yield what is left; an empty table has an empty page."""
        if self._n or not self._is_begun:
            yield self._turned()

    def _turned(self) -> pa.RecordBatch:
        """Return the page, which is good until more is added, and begin the next."""
        self._moves.work_out(self._cutoffs, self._bases, self._values)
        columns = []
        for field in self._columns:
            if field.name in self._texts:
                texts = self._texts[field.name]
                # Put together with none, they are copied even where one column holds them all and others.
                columns.append(pa.concat_arrays([*texts, pa.array([], field.type)]))
                texts.clear()
            elif pa.types.is_floating(field.type):
                columns.append(numbers(self._numbers[field.name][: self._n]))
            else:
                plain = self._numbers.get(field.name, self._cutoffs)[: self._n]
                columns.append(pa.Array.from_buffers(field.type, self._n, [None, pa.py_buffer(plain)]))
        self._n, self._is_begun = 0, True
        return pa.RecordBatch.from_arrays(columns, schema=self._columns)


class _Others:
    """Numbers that are others tonight in some rows of a table; some are of nobody who has a row."""

    def __init__(self, chunks: Iterator[pa.Table]) -> None:
        """Take them by person, in order: columns of float32 beside the ids."""
        self._chunks, self._left = chunks, next(chunks, None)

    def put_into(self, rows: pa.RecordBatch) -> dict[str, pa.Array]:
        """Return the columns of a batch, as they are tonight."""
        columns = {name: rows[name] for name in rows.schema.names}
        ids, values = columns["person_id"], {}
        while self._left is not None and len(rows):
            n = _place(self._left["person_id"], ids[-1], find=bisect.bisect_right)
            here, self._left = self._left[:n], self._left[n:]
            found = pc.index_in(ids, here["person_id"].combine_chunks())
            at, mine = np.flatnonzero(found.is_valid()), found.drop_null().to_numpy()
            for name in here.column_names[1:] if n else []:
                if name not in values:
                    values[name] = _plain(columns[name], np.dtype(np.float32)).copy()
                values[name][at] = _plain(here[name], np.dtype(np.float32))[mine]
            if len(self._left):
                break
            self._left = next(self._chunks, None)
        return columns | {name: pa.array(of) for name, of in values.items()}


def _side_by_side(
    table: ArrowFile, stays: np.ndarray, moved: _Others, chunks: Iterator[pa.Table]
) -> Iterator[tuple[Mapping[str, pa.Array], np.ndarray, pa.Table]]:
    """Yield some rows, the places of those that stay, and the new rows that belong among these: all rows in order."""
    ids, end, new = table.column("person_id"), 0, next(chunks)
    none = new[:0]
    for i in range(len(table)):
        if i:
            table.forget(i - 1)
        batch = table.batch(i)
        at = np.flatnonzero(stays[end : end + len(batch)]).astype(np.int32)
        rows, end = moved.put_into(batch), end + len(batch)
        here = none
        while new is not None:
            place = _place(new["person_id"], ids[end]) if end < len(ids) else len(new)
            if place < len(new):  # the others come after all of these rows
                here, new = new[:place], new[place:]
                break
            n = _place(rows["person_id"], new["person_id"][-1], at) if place else 0
            yield rows, at[:n], new
            at, new = at[n:], next(chunks, None)
        yield rows, at, here


def _place(
    texts: pa.Array | pa.ChunkedArray,
    border: pa.Scalar,
    at: Sequence[int] | None = None,
    find: Callable = bisect.bisect_left,
) -> int:
    """Return how many of some sorted texts, or of those at some places, come before `border`."""
    at, border = range(len(texts)) if at is None else at, border.as_py()
    return find(at, border, key=lambda i: texts[int(i)].as_py())


def _order(ids: pa.Array, at: np.ndarray, new: pa.Array) -> np.ndarray:
    """Return the order of the ids at some places and of new ones; the places of these go on after those of all ids."""
    return merged(*_bytes(ids), at, *_bytes(new)) if len(new) else at


def _bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all texts, and where each begins."""
    _, offsets, data = texts.buffers()
    begins = np.frombuffer(offsets, np.int32) if offsets is not None else np.zeros(1, np.int32)
    return read_only(np.frombuffer(data or b"", np.uint8)), read_only(begins[texts.offset :][: len(texts) + 1])


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _plain(column: pa.Array | pa.ChunkedArray, kind: np.dtype) -> np.ndarray:
    """Return the numbers or times of a column; NaN is where an Arrow file says that there is none."""
    parts = [np.frombuffer(a.buffers()[1] or b"", kind)[a.offset :][: len(a)] for a in _chunks(column)]
    return read_only(parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, kind), *parts]))

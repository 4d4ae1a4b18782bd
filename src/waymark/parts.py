"""Tables whose rows are made a part at a time, wherever the engine lets each be made, and put in order on the way.

Each part is written down as soon as it is made, so that memory holds a part a worker, and a stretch of the table. What
is small is held: a night's parts, of a few thousand rows, are checked and put in order together.
"""

from __future__ import annotations

import bisect
import mmap
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema, tables
from waymark.engine import Engine

Item = TypeVar("Item")
_HELD_BYTES = 1 << 27  # of all parts of all tables together that are not written down
_EVERY = 1 << 9  # rows of a part between two of the keys that the order of all is estimated from
_AT_ONCE = 2  # columns that may be in memory where they lie


class Out(NamedTuple):
    """A table to be made."""

    path: Path
    table: schema.Table
    note: str = ""  # see `tables.write`


class Part(NamedTuple):
    """What one item comes to."""

    frames: Iterable[pd.DataFrame | pa.Table]  # rows of each table
    told: Any = None  # whatever else there is to say


class _Kept(NamedTuple):
    """A part, checked and sorted; of one that lies on disk only what is looked at is read."""

    rows: pa.Table
    room: mmap.mmap | None = None  # where it lies

    @classmethod
    def open(cls, path: Path) -> _Kept:
        with path.open("rb") as file:
            room = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(pa.ipc.open_file(pa.py_buffer(room)).read_all(), room)

    def let_go(self) -> None:
        """Hold nothing in memory of what was looked at; it can be looked at again.

        Or memory would come to hold all parts: the system maps pages around each one that is looked at, of every column
        of every part.
        """
        if self.room:
            self.room.madvise(mmap.MADV_DONTNEED)


class Stretch:
    """Some rows of a table that come after those of the stretch before. Columns are read when they are asked for."""

    def __init__(self, rows: pa.Table, order: np.ndarray | None = None, kept: Sequence[_Kept] = ()) -> None:
        """Take rows of some parts, and their places in order, int32; None where all lie in order."""
        self.order, self._rows, self._kept, self._n_asked = order, rows, kept, 0

    def __len__(self) -> int:
        """Return the number of rows that columns have."""
        return len(self._rows)

    def __getitem__(self, name: str) -> pa.Array:
        """Return a column, as it lies."""
        self._n_asked += 1
        if self._n_asked % _AT_ONCE == 0:
            for part in self._kept:
                part.let_go()
        return schema.in_one(self._rows[name])

    def taken(self) -> pa.Table:
        """Return the rows in order."""
        if self.order is None:
            return self._rows
        order = pa.array(self.order)
        return pa.table({name: pc.take(self[name], order, boundscheck=False) for name in self._rows.column_names})


def _write(out: Out, stretches: Iterator[Stretch], columns: pa.Schema, n_rows: int, told: Sequence[Any]) -> None:
    tables.write_sorted((stretch.taken() for stretch in stretches), columns, n_rows, out.path, out.note)


def make_tables(
    engine: Engine,
    make: Callable[[Item], Part],
    items: Sequence[Item],
    outs: Sequence[Out],
    put: Callable[[Out, Iterator[Stretch], pa.Schema, int, Sequence[Any]], None] = _write,
) -> tuple[list[int], list[Any]]:
    """Write the rows that `make` returns for all items into the tables `outs`, each sorted by its key.

    Parameters
    ----------
    engine
        What calls `make`.
    make
        A function of a module, or a `functools.partial` of one.
    items
        Whose rows have different keys.
    outs
        The tables, in the order of `Part.frames`. They come out the same however the rows are dealt to parts.
    put
        Writes a table, given its rows in order, some at a time, their schema and their number, and what is told; by
        default one file.

    Returns
    -------
    n_rows : list of int
        The length of each table.
    told : list
        The `told` of each part, in the order of the items.
    """
    if not outs:
        return [], [part.told for part in engine.over(make, items)]
    folder = outs[0].path.with_name(f".tmp-parts-{outs[0].path.stem}").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        share = _HELD_BYTES // (max(len(items), 1) * len(outs))
        made = list(engine.over(partial(_keep, make, [out.table for out in outs], folder, share), items))
        told = [of_part for _, of_part in made]
        return [_put_together([kept[k] for kept, _ in made], out, put, told) for k, out in enumerate(outs)], told
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(
    make: Callable[[Item], Part], kinds: Sequence[schema.Table], folder: Path, share: int, item: Item
) -> tuple[list[pa.Table | Path], Any]:
    """Make a part; return its tables and what else is told of it.

    Those of more than `share` bytes are checked, sorted and written into files below `folder`.
    """
    part, kept = make(item), []
    for frame, table in zip(part.frames, kinds, strict=True):
        if isinstance(frame, pa.Table) and frame.nbytes <= share:
            kept.append(frame)
            continue
        rows = schema.to_arrow(frame, table)
        # Where a worker is taken for dead and is not, two make the same part: each in a file of its own.
        with NamedTemporaryFile(dir=folder, delete=False) as room, pa.ipc.new_file(room, rows.schema) as file:
            file.write_table(rows)
        kept.append(Path(room.name))
    return kept, part.told


def _put_together(made: Sequence[pa.Table | Path], out: Out, put: Callable, told: Sequence[Any]) -> int:
    parts = [_Kept.open(path) for path in made if isinstance(path, Path)]
    held = [rows for rows in made if isinstance(rows, pa.Table)]
    if held:
        parts.append(_Kept(schema.to_arrow(pa.concat_tables(held), out.table)))
    n_rows = sum(part.rows.num_rows for part in parts)
    kept = [part for part in parts if part.rows.num_rows] or list(parts[:1])
    put(out, _stretches(kept, out.table.key), kept[0].rows.schema, n_rows, told)
    return n_rows


def _stretches(kept: Sequence[_Kept], key: Sequence[str]) -> Iterator[Stretch]:
    """Yield the rows of sorted parts in the order of their key, `tables.GROUP_ROWS` at a time."""
    if len(kept) == 1:
        yield Stretch(kept[0].rows)
        return
    seen = []
    for part in kept:
        first = part.rows[key[0]]
        seen += first.take(pa.array(range(0, len(first), _EVERY))).to_pylist()
        part.let_go()
    # Before the first of these borders come the rows of a stretch at least, before the second those of two.
    borders = sorted(seen)[len(kept) :][tables.GROUP_ROWS // _EVERY :: tables.GROUP_ROWS // _EVERY]
    at = np.zeros(len(kept), np.int64)
    for border in [*borders, None]:
        ends = [len(part.rows) if border is None else _place(part.rows[key[0]], border) for part in kept]
        rows = pa.concat_tables(part.rows[begin:end] for part, begin, end in zip(kept, at.tolist(), ends, strict=True))
        order = pc.sort_indices(rows.select(key).combine_chunks(), [(name, "ascending") for name in key]).to_numpy()
        if border is not None:
            order = order[: tables.GROUP_ROWS]
        yield Stretch(rows, order.astype(np.int32), kept)
        for part in kept:
            part.let_go()
        at += np.bincount(np.repeat(np.arange(len(kept)), ends - at)[order], minlength=len(kept))


def _place(values: pa.ChunkedArray, border: Any) -> int:
    """Return how many of some sorted values come before `border`."""
    return bisect.bisect_left(range(len(values)), border, key=lambda i: values[i].as_py())

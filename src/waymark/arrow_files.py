"""Arrow files: tables that are written whole every night, and mapped instead of unpacked when they are read.

They take more space than Parquet, and nothing is packed. Rows lie in batches of `tables.GROUP_ROWS`, each with a
checksum of its bytes.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from waymark import tables
from waymark.kernels.checks import checksum
from waymark.kernels.jit import read_only

_SUM = b"waymark.sum"


def write(batches: Iterable[pa.RecordBatch], columns: pa.Schema, n_rows: int, path: Path) -> None:
    """Write batches, `n_rows` together; all but the last one have `tables.GROUP_ROWS`."""
    sealed = columns.with_metadata({tables.SEAL: tables.seal(columns, n_rows)})
    with tables.atomic(path) as temporary, temporary.open("wb") as room:
        with pa.ipc.new_file(room, sealed) as file:
            for i, batch in enumerate(batches):
                if i == 0:
                    _reserve(room, batch.nbytes * n_rows // max(len(batch), 1))
                file.write_batch(batch.replace_schema_metadata(sealed.metadata), {_SUM: str(_checksum(batch))})
        room.truncate()


def _reserve(room: BinaryIO, size: int) -> None:
    """Ask for the place on disk of about so many bytes at once, where that can be done: to write takes half as long."""
    if size and hasattr(os, "posix_fallocate"):
        with suppress(OSError):  # whatever is wrong, writing tells
            os.posix_fallocate(room.fileno(), 0, size)


class ArrowFile:
    """A file that `write` wrote."""

    def __init__(self, path: Path) -> None:
        """Map it.

        Raises
        ------
        InputError
            It is missing, or damaged.
        """
        self._path = path
        with tables.explained(path):
            with path.open("rb") as opened:
                self._room = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            file = pa.ipc.open_file(pa.py_buffer(self._room))
            self.columns = file.schema.remove_metadata()
            self._checked: set[int] = set()
            found = map(file.get_batch_with_custom_metadata, range(file.num_record_batches))
            self._batches = [(batch, told or {}) for batch, told in found]
            self.n_rows = sum(batch.num_rows for batch, _ in self._batches)
            if (file.schema.metadata or {}).get(tables.SEAL) != tables.seal(self.columns, self.n_rows):
                raise OSError("its columns are not those that were written")

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column, which is not checked."""
        return pa.chunked_array([batch[name] for batch, _ in self._batches], self.columns.field(name).type)

    def batch(self, i: int) -> pa.RecordBatch:
        """Return a batch; an `InputError` if it is not as it was written."""
        batch, told = self._batches[i]
        with tables.explained(self._path):
            if i not in self._checked and told.get(_SUM) != str(_checksum(batch)).encode():
                raise OSError(f"rows from {i * tables.GROUP_ROWS:,} on have another checksum")
        self._checked.add(i)
        return batch

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield one batch after another; as `batch` does."""
        for i in range(len(self)):
            yield self.batch(i)
            self.let_go()

    def let_go(self) -> None:
        """Hold nothing in memory of what was looked at; it can be looked at again."""
        self._room.madvise(mmap.MADV_DONTNEED)

    def forget(self, i: int) -> None:
        """Have the system forget a batch and those before it: what is written next takes their place in its memory.

        Where they are looked at again they are read again. New memory costs a virtual machine more than writing does.
        """
        self.let_go()  # what is mapped is not forgotten
        ends = [b.address + b.size for column in self._batches[i][0].columns for b in column.buffers() if b]
        if ends and hasattr(os, "posix_fadvise"):
            end = max(ends) - pa.py_buffer(self._room).address
            with suppress(OSError), self._path.open("rb") as file:  # it is no more than a hint
                os.posix_fadvise(file.fileno(), 0, end, os.POSIX_FADV_DONTNEED)

    @property
    def seal(self) -> int:
        """One number of all checksums."""
        return zlib.crc32(b" ".join(told.get(_SUM, b"") for _, told in self._batches))


def read_in_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file, or some columns of them; an `InputError` as above, or if a column is not there."""
    file = ArrowFile(path)
    tables.check_columns(path, file.columns.names, columns)
    for rows in file.batches():
        yield rows.select(columns or file.columns.names)


def _checksum(batch: pa.RecordBatch) -> int:
    """Return a checksum of the bytes of all columns."""
    found = []
    for buffer in (buffer for column in batch.columns for buffer in column.buffers() if buffer is not None):
        data = read_only(np.frombuffer(buffer, np.uint8))
        whole = len(data) // 8 * 8
        found += [int(checksum(data[:whole].view(np.uint64))), zlib.crc32(data[whole:])]
    return zlib.crc32(repr(found).encode())

"""Tonight's features, as others read them: `schema.TONIGHT` without the bases, which only the next night asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa

from waymark import arrow_files, tables
from waymark.errors import InputError

PATH = tables.FEATURES / "score.arrow"


def read(columns: Sequence[str] | None = None, path: Path = PATH) -> pd.DataFrame:
    """Return rows of `schema.FEATURES`, or some columns of them.

    Raises
    ------
    InputError
        The file is missing, damaged, or has not all of `columns`.
    """
    return pd.concat(read_in_groups(columns, path))


def read_in_groups(columns: Sequence[str] | None = None, path: Path = PATH) -> Iterator[pd.DataFrame]:
    """Yield the rows `tables.GROUP_ROWS` at a time, by their place among all; see `read`."""
    begin = 0
    for rows in _shown(path, columns):
        frame = rows.to_pandas()
        yield frame.set_axis(pd.RangeIndex(begin, begin + len(frame)))
        begin += len(frame)


def n_rows(path: Path = PATH) -> int:
    """Return the number of rows."""
    return arrow_files.ArrowFile(path).n_rows


def write_parquet(path: Path, source: Path = PATH) -> None:
    """Write the table as one Parquet file, for programs that read no Arrow files."""
    rows = map(pa.Table.from_batches, ([batch] for batch in _shown(source)))
    first = next(rows)
    tables.write_sorted(chain([first], rows), first.schema, n_rows(source), path)


def _shown(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    if columns is None:
        columns = [name for name in arrow_files.ArrowFile(path).columns.names if not name.startswith("base_")]
    return arrow_files.read_in_batches(path, columns)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise InputError("waymark.tonight takes the Parquet file to be written")
    write_parquet(Path(sys.argv[1]))

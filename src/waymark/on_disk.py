"""Rows of tables on disk: where each is, and the features of some of them, read once into the place they are needed in.

A million rows of some hundred features are most of what a fit holds: a second copy of them is what it could not bear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from waymark import schema, tables
from waymark.inputs import select

Fill = Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]  # adds columns of features to rows that lack them


def places(files: Sequence[Path], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return the key of each row of tables of features, and `columns`; each is the row `row` of the file `file`."""
    parts = [
        tables.read(file, [*schema.FEATURES.key, *columns]).assign(
            file=np.int32(i), row=lambda rows: np.arange(len(rows))
        )
        for i, file in enumerate(files)
    ]
    return pd.concat(parts, ignore_index=True)


def filled_from(files: Sequence[Path]) -> Fill:
    """Return what adds features to rows of `places`."""
    return partial(_fill, files)


def as_they_are(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return rows that have their features."""
    return rows


def _fill(files: Sequence[Path], rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    new = [c for c in columns if c not in rows]
    if not new:
        return rows
    x = read_rows(files, rows["file"].to_numpy(), rows["row"].to_numpy(), new)
    return pd.concat([rows, pd.DataFrame(x, index=rows.index, columns=new, copy=False)], axis=1)


def read_rows(
    files: Sequence[Path], file: np.ndarray, row: np.ndarray, columns: Sequence[str], n_more: int = 0
) -> np.ndarray:
    """Return some rows of tables as float32, a group of rows of a table at a time; `file` says whose `row` it is.

    There are `n_more` columns after those read, for who asks to fill.
    """
    x = np.empty((len(row), len(columns) + n_more), np.float32)
    for i, path in enumerate(files):
        mine = np.flatnonzero(file == i)
        group = row[mine] // tables.GROUP_ROWS
        for g in np.unique(group):
            at = mine[group == g]
            frame = select(tables.read_group(path, int(g), list(columns)), columns)
            x[at, : len(columns)] = frame.to_numpy(np.float32)[row[at] - g * tables.GROUP_ROWS]
    return x

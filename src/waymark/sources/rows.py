"""Delivered rows before anybody knows what they mean: every cell is text, and every row has a line number."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.sources.nested import as_text, canonical_json, value_at

LEFT_OUT = "left_out"  # the rule of rows that break no contract but are not wanted


@dataclass(frozen=True)
class Refusal:
    """One delivered row that is refused, the rule it breaks, and how."""

    line: int
    rule: str
    reason: str


class Rows(Protocol):
    """Some readable rows of one file."""

    lines: np.ndarray  # where each begins, from 1

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns, or the keys of the first objects."""

    def cells(self, column: str) -> pa.StringArray:
        """Return a column as text, with nulls where a row has none."""

    def times(self, column: str) -> pa.TimestampArray | None:
        """Return a column as times where it was delivered as times, else None."""

    def fingerprints(self) -> list[str]:
        """Return a text for each row that is the same exactly where all delivered fields are."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file: those that could be read, and those that could not."""

    rows: Rows
    unreadable: Sequence[Refusal] = ()


@dataclass(frozen=True)
class TextRows:
    """Rows of a table."""

    lines: np.ndarray
    columns: Mapping[str, pa.Array]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns in the order of the file."""
        return tuple(self.columns)

    def cells(self, column: str) -> pa.StringArray:
        """Return a column; `a.b` also finds the key `b` of JSON in the cells of column `a`."""
        if column in self.columns:
            return to_text(self.columns[column])
        holder = holder_of(column, self.columns)
        inner = column[len(holder) + 1 :]
        texts = to_text(self.columns[holder]).to_pylist()
        return pa.array([_text_in_json(t, inner) if t else None for t in texts], pa.string())

    def times(self, column: str) -> pa.TimestampArray | None:
        """Return a column whose type is a time, else None."""
        found = self.columns.get(column)
        return found if found is not None and pa.types.is_timestamp(found.type) else None

    def fingerprints(self) -> list[str]:
        """Join name, length and text of the cells that are not empty: a new, still empty column changes nothing."""
        pieces = []
        for name in sorted(self.columns):
            cell = to_text(self.columns[name])
            size = pc.binary_length(cell).cast(pa.string())
            piece = pc.binary_join_element_wise(f"{name}=", size, ":", cell, ";", "")
            pieces.append(pc.if_else(pc.equal(pc.fill_null(cell, ""), ""), "", piece))
        return pc.binary_join_element_wise(*pieces, "").to_pylist()


@dataclass(frozen=True)
class ObjectRows:
    """Rows of nested objects."""

    lines: np.ndarray
    objects: Sequence[dict[str, Any]]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The keys of the first objects."""
        return tuple(dict.fromkeys(key for o in self.objects[:100] for key in o))

    def cells(self, column: str) -> pa.StringArray:
        """Return what lies at a dotted path in each object."""
        return pa.array([as_text(value_at(o, column)) for o in self.objects], pa.string())

    def times(self, column: str) -> None:
        """Return None: what lies in objects is read as text."""

    def fingerprints(self) -> list[str]:
        """Write each object as JSON with sorted keys."""
        return [canonical_json(o) for o in self.objects]


def to_text(column: pa.Array) -> pa.StringArray:
    """Write typed values as text, exactly: 17850 for an integer, however many nulls its column holds.

    Times are written in UTC where they have a zone, with as many digits of a second as they need.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind):  # what is not a number is not given
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    if pa.types.is_dictionary(kind):
        return to_text(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        utc = column.cast(pa.timestamp(kind.unit, "UTC")) if kind.tz else column
        text = utc.cast(pa.string())
        return text if kind.unit == "s" else pc.replace_substring_regex(text, r"\.?0+(Z?)$", r"\1")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(pa.string())
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()).cast(pa.string())
    return column.cast(pa.string())


def holder_of(path: str, columns: Mapping[str, Any] | Sequence[str]) -> str | None:
    """Return the column that `path` names or begins with, or None."""
    if path in columns:
        return path
    steps = path.split(".")
    heads = (".".join(steps[:n]) for n in range(len(steps) - 1, 0, -1))
    return next((h for h in heads if h in columns), None)


def _text_in_json(text: str, path: str) -> str | None:
    """Return what lies at `path` in a cell of JSON; a cell that is none holds nothing."""
    try:
        value = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return as_text(value_at(value, path)) if isinstance(value, dict) else None

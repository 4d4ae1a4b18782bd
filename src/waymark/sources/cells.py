"""The cells of some delivered rows by the field that they fill, and which of the rows keep the contract."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.config import FileLayout
from waymark.sources import parse
from waymark.sources.rows import Refusal, Rows

MINUTE = 60 * 1_000_000

# What can tell when a row was known, in the order in which it is asked. With the last there is no second clock.
CLOCKS = ("column", "delivered", "event_time")


@dataclass(frozen=True)
class Mapped:
    """Some rows of a file as their mapping understands them, before duplicates are dropped."""

    rows: pa.Table
    refused: list[Refusal]
    filled: frozenset[str]  # the mapped columns that held anything
    clocks: frozenset[str]  # those of `CLOCKS` that told when a row was known


class RowMapper:
    """What one chunk of rows holds; a row is refused for the first rule that it breaks."""

    def __init__(self, rows: Rows, feed: FileLayout, time_zone: str, delivered_time: int | None) -> None:
        """Begin with every row good.

        `time_zone` is that of times without a zone, where the feed names none; `delivered_time` that of the file, in
        microseconds since 1970, where it is known.
        """
        self.rows, self.feed, self.time_zone = rows, feed, feed.time_zone or time_zone
        self.delivered_time = delivered_time
        self.good = np.ones(len(rows.lines), bool)
        self.is_told = np.zeros(len(rows.lines), bool)  # when it was known, by a column
        self.refused: list[Refusal] = []
        self.filled: set[str] = set()

    def text(self, column: str | list[str]) -> pa.StringArray:
        """Return the trimmed texts of a column, or the first non-empty ones of several; null where there is none."""
        found = [self._column(c) for c in ([column] if isinstance(column, str) else column)]
        return found[0] if len(found) == 1 else pc.coalesce(*found)

    def _column(self, column: str) -> pa.StringArray:
        trimmed = pc.utf8_trim_whitespace(self.rows.cells(column))
        cells = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
        if cells.null_count < len(cells):
            self.filled.add(column)
        return cells

    def delivered(self, name: str) -> pa.StringArray:
        """Return the column of a field; nulls where it has none."""
        column = self.feed.columns.get(name)
        return pa.nulls(len(self.good), pa.string()) if column is None else self.text(column)

    def times(self, name: str, cells: Callable[[], pa.StringArray]) -> tuple[np.ndarray, np.ndarray]:
        """Return a field of times as microseconds since 1970, and where there is one; refuse what is none.

        `cells` returns the field as text, for what was not delivered as times.
        """
        column = self.feed.columns.get(name)
        typed = self.rows.times(column) if isinstance(column, str) and self.feed.time_format is None else None
        if typed is None or (typed.null_count and name in getattr(self.feed, "constants", {})):
            texts = cells()
            values, fits = parse.times(texts, self.time_zone, self.feed.time_format)
            is_given = are_given(texts)
        else:
            values, fits = parse.typed_times(typed, self.time_zone)
            is_given = are_given(typed)
            self.filled |= {column} if is_given.any() else set()
        self.refuse(is_given & ~fits, name, lambda i: self.unfit_time(name, cells(), i))
        return values, fits

    def refuse(self, is_broken: np.ndarray, rule: str, reason: Callable[[int], str]) -> None:
        """Refuse the rows that are still good and break `rule`."""
        broken = np.flatnonzero(is_broken & self.good)
        self.refused += [Refusal(int(self.rows.lines[i]), rule, reason(i)) for i in broken.tolist()]
        self.good[broken] = False

    def refuse_the_future(self, event_time: np.ndarray, known_time: np.ndarray) -> None:
        """Refuse rows that claim to have happened too long after they were known: a clock was wrong."""
        limit = self.feed.max_clock_skew_minutes
        if limit is None:
            return

        def reason(i: int) -> str:
            event, known = (
                f"{parse.EPOCH + int(t[i]) * parse.MICROSECOND:%Y-%m-%d %H:%M:%SZ}" for t in (event_time, known_time)
            )
            return f"event_time {event} is more than max_clock_skew_minutes = {limit} after known_time {known}"

        self.refuse(event_time - known_time > limit * MINUTE, "clock_skew", reason)

    def unfit_time(self, name: str, cells: pa.StringArray, i: int) -> str:
        """Say why cell `i` of the field `name` is no time."""
        if not cells[i].is_valid:
            return f"{name} is missing"
        form = self.feed.time_format or "ISO 8601"
        return f"{name} {shown(cells, i)} is no time from 1970 to {parse.LAST_YEAR} written as {form}"

    def mapped_as(self, table: pa.Table) -> Mapped:
        """Return the good rows of `table`, which has one row for each delivered one."""
        return Mapped(table.filter(pa.array(self.good)), self.refused, frozenset(self.filled), self._clocks())

    def _clocks(self) -> frozenset[str]:
        by_column, by_name, by_itself = CLOCKS
        otherwise = by_itself if self.delivered_time is None else by_name
        return frozenset(by_column if is_told else otherwise for is_told in np.unique(self.is_told[self.good]))


def are_given(cells: pa.StringArray) -> np.ndarray:
    """Say which cells hold anything."""
    return cells.is_valid().to_numpy(zero_copy_only=False)


def shown(cells: pa.StringArray, i: int) -> str:
    """Return cell `i` in quotes, not too long for a message."""
    text = cells[i].as_py() or ""
    return repr(text if len(text) <= 60 else text[:60] + "...")

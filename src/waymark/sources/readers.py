"""Delivered files -> rows of text with line numbers, and the rows that could not be read, with the reason.

Nothing is inferred: "00123" keeps its zeros, "NA" is a value, and an identifier of twenty digits keeps all twenty.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from waymark.config import FileLayout
from waymark.errors import InputError
from waymark.sources.files import format_of, open_lines
from waymark.sources.nested import canonical_json
from waymark.sources.rows import Chunk, ObjectRows, Refusal, TextRows, holder_of

CHUNK_ROWS = 100_000
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_rows(path: Path, name: str, feed: FileLayout) -> Iterator[Chunk]:
    """Yield the rows of one file, some at a time.

    Parameters
    ----------
    name
        What messages call the file.

    Raises
    ------
    InputError
        The file as a whole cannot be used: damaged, not UTF-8, no or a repeated header, a mapped column missing.
    """
    kind = format_of(name, feed)
    if kind == "parquet":
        yield from _read_parquet(path, name, feed)
        return
    with open_lines(path, name) as stream:
        lines = _Lines(stream)
        if kind == "jsonl":
            yield from _read_json(lines)
        else:
            yield from _read_table(lines, name, feed, feed.delimiter or {"csv": ",", "tsv": "\t"}[kind])


class _BadLine(Exception):
    """A line that is no text."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


class _Lines:
    """The lines of a text file as text, numbered; a record that went wrong can be given back but for its first."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = iter(stream)
        self._given_back: deque[bytes] = deque()
        self._record: list[bytes] = []
        self.number = 0  # of the line handed out last

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._stream)
        self.number += 1
        self._record.append(line)
        if self.number == 1:
            if line.startswith(_UTF_16):
                raise _BadLine("encoding", "is UTF-16")
            line = line.removeprefix(_BOM)
        if b"\0" in line:
            raise _BadLine("encoding", "holds NUL bytes")
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _BadLine("encoding", f"byte {error.start + 1} of the line is not UTF-8") from None

    def begin_record(self) -> int:
        """Forget the lines of the record before, and return the number that the next line will have."""
        self._record.clear()
        return self.number + 1

    def give_back(self) -> None:
        """Hand out again, later, the lines of this record after its first."""
        rest = self._record[1:]
        self._given_back.extendleft(reversed(rest))
        self.number -= len(rest)

    @property
    def is_cut_off(self) -> bool:
        """Whether the line handed out last ended without a line break: it is the file's last."""
        return bool(self._record) and not self._record[-1].endswith(b"\n")


# --- tables in text -------------------------------------------------------------------------------------------------


def _read_table(lines: _Lines, name: str, feed: FileLayout, delimiter: str) -> Iterator[Chunk]:
    records = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if feed.quoting else csv.QUOTE_NONE,
        strict=True,
    )
    header = feed.header or _read_header(lines, records, name)
    check_columns(name, header, feed)
    numbers: list[int] = []
    rows: list[list[str]] = []
    bad: list[Refusal] = []
    while True:
        start = lines.begin_record()
        try:
            row = next(records)
        except StopIteration:
            break
        except (_BadLine, csv.Error) as error:
            bad.append(Refusal(start, getattr(error, "rule", "quotes"), _in_words(error)))
            lines.give_back()
            continue
        if len(row) == len(header):
            if row == header and not feed.header:
                raise InputError(f"{name}: line {start} repeats the header; deliver one file for each header")
            numbers.append(start)
            rows.append(row)
        elif row:  # an empty line is no row
            bad.append(Refusal(start, "fields", _wrong_width(row, header, lines.is_cut_off)))
            lines.give_back()
        if len(rows) + len(bad) >= CHUNK_ROWS:
            yield _table_chunk(numbers, rows, bad, header)
            numbers, rows, bad = [], [], []
    yield _table_chunk(numbers, rows, bad, header)


def _table_chunk(numbers: list[int], rows: list[list[str]], bad: list[Refusal], header: list[str]) -> Chunk:
    columns = zip(*rows) if rows else [()] * len(header)
    texts = {name: pa.array(cells, pa.string()) for name, cells in zip(header, columns, strict=True)}
    return Chunk(TextRows(np.array(numbers, np.int64), texts), bad)


def _read_header(lines: _Lines, records: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = [cell.strip() for cell in next(records)]
    except StopIteration:
        raise InputError(f"{name} is empty: not even a header was delivered") from None
    except _BadLine as error:
        raise InputError(f"{name} is not UTF-8 text (its first line {error}); convert it to UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{name}: the header cannot be read ({_in_words(error)})") from None
    twice = sorted({h for h in header if header.count(h) > 1})
    if twice or not header:
        raise InputError(f"{name}: the header names {', '.join(map(repr, twice)) or 'no column'} more than once")
    return header


def _in_words(error: Exception) -> str:
    """Say what a row is that cannot be taken apart."""
    text = str(error)
    if isinstance(error, _BadLine):
        return f"the line {text}" if text.startswith("holds") else text
    if "expected after" in text:
        return "text follows a closing quote: the quotes are not balanced"
    if "unexpected end" in text:
        return "a quote is opened and never closed"
    if "field limit" in text:
        return f"a cell is longer than {csv.field_size_limit():,} characters: a quote may not be closed"
    if "new-line" in text:
        return "a lone carriage return stands in an unquoted cell"
    return text


def _wrong_width(row: list[str], header: list[str], is_cut_off: bool) -> str:
    end = ", and the file ends there without a line break: it may be cut off" if is_cut_off else ""
    return f"{len(row)} fields where the header has {len(header)}{end}"


def check_columns(name: str, columns: list[str], feed: FileLayout) -> None:
    """Raise `InputError` where a column that the feed maps is not among `columns` of the file called `name`."""
    missing = sorted({c for c in feed.mapped_columns() if holder_of(c, columns) is None})
    if missing:
        there = ", ".join(columns[:40]) + (", ..." if len(columns) > 40 else "")
        raise InputError(f"{name} has no column {', '.join(missing)}, which the mapping names; it has {there}")


# --- JSON lines -----------------------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")


def _read_json(lines: _Lines) -> Iterator[Chunk]:
    decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant).decode
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    bad: list[Refusal] = []
    while True:
        start = lines.begin_record()
        try:
            line = next(lines)
            if not line.isspace():
                objects.append(_parse_object(line, decode))
                numbers.append(start)
        except StopIteration:
            break
        except _BadLine as error:
            bad.append(Refusal(start, error.rule, _in_words(error)))
        except (ValueError, RecursionError) as error:
            end = "; the file ends there without a line break: it may be cut off" if lines.is_cut_off else ""
            bad.append(Refusal(start, "json", f"is not JSON ({str(error)[:80]}){end}"))
        if len(objects) + len(bad) >= CHUNK_ROWS:
            yield Chunk(ObjectRows(np.array(numbers, np.int64), objects), bad)
            numbers, objects, bad = [], [], []
    yield Chunk(ObjectRows(np.array(numbers, np.int64), objects), bad)


def _parse_object(line: str, decode: Callable[[str], Any]) -> dict[str, Any]:
    value = decode(line)
    if not isinstance(value, dict):
        raise _BadLine("json", f"is no JSON object but {line.strip()[:40]!r}")
    if _ESCAPE.search(line):  # escapes can spell what no UTF-8 text may hold
        try:
            canonical_json(value).encode("utf-8")
        except UnicodeEncodeError:
            raise _BadLine("encoding", "half of a surrogate pair is escaped in the line") from None
        if r"\u0000" in line:
            raise _BadLine("encoding", "holds NUL characters")
    return value


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


# --- Parquet --------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, name: str, feed: FileLayout) -> Iterator[Chunk]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns = file.schema_arrow.names
            twice = sorted({c for c in columns if columns.count(c) > 1})
            if twice:
                raise InputError(f"{name} has the column {', '.join(twice)} more than once")
            check_columns(name, columns, feed)
            row = 1
            for batch in file.iter_batches(CHUNK_ROWS):
                batch.validate(full=True)
                yield Chunk(_parquet_rows(batch, np.arange(row, row + batch.num_rows)))
                row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{name} cannot be read as Parquet: it is cut off or damaged ({str(error)[:160]})") from None


def _parquet_rows(batch: pa.RecordBatch, lines: np.ndarray) -> TextRows | ObjectRows:
    if any(pa.types.is_nested(field.type) for field in batch.schema):
        return ObjectRows(lines, batch.to_pylist(maps_as_pydicts="strict"))
    return TextRows(lines, dict(zip(batch.schema.names, batch.columns, strict=True)))

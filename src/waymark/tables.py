"""Read and write what DVC keeps: Parquet tables and small JSON files, checked and atomic."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from waymark import schema
from waymark.errors import InputError

STORE = Path("data/store")
REJECTS = Path("data/rejects.parquet")
IDENTIFIERS = Path("data/identifiers")
PERSON_CHANGES = Path("data/person_changes")
EXPOSURE = Path("data/exposure")
JOURNEYS = Path("data/journeys")
CLOCK = Path("data/clock")
FEATURES = Path("data/features")
TARGETS = Path("data/targets.parquet")
MODELS = Path("models")
PREDICTIONS = Path("data/predictions")
REPORTS = Path("reports")
BACKTEST = Path("reports/backtest")
REALISED = Path("reports/realised.parquet")

GROUP_ROWS = 1 << 17  # rows that are written, and may be read, at a time
_DICTIONARY_BYTES = 1 << 16  # of a column whose values take more, the rest is written without a dictionary


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` and rename it into place: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(frame: pd.DataFrame, path: Path, table: schema.Table, note: str = "") -> int:
    """Write `frame` as Parquet, sorted by key, and return its number of rows; `read_note` returns the note.

    The same rows give the same bytes. Pages carry checksums: a flipped bit is an error on reading, not a value.
    """
    arrow = schema.to_arrow(frame, table)
    write_sorted([arrow], arrow.schema, arrow.num_rows, path, note)
    return arrow.num_rows


def write_sorted(
    chunks: Iterable[pa.Table],
    columns: pa.Schema,
    n_rows: int,
    path: Path,
    note: str = "",
    group_rows: int | None = None,
) -> None:
    """Write the rows of `chunks`, which are checked, in order, and `n_rows` together.

    How they are cut into chunks changes no byte. `group_rows`, `GROUP_ROWS` by default, may be read at a time.
    """
    group_rows = group_rows or GROUP_ROWS
    metadata = {SEAL: seal(columns, n_rows), **({_NOTE: note.encode()} if note else {})}
    # Numbers that hardly repeat, nor lie in an order, are written in half the time without a dictionary and their
    # extremes; LZ4 takes half of the time of Zstandard, to write and to read, and a quarter more space.
    numbers = [field.name for field in columns if pa.types.is_floating(field.type)]
    others = [name for name in columns.names if name not in numbers]
    how = {"compression": "lz4", "write_page_checksum": True, "write_statistics": others}
    how["use_dictionary"] = others if group_rows >= GROUP_ROWS else False  # of few rows it takes as long as all else
    how |= {"dictionary_pagesize_limit": _DICTIONARY_BYTES}
    how |= {"use_byte_stream_split": numbers} if numbers else {}
    with atomic(path) as temporary, pq.ParquetWriter(temporary, columns.with_metadata(metadata), **how) as writer:
        left = columns.empty_table()
        for chunk in chunks:
            left = pa.concat_tables([left, chunk])
            while left.num_rows >= group_rows:
                writer.write_table(left[:group_rows].combine_chunks())
                left = left[group_rows:]
        if left.num_rows or not n_rows:
            writer.write_table(left.combine_chunks())


def read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that `write` wrote, or a folder of such files below each other, in the order of their names.

    Raises
    ------
    InputError
        It is missing, damaged, or has not all of `columns`.
    """
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise InputError(f"{path} holds no table; `dvc repro -P` makes it")
        return pd.concat([read(file, columns) for file in files], ignore_index=True)
    with _opened(path) as file:
        check_columns(path, file.schema_arrow.names, columns)
        return file.read(columns).to_pandas()


def read_arrow(path: Path) -> pa.Table:
    """Read a table as Arrow; see `read`."""
    with _opened(path) as file:
        return file.read().replace_schema_metadata(None)


def read_between(path: Path, column: str, begin: Any, end: Any) -> pa.Table:
    """Read those groups of rows of a table that may hold a value of `column` from `begin` on, up to `end`, as Arrow.

    None is no limit; a time is given in microseconds.
    """
    with _opened(path) as file:
        place = file.schema_arrow.names.index(column)
        known = [file.metadata.row_group(i).column(place).statistics for i in range(file.num_row_groups)]
        first, last = (value.encode() if isinstance(value, str) else value for value in (begin, end))
        asked = [
            i
            for i, s in enumerate(known)
            if not (s and s.has_min_max)
            or ((first is None or s.max_raw >= first) and (last is None or s.min_raw < last))
        ]
        return file.read_row_groups(asked).replace_schema_metadata(None)


def read_in_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table `GROUP_ROWS` at a time, by their place among all; an empty one once. See `read`."""
    begin = 0
    for i in range(n_groups(path)):
        rows = read_group(path, i, columns)
        yield rows.set_axis(pd.RangeIndex(begin, begin + len(rows)))
        begin += len(rows)


def n_rows(path: Path) -> int:
    """Return the number of rows of a table."""
    with _opened(path) as file:
        return file.metadata.num_rows


def n_groups(path: Path) -> int:
    """Return the number of groups of rows in a table."""
    with _opened(path) as file:
        return file.num_row_groups


def read_group(path: Path, i: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of group `i` of a table; see `read`."""
    with _opened(path) as file:
        check_columns(path, file.schema_arrow.names, columns)
        return file.read_row_group(i, columns).to_pandas()


def read_note(path: Path) -> str:
    """Return the note that a table was written with, "" where it is missing, damaged or has none."""
    try:
        with _opened(path) as file:
            return (file.schema_arrow.metadata or {}).get(_NOTE, b"").decode()
    except InputError:
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a table; whatever is wrong with it, then or on reading, is an `InputError`."""
    with explained(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        written = (file.schema_arrow.metadata or {}).get(SEAL)
        if written != seal(file.schema_arrow, file.metadata.num_rows):
            raise OSError("its columns are not those that were written")
        yield file


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Make whatever is wrong with a table an `InputError`."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `dvc repro -P` makes it") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"{path} is damaged ({str(error)[:120]}); delete it and run `dvc repro -P`") from None


def check_columns(path: Path, known: Sequence[str], asked: Sequence[str] | None) -> None:
    """Raise an `InputError` where a table has not all of the columns that are asked for."""
    missing = sorted(set(asked or []) - set(known))
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(known)}")


SEAL, _NOTE = b"waymark.seal", b"waymark.note"


def seal(columns: pa.Schema, n_rows: int) -> bytes:
    """Return a checksum of what no page holds: the names and types of the columns, and the number of rows."""
    return hashlib.sha256(f"{n_rows}\n{columns.remove_metadata()}".encode()).hexdigest().encode()


def write_json(value: Any, path: Path, indent: int | None = 1) -> None:
    """Write `value` with sorted keys, so that equal values give equal bytes.

    With an `indent` people can read it; without, Python writes it ten times as fast.
    """
    text = json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that `write_json` wrote."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `dvc repro -P` makes it") from None
    except ValueError as error:  # not JSON, or not even UTF-8
        raise InputError(f"{path} is not JSON ({error}); delete it and run `dvc repro -P`") from None


def write_text(text: str, path: Path) -> None:
    """Write `text` in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the body ends well."""
    temporary = path.with_name(f".tmp-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        old = path.with_name(f".tmp-old-{path.name}")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

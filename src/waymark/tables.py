"""Read and write what DVC keeps: Parquet tables and small JSON files, checked and atomic."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from waymark import schema
from waymark.errors import InputError

STORE = Path("data/store")
EVENTS = Path("data/events.parquet")
REJECTS = Path("data/rejects.parquet")
TOLD_LINKS = Path("data/told_links.parquet")
LINKS = Path("data/links.parquet")
IDENTIFIERS = Path("data/identifiers.parquet")
PERSON_CHANGES = Path("data/person_changes.parquet")
JOURNEYS = Path("data/journeys.parquet")
CLOCK = Path("data/clock")
FEATURES = Path("data/features")
TARGETS = Path("data/targets.parquet")
MODELS = Path("models")
PREDICTIONS = Path("data/predictions")
REPORTS = Path("reports")
REALISED = Path("reports/realised.parquet")


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


def write(frame: pd.DataFrame, path: Path, table: schema.Table) -> int:
    """Write `frame` as Parquet, sorted by key, and return its number of rows.

    The same rows give the same bytes. Pages carry checksums: a flipped bit is an error on reading, not a value.
    """
    arrow = schema.to_arrow(frame, table)
    arrow = arrow.replace_schema_metadata({_SEAL: _seal(arrow.schema, arrow.num_rows)})
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)
    return arrow.num_rows


def read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that `write` wrote; raise `InputError` where it is missing or damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            seal = (file.schema_arrow.metadata or {}).get(_SEAL)
            if seal != _seal(file.schema_arrow, file.metadata.num_rows):
                raise OSError("its columns are not those that were written")
            known = file.schema_arrow.names
            arrow = file.read(columns)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `dvc repro -P` makes it") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"{path} is damaged ({str(error)[:120]}); delete it and run `dvc repro -P`") from None
    missing = sorted(set(columns or []) - set(known))
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(known)}")
    return arrow.to_pandas()


_SEAL = b"waymark.seal"


def _seal(columns: pa.Schema, n_rows: int) -> bytes:
    """Return a checksum of what no page holds: the names and types of the columns, and the number of rows."""
    return hashlib.sha256(f"{n_rows}\n{columns.remove_metadata()}".encode()).hexdigest().encode()


def write_json(value: Any, path: Path) -> None:
    """Write `value` with sorted keys, so that equal values give equal bytes."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


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

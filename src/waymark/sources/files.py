"""Which files were delivered, in which format, and their bytes as lines however they are packed."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from waymark.config import FileLayout
from waymark.errors import InputError
from waymark.sources.parse import LAST_YEAR, times

FORMATS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
PACKINGS = {".gz": "gzip", ".zst": "zstd"}


def find_files(landing: Path, feed_name: str, feed: FileLayout) -> list[str]:
    """Return the names, below `landing` and sorted, of the files that the feed's patterns match.

    Raises
    ------
    InputError
        There is no such folder, or no such file in it.
    """
    if not landing.is_dir():
        raise InputError(f"the landing folder {landing} does not exist; set `landing` to the folder of delivered files")
    found = {name for pattern in feed.files for name in _visible(landing, pattern)}
    if not found:
        there = sorted(_visible(landing, "**/*"))
        holds = f"it holds {', '.join(there[:8])}{', ...' if there[8:] else ''}" if there else "the folder is empty"
        raise InputError(f"{landing}: no file matches {' or '.join(feed.files)} (feed {feed_name}); {holds}")
    return sorted(found)


def _visible(landing: Path, pattern: str) -> list[str]:
    """Return the files that match `pattern`, without hidden ones: what is still being copied begins with a dot."""
    below = (p.relative_to(landing) for p in landing.glob(pattern) if p.is_file())
    return [p.as_posix() for p in below if not any(part.startswith(".") for part in p.parts)]


_UNITS = {
    "f": timedelta(microseconds=1),
    "S": timedelta(seconds=1),
    "M": timedelta(minutes=1),
    "H": timedelta(hours=1),
    "I": timedelta(hours=1),
}


def delivered_time(name: str, layout: FileLayout, time_zone: str) -> int | None:
    """Return when the file called `name` was delivered, in microseconds since 1970; None if nothing tells.

    A name that tells the day stands for the day's last microsecond in its time zone: only then is it sure that the
    file was there, and the first midnight UTC after it sees it. So do hours, minutes and seconds.

    Parameters
    ----------
    time_zone
        Of the name, where the layout has no zone.

    Raises
    ------
    InputError
        The name does not hold what `layout.delivered` looks for, or it is no such time.
    """
    if layout.delivered is None:
        return None
    found = re.search(layout.delivered, name)
    text = found and found[1]
    if not text:
        raise InputError(f"{name}: `delivered: {layout.delivered}` finds no date in its name; rename it or change that")
    unit = next((_UNITS[d] for d in _UNITS if f"%{d}" in layout.delivered_format), timedelta(days=1))
    try:
        end = datetime.strptime(text, layout.delivered_format) + unit
    except (ValueError, OverflowError):
        raise InputError(f"{name}: {text!r} in its name is no time written as {layout.delivered_format}") from None
    values, fits = times(pa.array([end.isoformat()]), layout.time_zone or time_zone)
    if not fits[0]:
        raise InputError(f"{name}: {text!r} in its name is not between 1970 and {LAST_YEAR}")
    return int(values[0]) - 1


def format_of(name: str, feed: FileLayout) -> str:
    """Return the format of the file called `name`: the feed's, or the one its ending stands for."""
    if feed.format != "auto":
        return feed.format
    path = Path(name)
    ending = (Path(path.stem) if path.suffix.lower() in PACKINGS else path).suffix.lower()
    if ending not in FORMATS:
        known = f"{', '.join(FORMATS)}, the text ones also with {' or '.join(PACKINGS)}"
        raise InputError(
            f"{name}: no format is known for this ending; rename it to {known}, or set `format` of its feed"
        )
    return FORMATS[ending]


@contextmanager
def open_lines(path: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a text file for reading line by line, unpacked where its name ends in .gz or .zst.

    Raises
    ------
    InputError
        The file is empty, cut off or damaged, now or at any later line.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty (0 bytes); deliver it again, or take it away")
    packing = PACKINGS.get(path.suffix.lower())
    try:
        with pa.input_stream(path, compression=packing) as stream, io.BufferedReader(stream, 1 << 20) as lines:
            yield lines
    except (OSError, pa.ArrowException) as error:
        kind = f"as {packing} " if packing else ""
        raise InputError(f"{name} cannot be read {kind}to its end: it is cut off or damaged ({error})") from None

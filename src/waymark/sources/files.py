"""Which files were delivered, in which format, and their bytes as lines however they are packed."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from waymark.config import FileLayout
from waymark.errors import InputError

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

"""Tables that are kept from night to night: only the rows of persons whom news concern are made anew.

A kept table is a folder. Files called `part-...` hold rows of one range of the key after another, each sorted; a file
`news-...` holds the rows that a night made anew, and `gone-...` the identifiers of the persons that it made them of:
their rows in older files no longer hold. Each night puts some of the parts in order again, so that all have had their
turn after `TURNS` nights or so, and news are forgotten once no part needs them. `kept.json` names the files in force
and is replaced last: of a night that was stopped nothing counts.
"""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark import tables
from waymark.errors import InputError

MANIFEST = "kept.json"
NEWS_ROWS = 1 << 14  # of news that are read at a time: most is asked for a range of the key
_ALL = (1 << 31) - 1  # no row is numbered so
TURNS = 32  # about as many nights pass until every part has been put in order


@dataclass(frozen=True)
class Piece:
    """A part: rows of one range of the first column of the key."""

    file: str
    begin: Any  # where the range begins, a plain value; None for the first part
    night: int  # the latest whose news it holds


@dataclass(frozen=True)
class Manifest:
    """What is in force, and what it was made of."""

    note: str = ""
    generation: int = 0  # of the store
    past: str = ""  # see `Manifest.past`
    cutoff: int = 0  # microseconds
    key: tuple[str, ...] = ()
    person: str = ""  # the column that says whose a row is
    number: str = ""  # the column that numbers the rows of a person, if there is one
    n_heads: int = 0  # files of what is remembered of those: one a bucket of the store
    night: int = 0  # counts those that wrote something; part of the name of each file
    sums: Mapping[str, int] = field(default_factory=dict)  # of the numbers that are remembered of persons
    parts: tuple[Piece, ...] = ()
    news: tuple[int, ...] = ()  # nights whose news some part lacks, ascending

    @property
    def files(self) -> set[str]:
        """The names of all files in force."""
        return (
            {p.file for p in self.parts}
            | {f(n) for n in self.news for f in (news_file, gone_file)}
            | {pending_file(self.night), *(heads_file(i, self.night) for i in range(self.n_heads))}
        )


def news_file(night: int) -> str:
    """Return the name of the file of the rows that a night made anew."""
    return f"news-{night:06d}.parquet"


def gone_file(night: int) -> str:
    """Return the name of the file of the identifiers whose older rows a night voided."""
    return f"gone-{night:06d}.parquet"


def pending_file(night: int) -> str:
    """Return the name of the file of the identifiers that hang on time alone after a night."""
    return f"pending-{night:06d}.parquet"


def heads_file(bucket: int, night: int) -> str:
    """Return the name of the file of what is remembered of a bucket's persons after a night."""
    return f"heads-{bucket:05d}-{night:06d}.columns"


# --- reading --------------------------------------------------------------------------------------------------------


def read(folder: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a kept table, sorted by its key, or some columns of it.

    Raises
    ------
    InputError
        It is missing, or a file of it is damaged.
    """
    return pa.concat_tables(_in_order(folder, read_manifest(folder), columns)).to_pandas()


def write_whole(folder: Path, path: Path) -> None:
    """Write a kept table as one Parquet file, for programs that know nothing of kept tables."""
    parts = list(_in_order(folder, read_manifest(folder)))
    tables.write_sorted(parts, parts[0].schema, sum(p.num_rows for p in parts), path)


def read_manifest(folder: Path) -> Manifest:
    """Return what is in force in a folder; of what other code wrote, what is known here."""
    value = tables.read_json(folder / MANIFEST)
    known = {f.name: value[f.name] for f in fields(Manifest) if f.name in value}
    parts = tuple(Piece(**part) for part in value["parts"])
    return Manifest(**{**known, "key": tuple(value["key"]), "parts": parts, "news": tuple(value["news"])})


def write_manifest(folder: Path, found: Manifest) -> None:
    """Make this what is in force."""
    tables.write_json(asdict(found), folder / MANIFEST)


def _in_order(folder: Path, found: Manifest, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of each part as they are in force, or some columns of them."""
    if not found.key:
        raise InputError(f"{folder} holds no table, but numbers that are added up: `sums` in its {MANIFEST}")
    news = _News(folder, found)
    return (news.added_to(i).select(columns) if columns else news.added_to(i) for i in range(len(found.parts)))


class _News:
    """The news of a kept table, read once."""

    def __init__(self, folder: Path, found: Manifest, begin: Any = None, end: Any = None) -> None:
        """Look only at those from one value of the key on, up to another."""
        self._folder, self._found = folder, found
        self._begin, self._end = begin, end
        self._since: dict[int, tuple[pa.Table, pa.Table]] = {}

    def added_to(self, i: int) -> pa.Table:
        """Return the rows of a part as they are in force, sorted."""
        part, key = self._found.parts[i], self._found.key[0]
        rows = tables.read_arrow(self._folder / part.file)
        if not [n for n in self._found.news if n > part.night]:
            return rows
        news, gone = self._after(part.night)
        end = self._found.parts[i + 1].begin if i + 1 < len(self._found.parts) else None
        if key == self._found.person:
            gone = _between(gone, "id", part.begin, end)
        return self._sorted(pa.concat_tables([self._without(rows, gone), _between(news, key, part.begin, end)]))

    def _after(self, night: int) -> tuple[pa.Table, pa.Table]:
        """Return the rows that hold of news after a night, sorted, and what is gone of older ones, sorted."""
        if night not in self._since:
            gone, rows = [], []
            for n in [n for n in self._found.news if n > night][::-1]:
                told = self._read(news_file(n), self._found.key[0])
                rows.append(self._without(told, first_of_all(gone)) if gone else told)
                # Sorted by the identifier; so is the table, but where its key begins with something else.
                gone.append(self._read(gone_file(n), "id" if self._found.key[0] == self._found.person else None))
            self._since[night] = self._sorted(pa.concat_tables(rows)), first_of_all(gone)
        return self._since[night]

    def _read(self, file: str, column: str | None) -> pa.Table:
        """Return the rows of a file that is sorted by a column, within the range that is asked for."""
        if column is None or (self._begin is None and self._end is None):
            return tables.read_arrow(self._folder / file)
        rows = tables.read_between(self._folder / file, column, self._begin, self._end)
        return _between(rows, column, self._begin, self._end)

    def _without(self, rows: pa.Table, gone: pa.Table) -> pa.Table:
        """Return the rows that are not gone."""
        place = pc.index_in(rows[self._found.person], gone["id"].combine_chunks())
        if not self._found.number:
            return rows.filter(pc.is_null(place))
        first = pc.fill_null(gone["first"].take(place), _ALL)
        return rows.filter(pc.less(rows[self._found.number], first))

    def _sorted(self, rows: pa.Table) -> pa.Table:
        return rows.take(pc.sort_indices(rows, [(name, "ascending") for name in self._found.key]))


def first_of_all(gone: Sequence[pa.Table]) -> pa.Table:
    """Return what several tables say is gone, of each identifier once; sorted, where a single one is."""
    if len(gone) == 1:
        return gone[0]
    least = pa.concat_tables(gone).group_by("id", use_threads=False).aggregate([("first", "min")])
    return least.rename_columns(["id", "first"]).sort_by("id")


def _between(rows: pa.Table, column: str, begin: Any, end: Any) -> pa.Table:
    """Return the rows, which are sorted by a column, from one value of it on, up to another; None is no limit."""
    first = 0 if begin is None else _place(rows[column], begin)
    return rows[first : len(rows) if end is None else _place(rows[column], end)]


def _plain(value: pa.Scalar) -> Any:
    """Return a value of a key as JSON can hold it."""
    return value.cast(pa.int64()).as_py() if pa.types.is_timestamp(value.type) else value.as_py()


def _place(values: pa.ChunkedArray, border: Any, find: Callable = bisect.bisect_left) -> int:
    """Return how many of some sorted values come before `border`; with `bisect_right`, or are it."""
    return find(range(len(values)), border, key=lambda i: _plain(values[i]))


# --- writing ----------------------------------------------------------------------------------------------------------


def put_in_order(folder: Path, found: Manifest) -> Manifest:
    """Write those parts anew whose turn it is, and return what is in force then."""
    n_parts = len(found.parts)
    # Of few not one each night; but where there is only one, the table is one file.
    n = 1 if n_parts == 1 else n_parts * found.night // TURNS - n_parts * (found.night - 1) // TURNS
    turn = set(sorted(range(n_parts), key=lambda i: (found.parts[i].night, i))[:n])
    if not turn:
        return found
    following = found.parts[max(turn) + 1 : max(turn) + 2]
    news, parts = _News(folder, found, found.parts[min(turn)].begin, following[0].begin if following else None), []
    for i, part in enumerate(found.parts):
        rows = [news.added_to(i)] if i in turn else []
        parts += cut(folder, rows, found.key[0], part.begin, found.night, i) if rows else [part]
    oldest = min(part.night for part in parts)
    return replace(found, parts=tuple(parts), news=tuple(n for n in found.news if n > oldest))


def cut(folder: Path, chunks: Iterable[pa.Table], key: str, begin: Any, night: int, place: int = 0) -> Iterator[Piece]:
    """Write sorted rows as parts of about `tables.GROUP_ROWS`; how they come in chunks does not say where those end."""
    left, n = None, 0

    def piece(rows: pa.Table) -> Piece:
        file = f"part-{place:05d}-{n:05d}-{night:06d}.parquet"
        tables.write_sorted([rows], rows.schema, rows.num_rows, folder / file)
        return Piece(file, begin, night)

    for chunk in chunks:
        left = chunk if left is None else pa.concat_tables([left, chunk])
        while left.num_rows > 2 * tables.GROUP_ROWS:
            # A part begins with a new value: the rows of one stay together.
            border = _plain(left[key][tables.GROUP_ROWS])
            end = _place(left[key], border) or _place(left[key], border, bisect.bisect_right)
            if end == left.num_rows:
                break
            yield piece(left[:end])
            left, n = left[end:], n + 1
            begin = _plain(left[key][0])
    yield piece(left)


def delete_strays(folder: Path, found: Manifest | None) -> None:
    """Delete the files of a kept table that are not in force: those of nights past, and of one that was stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    in_force = found.files if found else set()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".parquet", ".columns") and path.name not in in_force:
            path.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise InputError("waymark.kept takes the folder of a kept table and the Parquet file to be written")
    write_whole(Path(sys.argv[1]), Path(sys.argv[2]))

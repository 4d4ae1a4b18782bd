"""What a night brings, put aside on disk until it is known which bucket each thing belongs to.

Links that come at the end of a night tell where its first events belong. So a night's things lie in stretches as they
were read, coded with names of the store and identifiers of the stretch; once all is read they are dealt, so that each
bucket meets all its news at once. Memory holds one stretch, or what one bucket gets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from waymark.kernels import keys
from waymark.store.buckets import Ids
from waymark.store.hashes import Ordered
from waymark.store.kinds import Kind, homes_of
from waymark.store.manifest import ASIDE
from waymark.store.names import encoded
from waymark.store.routes import Routes
from waymark.store.segments import coded_together


@dataclass
class _Stretch:
    """Things that were put aside together."""

    rows: Path
    ids: Path
    gone: list[np.ndarray] = field(default_factory=list)  # positions of things that were taken out again

    def alive(self, n_rows: int) -> np.ndarray:
        is_alive = np.ones(n_rows, bool)
        for at in self.gone:
            is_alive[at] = False
        return is_alive


class Aside:
    """Things of one kind."""

    def __init__(self, root: Path, kind: Kind, n_buckets: int) -> None:
        """Begin with nothing, in a folder of the store at `root` that `delete_strays` empties."""
        self._folder, self._kind, self._n_buckets = root / ASIDE / kind.name, kind, n_buckets
        shutil.rmtree(self._folder, ignore_errors=True)
        self._stretches: list[_Stretch] = []
        self._dealt: list[tuple[Path, Path, np.ndarray]] = []  # rows, identifiers, the part of each bucket or -1

    def add(self, coded: pa.Table, ids: Ids) -> None:
        """Put coded things aside; `ids` are the identifiers that they are coded with."""
        stem = self._folder / f"{len(self._stretches):05d}"
        stretch = _Stretch(stem.with_suffix(".rows"), stem.with_suffix(".ids"))
        _write(stretch.rows, [coded])
        _write(stretch.ids, [pa.table({"id": ids.texts, "hash": ids.hashes})])
        self._stretches.append(stretch)

    def find(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, pa.Table, pa.ChunkedArray]]:
        """Yield, by stretch, the things with some keys: its number, their positions, themselves, its identifiers."""
        asked = Ordered(wanted)
        for number, stretch in enumerate(self._stretches):
            rows = _read(stretch.rows)
            at = asked.positions_in(rows["key"].to_numpy())
            at = at[stretch.alive(rows.num_rows)[at]]
            if len(at):
                yield number, at, rows.take(pa.array(at)), _read(stretch.ids)["id"]

    def bury(self, number: int, at: np.ndarray) -> None:
        """Forget the things at some positions of a stretch."""
        self._stretches[number].gone.append(at)

    def things(self) -> Iterator[tuple[pa.Table, Ids]]:
        """Yield, by stretch, the things that were not taken out again, coded, and their identifiers."""
        for stretch in self._stretches:
            rows, ids = _read(stretch.rows), _read(stretch.ids)
            if stretch.gone:
                rows = rows.filter(pa.array(stretch.alive(rows.num_rows)))
            yield rows, Ids(ids["id"], ids["hash"].to_numpy())

    def deal(self, routes: Routes) -> None:
        """Deal all things to the buckets that they belong to by now."""
        for stretch in self._stretches:
            rows, ids = _read(stretch.rows), _read(stretch.ids)
            of_id = routes.buckets_of(ids["hash"].to_numpy()).astype(np.int16)
            alive = np.flatnonzero(stretch.alive(rows.num_rows))
            if not len(alive):
                continue
            homes = [of_id[places[alive]] for places in homes_of(rows, self._kind)]
            also = np.flatnonzero(homes[0] != homes[-1])
            alive, bucket = np.append(alive, alive[also]), np.append(homes[0], homes[-1][also])
            order = np.argsort(bucket, kind="stable")
            ends = np.searchsorted(bucket[order], np.arange(self._n_buckets + 1))
            rows = rows.take(pa.array(alive[order]))
            ends_of = [rows[c].to_numpy().copy() for c in self._kind.ends]
            used, begins = keys.number_anew(*ends_of, ends, ids.num_rows)
            for name, codes in zip(self._kind.ends, ends_of, strict=True):
                rows = rows.set_column(rows.column_names.index(name), name, pa.array(codes))
            ids = ids.select(["id"]).take(pa.array(used))
            filled = np.flatnonzero(np.diff(ends))
            part = np.full(self._n_buckets, -1)
            part[filled] = np.arange(len(filled))
            for path in (stretch.rows, stretch.ids):
                path.unlink()
            for path, table, limits in ((stretch.rows, rows, ends), (stretch.ids, ids, begins)):
                _write(path, [table.slice(limits[b], limits[b + 1] - limits[b]) for b in filled.tolist()])
            self._dealt.append((stretch.rows, stretch.ids, part))
        self._stretches = []

    def of_bucket(self, number: int, ids: Ids) -> pa.Table:
        """Return what a bucket was dealt, coded with its identifiers `ids`; new ones are added to them."""
        parts = [(rows, texts, part[number]) for rows, texts, part in self._dealt if part[number] >= 0]
        if not parts:
            return pa.table({})
        found = [_read(rows, part) for rows, _, part in parts]
        texts = [_read(path, part)["id"] for _, path, part in parts]
        distinct, place = encoded(pa.chunked_array([chunk for one in texts for chunk in one.chunks], pa.string()))
        places = ids.places(distinct).astype(np.int32)[place]
        begins = np.cumsum([0, *map(len, texts)])
        for i, table in enumerate(found):
            mine = np.append(places[begins[i] : begins[i + 1]], np.int32(-1))
            for name in self._kind.ends:
                codes = pa.array(mine[table[name].to_numpy()])
                table = table.set_column(table.column_names.index(name), name, codes)
            found[i] = table
        return coded_together(found)


def _write(path: Path, tables: Sequence[pa.Table]) -> None:
    """Write tables of one schema as the parts of one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, tables[0].schema) as writer:
        for table in tables:
            writer.write_batch(_batch(table))


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def _read(path: Path, part: int = 0) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.Table.from_batches([pa.ipc.open_file(file).get_batch(int(part))])

"""Which bucket holds an identifier, and who moves where components become one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from waymark.store import routes as on_disk
from waymark.store.routes import Pairs, Routes, read_pairs, read_routes, write_pairs, write_routes

SMALL, LARGE, FAR = (np.uint64(i) for i in (8, 17, 30))  # buckets 0, 1 and 2 of four


def joined(routes: Routes, one: np.uint64, two: np.uint64, rows: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Join two, and return who moves: identifier -> the bucket before and after."""
    moves = routes.join(np.array([one]), np.array([two]), lambda ids, _: np.array([rows[int(i)] for i in ids]))
    return {int(i): (b, a) for i, b, a in zip(moves.ids, moves.before.tolist(), moves.after.tolist(), strict=True)}


def test_of_two_who_become_one_the_one_with_fewer_rows_moves():
    for one, two in ((SMALL, LARGE), (LARGE, SMALL)):
        routes = Routes(4)
        assert joined(routes, one, two, {8: 2, 17: 9}) == {8: (0, 1)}
        assert routes.buckets_of(np.array([SMALL, LARGE])).tolist() == [1, 1]


def test_a_component_moves_whole_and_counts_by_all_its_rows():
    routes, rows = Routes(4), {8: 2, 17: 3, 30: 4}
    joined(routes, SMALL, LARGE, rows)
    assert joined(routes, FAR, SMALL, rows) == {30: (2, 1)}  # 4 rows against 2 + 3
    assert joined(Routes(4), FAR, LARGE, rows) == {17: (1, 2)}


def test_of_components_of_equal_size_the_least_name_stays():
    assert joined(Routes(4), LARGE, SMALL, {8: 3, 17: 3}) == {17: (1, 0)}


def test_who_is_one_already_or_lies_together_moves_nowhere():
    routes, near = Routes(4), np.uint64(12)  # in bucket 0, as 8 is
    assert joined(routes, SMALL, near, {8: 1, 12: 5}) == {}
    assert joined(routes, near, SMALL, {8: 1, 12: 5}) == {}


@pytest.mark.parametrize("most_files", [1, 3, 20])
def test_what_nights_write_beside_each_other_is_read_back_as_it_was(tmp_path: Path, monkeypatch, most_files):
    monkeypatch.setattr(on_disk, "MOST_FILES", most_files)
    rng, n_written = np.random.default_rng(most_files), []
    routes, pairs, files, pair_files = Routes(4), Pairs.none(), [], []
    for night in range(9):
        n = 0 if night in (0, 4) else 30  # nobody is linked in the first
        ends = rng.integers(0, 400, (2, n)).astype(np.uint64) << np.uint64(50)
        news = Pairs(*ends, rng.integers(0, 9, n), np.zeros(n, np.uint8)).once()
        pairs, added = pairs.with_news(news)
        routes.join(news.one, news.two, lambda ids, _: np.ones(len(ids)))
        if night == 6:
            pairs, added = pairs.corrected(np.arange(3), Pairs.none()), None
        pair_files = write_pairs(tmp_path, f"{night}", pair_files, pairs, added)
        files = write_routes(tmp_path, f"{night}", files, routes)
        n_written.append(len(files))
        routes_then, pairs_then = routes, pairs
        routes, pairs = read_routes(tmp_path, files, 4), read_pairs(tmp_path, pair_files)
        for column in ("ids", "root", "bucket"):
            assert getattr(routes, column).tolist() == getattr(routes_then, column).tolist()
        assert [c.tolist() for c in pairs] == [c.tolist() for c in pairs_then]
        assert not len(routes.news)
    assert (n_written[0], max(n_written)) == (0, min(most_files, 7))

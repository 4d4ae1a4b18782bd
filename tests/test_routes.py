"""Which bucket holds an identifier, and who moves where components become one."""

from __future__ import annotations

import numpy as np

from waymark.store.routes import Routes

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

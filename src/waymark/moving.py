"""Numbers that move with the clock though no event comes or goes, and how they are worked out at another time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from waymark.kernels import moves
from waymark.walks import Walk


@dataclass(frozen=True)
class Moving:
    """How a number hangs on the clock."""

    what: int  # `moves.DAYS` and the others
    bases: tuple[tuple, ...] = ()  # what its walk is asked for: at most two bases
    scale: int = 0  # microseconds


class Moves:
    """Some numbers that move, and the bases that they are worked out from."""

    def __init__(self, moving: Iterable[tuple[int, Walk | None, Moving]]) -> None:
        """Take the row of each number among all numbers, the walk that reads out its bases, and how it moves."""
        self.bases: dict[tuple[Walk, tuple], int] = {}  # walk and operands -> row among the bases
        numbers = []
        for row, walk, how in moving:
            rows = [self.bases.setdefault((walk, operands), len(self.bases)) for operands in how.bases]
            numbers.append((how.what, *rows, *[-1] * (2 - len(rows)), how.scale, row))
        alike = sorted(numbers, key=lambda n: (n[0], n[2], n[3]))  # see `moves.work_out`
        self._numbers = tuple(np.array(alike, np.int64).reshape(-1, 5).T.copy())

    def __len__(self) -> int:
        """Return how many numbers move."""
        return len(self._numbers[0])

    @property
    def rows(self) -> list[int]:
        """The place of each among all numbers."""
        return self._numbers[-1].tolist()

    def work_out(self, cutoffs: np.ndarray, bases: np.ndarray, values: np.ndarray, first_point: int = 0) -> None:
        """Write the numbers at points into their rows of `values`; see `moves.work_out`."""
        if len(self):
            moves.work_out(cutoffs, bases, self._numbers, values, first_point)

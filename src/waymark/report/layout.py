"""Where the journey map draws what: cards for stages, ribbons for moves, in units of the drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from waymark.report.flows import KINDS, Flows

CARD_WIDTH = 176.0
LETTER = 6.9  # of a number on a ribbon
_CARD_HEIGHT, _GAP, _MARGIN = 50.0, 20.0, 8.0
_SIDE, _NO_SIDE = 156.0, 12.0  # room for ribbons, and where there are none
_FULLEST = 120.0  # thickness of all ribbons on the busiest side of a card, together
_THINNEST, _THICKEST = 1.6, 60.0  # of a ribbon, the latter halfway between its cards
_APART = 2.0  # between ribbons on a card
_LANE = 26.0  # between a ribbon and the one around it


@dataclass
class Ribbon:
    """One drawn flow: the rows of the cards it joins, and its course beside them."""

    start: int
    end: int
    kind: str
    n: int
    thickness: float = 0.0
    start_y: float = 0.0
    end_y: float = 0.0
    bulge: float = 0.0  # from the cards to its nearer edge, halfway
    width: float = 0.0  # its thickness halfway

    @property
    def is_back(self) -> bool:
        """Whether it leads up, and so on the left."""
        return self.end < self.start


@dataclass(frozen=True)
class Layout:
    """A whole map."""

    stages: pd.DataFrame  # as in `Flows.stages`; row i has the i-th card
    ribbons: list[Ribbon]  # the largest first
    tops: list[float]
    heights: list[float]
    left: float  # of the cards
    width: float

    @property
    def height(self) -> float:
        """Of the whole drawing."""
        return self.tops[-1] + self.heights[-1] + _MARGIN


def choose(flows: Flows, max_flows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the stages and moves to draw: the largest flows, what they touch, and the designed path."""
    moves = flows.moves.head(max_flows)
    touched = flows.stages["stage"].isin({*moves["from_stage"], *moves["to_stage"]})
    return flows.stages[touched | (flows.stages["position"] > 0)].reset_index(drop=True), moves


def lay_out(flows: Flows, max_flows: int) -> Layout:
    """Place the `max_flows` largest flows and their stages; there must be one at least."""
    stages, moves = choose(flows, max_flows)
    row = {stage: i for i, stage in enumerate(stages["stage"])}
    ribbons = [Ribbon(row[m.from_stage], row[m.to_stage], m.kind, int(m.n)) for m in moves.itertuples(index=False)]
    sides = {is_back: [r for r in ribbons if r.is_back is is_back] for is_back in (False, True)}
    _weigh(ribbons)
    heights = [max(_CARD_HEIGHT, *(_load(side, i) + 10.0 for side in sides.values())) for i in range(len(stages))]
    tops = _stack(heights, stages["position"])
    for side in sides.values():
        _dock(side, tops, heights)
        _bend(side)
    left, right = (_SIDE if sides[is_back] else _NO_SIDE for is_back in (True, False))
    return Layout(stages, ribbons, tops, heights, left, left + CARD_WIDTH + right)


def _weigh(ribbons: Sequence[Ribbon]) -> None:
    """Set each ribbon's thickness in proportion to its count."""
    counts: dict[tuple[int, bool], int] = {}
    for ribbon in ribbons:
        for row in (ribbon.start, ribbon.end):
            counts[row, ribbon.is_back] = counts.get((row, ribbon.is_back), 0) + ribbon.n
    for ribbon in ribbons:
        ribbon.thickness = max(_FULLEST * ribbon.n / max(counts.values()), _THINNEST)
        ribbon.width = min(ribbon.thickness, _THICKEST)


def _load(side: Sequence[Ribbon], row: int) -> float:
    return sum(r.thickness + _APART for r in side if row in (r.start, r.end))


def _stack(heights: Sequence[float], positions: Sequence[int]) -> list[float]:
    """Return the top of each card, with some distance between the designed path and the stages off it."""
    tops, y, before = [], _MARGIN, 0
    for height, position in zip(heights, positions, strict=True):
        y += _GAP if before and not position else 0.0
        tops.append(y)
        y, before = y + height + _GAP, position
    return tops


def _dock(side: Sequence[Ribbon], tops: Sequence[float], heights: Sequence[float]) -> None:
    """Set where ribbons touch the cards, so that those nested in one another do not cross.

    From the top of a card: what joins it to cards above, the nearest first, then to cards below, the farthest first.
    """

    def order(row: int, ribbon: Ribbon) -> tuple[bool, int, int]:
        other = ribbon.start + ribbon.end - row
        kind = KINDS.index(ribbon.kind)  # two ribbons between the same cards are nested too
        return other > row, -other, -kind if other > row else kind

    for row, (top, height) in enumerate(zip(tops, heights, strict=True)):
        y = top + (height - _load(side, row)) / 2
        for ribbon in sorted((r for r in side if row in (r.start, r.end)), key=lambda r: order(row, r)):
            middle = y + (ribbon.thickness + _APART) / 2
            if row == ribbon.start:
                ribbon.start_y = middle
            else:
                ribbon.end_y = middle
            y += ribbon.thickness + _APART


def _bend(side: Sequence[Ribbon]) -> None:
    """Set how far each ribbon reaches out: beyond those it encloses, and all within the side's room."""
    done: list[tuple[float, float, float]] = []
    for ribbon in sorted(side, key=lambda r: abs(r.end_y - r.start_y)):
        top, bottom = sorted((ribbon.start_y, ribbon.end_y))
        enclosed = [reach for t, b, reach in done if top <= t and b <= bottom]
        ribbon.bulge = max(enclosed) + _LANE if enclosed else 0.7 * _LANE
        done.append((top, bottom, ribbon.bulge + ribbon.width))
    widest = max((reach for *_, reach in done), default=0.0)
    letters = max((len(f"{r.n:,}") for r in side), default=0)
    room = _SIDE - LETTER * letters - 6.0  # the outermost number stands outside its ribbon
    for ribbon in side if widest > room else ():
        ribbon.bulge *= room / widest
        ribbon.width *= room / widest

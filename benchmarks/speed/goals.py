"""What is to be reached, and whether it is; each at the largest size that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from speed.costs import Costs
from speed.sizes import DISTRIBUTED, NEWS, NIGHT, RIVALS, TONIGHT

WALKS = ("walk snapshots", "walk every_event")


class Goal(NamedTuple):
    """One line of the table of goals."""

    what: str
    wanted: str
    found: str
    is_reached: bool | None  # None: not measured


def goals(sizes: Mapping[int, Costs], no_change: Costs) -> Iterator[Goal]:
    """Yield every goal with what was measured."""
    yield _ratio(sizes, "features of tonight, made and not written", "DuckDB's read + sort", WALKS[:1], ("sort",), 0.7)
    yield _ratio(sizes, "features of tonight, the step", "DuckDB's read + sort", ("features_score",), ("sort",), 0.7)
    for rival in RIVALS:
        yield _ratio(sizes, "features of tonight, the step", f"{rival}", ("features_score",), (rival,), 1 / 8)
    yield _ratio(sizes, "features at every event, made and not written", "read + sort", WALKS[1:], ("sort",), 1.5)
    for name in (*WALKS, "features_score", TONIGHT, NEWS):
        yield _peak(sizes, name)
    for name in (*WALKS, "features_score", TONIGHT, NEWS):
        yield _growth(sizes, name)
    night = tuple(f"night {step}" for step in NIGHT)
    yield _ratio(sizes, "a night of 0.3 % news: " + ", ".join(NIGHT), "the first night", night, NIGHT, 1 / 20)
    yield _scoring(sizes)
    for name in ("score", "train next_stage", "train churn", "evaluate"):
        yield _peak(sizes, name)
    cost = no_change["no change"]
    found = "" if cost is None else f"{cost.wall:.1f} s wall, {cost.cpu:.1f} s CPU"
    yield Goal("no-change `dvc repro -P`, 1,000 files", "<= 5 s", found, None if cost is None else cost.cpu <= 5)
    dask = tuple(f"dask {step}" for step in DISTRIBUTED)
    yield _ratio(sizes, "Dask, two workers: " + ", ".join(DISTRIBUTED), "local", dask, DISTRIBUTED, 1.3)


def _ratio(
    sizes: Mapping[int, Costs], what: str, other: str, names: tuple[str, ...], others: tuple[str, ...], most: float
) -> Goal:
    wanted = f"<= {most:g} x {other}" if most >= 0.5 else f"<= 1/{1 / most:.0f} of {other}"
    known = [(n, costs.total(*names), costs.total(*others)) for n, costs in sizes.items()]
    known = [(n, one, base) for n, one, base in known if one is not None and base]
    if not known:
        return Goal(what, wanted, "", None)
    n, one, base = max(known)
    found = f"{one / base:.2f}" if most >= 0.5 else f"1/{base / one:.1f}"
    return Goal(what, wanted, f"{found} at {n / 1e6:g} M ({one:.1f} against {base:.1f} s)", one / base <= most)


def _peak(sizes: Mapping[int, Costs], name: str) -> Goal:
    known = {n: costs[name].peak for n, costs in sizes.items() if costs[name] is not None}
    if not known:
        return Goal(f"peak memory, {name}", "<= 2 GB", "", None)
    found = ", ".join(f"{peak / 1000:.1f} GB at {n / 1e6:g} M" for n, peak in sorted(known.items()))
    return Goal(f"peak memory, {name}", "<= 2 GB", found, max(known.values()) <= 2000)


def _scoring(sizes: Mapping[int, Costs]) -> Goal:
    known = [(costs.remark("scored"), costs["score"].cpu) for costs in sizes.values() if costs["score"] is not None]
    what, wanted = "scoring of 1 M persons, both models, with reasons", "<= 60 s CPU"
    if not known:
        return Goal(what, wanted, "", None)
    n, cpu = max(known)
    found = f"{cpu:.1f} s for {n:,} persons: {cpu / n * 1e6:.0f} s for 1 M"
    return Goal(what, wanted, found, cpu / n * 1e6 <= 60)


def _growth(sizes: Mapping[int, Costs], name: str) -> Goal:
    found = exponent(sizes, name)
    text = "" if found is None else f"{found[0]:.2f} from {found[1] / 1e6:g} M to {found[2] / 1e6:g} M"
    return Goal(f"growth with events, {name}", "exponent <= 1.05", text, None if found is None else found[0] <= 1.05)


def exponent(sizes: Mapping[int, Costs], name: str) -> tuple[float, int, int] | None:
    """Return the power of the size that CPU time grows with, from the least to the greatest size that has it."""
    known = [(n, costs[name].cpu) for n, costs in sizes.items() if costs[name] is not None]
    if len(known) < 2:
        return None
    (low, first), (high, last) = min(known), max(known)
    return math.log(last / first) / math.log(high / low), low, high

"""What was measured, as Markdown: ratios to DuckDB's reading and sorting first, then growth, nights, Dask and goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from speed.costs import Costs
from speed.goals import Goal, exponent
from speed.measuring import Cost
from speed.outsiders import PYTHONS
from speed.sizes import DISTRIBUTED, NIGHT, PROFILED, RIVALS, STEPS

NAMES = {
    "read": "DuckDB: read",
    "sort": "DuckDB: read + sort by person (a number) and time",
    "sort_ids": "DuckDB: read + sort by person (a text) and time",
    "walk snapshots": "**features of tonight**, made and not written",
    "walk every_event": "**features at every event**, made and not written",
    "features_score": "**features of tonight**, the step",
    "duckdb": "the same features in DuckDB's SQL",
    "polars": "the same features in Polars",
    "pandas": "the same features in pandas",
    **{step: f"step {step}" for step in STEPS if step != "features_score"},
    "every event features_train": "step features_train, every event a point",
}
SHOWN = (
    *("read", "sort", "sort_ids", "walk snapshots", "features_score", *RIVALS, "walk every_event"),
    *(step for step in STEPS if step != "features_score"),
    "every event features_train",
)


def show(sizes: Mapping[int, Costs], no_change: Costs, goals: Iterable[Goal]) -> str:
    """Return all tables."""
    parts = [_goals(goals), *(_size(n, costs) for n, costs in sizes.items())]
    if len(sizes) > 1:
        parts.append(_growth(sizes))
    parts += [_night(sizes), _dask(sizes), _no_change(no_change), _peers(sizes), *_profiles(sizes)]
    return "\n\n".join(part for part in parts if part)


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    cells = [c.strip() for c in head.split("|")]
    lines = [cells, ["---", *(["---:"] * (len(cells) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def millions(n: int) -> str:
    """Write a number of events."""
    return f"{n / 1e6:g} M"


def seconds(value: float) -> str:
    """Write CPU seconds."""
    return f"{value:.1f}"


def times(one: float | None, other: float | None) -> str:
    """Write how often one goes into the other, the other way round."""
    return f"{one / other:.2f}" if one is not None and other else ""


def _cost(cost: Cost) -> list[str]:
    return [seconds(cost.cpu), seconds(cost.wall), f"{cost.peak:,.0f}"]


def _size(n: int, costs: Costs) -> str:
    rows = []
    for name in SHOWN:
        cost = costs[name]
        if cost is not None:
            ratios = [times(cost.cpu, costs.total(other)) for other in ("read", "sort")]
            rows.append([NAMES[name], *ratios, *_cost(cost)])
        elif name in costs:
            rows.append([NAMES[name], f"failed: {str(costs.remark(name))[-160:]}".replace("\n", " "), "", "", "", ""])
    agree = [rival for rival in RIVALS if costs.remark(f"{rival} differs") == ""]
    differ = {r: d for r in RIVALS if (d := costs.remark(f"{r} differs"))}
    megabytes = (costs.remark("size of the store") or 0) / 1e6
    told = f"{costs.remark('scored') or 0:,} persons; the store has {megabytes:,.0f} MB."
    told += f" Equal to ours in every feature: {', '.join(agree) or 'none'}."
    told += "".join(f" {rival} differs in {what}." for rival, what in differ.items())
    head = "what | x read | x read + sort | CPU s | wall s | peak MB"
    return f"### {millions(n)} events\n\n{told}\n\n{_table(head, rows)}"


def _growth(sizes: Mapping[int, Costs]) -> str:
    found = [(name, exponent(sizes, name)) for name in SHOWN]
    rows = [[NAMES[name], f"{e[0]:.2f}", f"{millions(e[1])} to {millions(e[2])}"] for name, e in found if e]
    head = "what | CPU time grows with events to the power of | from"
    return f"### Growth\n\n{_table(head, rows)}"


def _pairs(sizes: Mapping[int, Costs], prefix: str, steps: Iterable[str], head: str, title: str) -> str:
    rows = []
    for n, costs in sizes.items():
        for step in steps:
            one, other = costs[step], costs[f"{prefix} {step}"]
            if one and other:
                peaks = [f"{c.peak:,.0f}" for c in (one, other)]
                row = [step, seconds(one.cpu), seconds(other.cpu), times(other.cpu, one.cpu), *peaks]
                rows.append([f"{millions(n)}: {row[0]}", *row[1:]])
        totals = costs.total(*steps), costs.total(*(f"{prefix} {s}" for s in steps))
        if None not in totals:
            ratio = times(totals[1], totals[0])
            rows.append([f"**{millions(n)}: together**", seconds(totals[0]), seconds(totals[1]), ratio, "", ""])
    return f"### {title}\n\n{_table(head, rows)}" if rows else ""


def _night(sizes: Mapping[int, Costs]) -> str:
    head = "step | first night, CPU s | one more file, CPU s | ratio | peak MB | peak MB, one more file"
    return _pairs(sizes, "night", NIGHT, head, "A night of one more daily file (0.3 %)")


def _dask(sizes: Mapping[int, Costs]) -> str:
    head = "step | local, CPU s | Dask, CPU s | ratio | peak MB | peak MB of a process"
    same = {millions(n): c.remark("dask same bytes") for n, c in sizes.items() if "dask same bytes" in c}
    told = "; ".join(f"{n}: {'the same bytes' if is_same else 'OTHER BYTES'}" for n, is_same in same.items())
    table = _pairs(sizes, "dask", DISTRIBUTED, head, "Dask, two workers on this machine")
    return f"{table}\n\n{told}" if table else ""


def _no_change(costs: Costs) -> str:
    rows = [[name, *_cost(costs[name])] for name in ("first night", "no change") if costs[name]]
    head = "`dvc repro -P`, 1,000 daily files | CPU s | wall s | peak MB"
    return f"### Nothing new\n\n{_table(head, rows)}" if rows else ""


def _peers(sizes: Mapping[int, Costs]) -> str:
    rows = []
    for n, costs in sizes.items():
        for name in PYTHONS:
            cost, version = costs[f"peer {name}"], costs.remark(f"version of {name}")
            if cost:
                ours = times(cost.cpu, costs.total("features_score"))
                rows.append([f"{version}, {millions(n)} events", ours, *_cost(cost)])
            elif f"peer {name}" in costs:
                rows.append([f"{version}", f"failed: {str(costs.remark(f'peer {name}'))[-160:]}", "", "", ""])
    head = "peer | x step features_score | CPU s | wall s | peak MB"
    return f"### Peers\n\n{_table(head, rows)}" if rows else ""


def _profiles(sizes: Mapping[int, Costs]) -> Iterable[str]:
    known = [(n, costs) for n, costs in sizes.items() if f"profile of {PROFILED[0]}" in costs]
    if known:
        n, costs = max(known, key=lambda pair: pair[0])
        for step in PROFILED:
            [total, *rows] = costs.remark(f"profile of {step}")
            table = _table("where | % of CPU time", [[where, share] for share, where in rows])
            yield f"### Profile of {step}, {millions(n)} events, {total[0]} CPU s\n\n{table}"


def _goals(goals: Iterable[Goal]) -> str:
    rows = [
        [goal.what, goal.wanted, goal.found, {True: "yes", False: "**no**", None: ""}[goal.is_reached]]
        for goal in goals
    ]
    return f"### Goals\n\n{_table('what | goal | measured | reached', rows)}"

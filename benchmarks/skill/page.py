"""The table of the benchmark, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from skill.protocols import HOLDINGS, PROTOCOLS, Protocol

HEAD = """\
| log | test rows | ours | best baseline | difference in {loss} | published | goal | reached |
| --- | ---: | --- | --- | --- | --- | --- | --- |"""
NAMES = {"log_loss": "log loss", "ece": "ECE", "auc": "AUC", "accuracy": "acc.", "mae": "MAE"}


def show(kept: Mapping[str, Mapping[str, Any]], cost: Mapping[str, Any] | None, machine: Mapping[str, Any]) -> str:
    """Return the tables of what was found, by name of protocol or holding, and of what `cost.measure` did."""
    found = {name: result for name, result in kept.items() if name in PROTOCOLS}
    held = {HOLDINGS[name].title: result for name, result in kept.items() if name in HOLDINGS}
    lines = [
        f"Measured {machine['date']} on {machine['machine']}.",
        "",
        HEAD.format(loss="log loss (or days)"),
        *(_line(PROTOCOLS[name], result) for name, result in found.items()),
        "",
        "## Which rows",
        "",
        *(f"- **{PROTOCOLS[name].title}**: {PROTOCOLS[name].words}." for name in found),
        "",
        *(_held(held) if held else ()),
        *(() if cost is None else _cost(cost)),
        *_more_data(found),
        "## Every model",
        "",
        *(part for name, result in found.items() for part in _all(PROTOCOLS[name], result)),
    ]
    return "\n".join(lines) + "\n"


def _held(held: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the data hold: learning curves, other families, and the bounds of twins."""
    lines = [
        "## What the data hold",
        "",
        "Ours with ever more of the persons that train, judged on the newest fifth of those and on the test rows; and"
        " other families of models on all that train, with settings that no log was asked for.",
        "",
    ]
    for title, found in held.items():
        metrics = list(found["families"]["logistic"])
        heads = [f"{NAMES[m]}, {rows}" for rows in ("held out", "test") for m in metrics]
        lines += [f"| {title} | {' | '.join(heads)} |", f"| --- | {' | '.join('---:' for _ in heads)} |"]
        for point in found["curve"]:
            values = [point[rows][m] for rows in ("held_out", "test") for m in metrics]
            words = f"ours, {point['share']:.0%} of those that train ({point['n_persons']:,})"
            lines.append(f"| {words} | {' | '.join(f'{v:.4f}' for v in values)} |")
        for name, values in found["families"].items():
            empty = " | ".join("" for _ in metrics)
            lines.append(f"| {name}, all of them | {empty} | {' | '.join(f'{values[m]:.4f}' for m in metrics)} |")
        lines.append("")
        if twins := found.get("twins"):
            lines += [
                f"{twins['share']:.1%} of the test rows have the sequence of another case. Two such cases go on alike"
                f" {twins['alike']:.1%} of the time, so nobody who sees the sequence alone can be right more often than"
                f" {twins['at_most']:.1%} there; ours, which sees more, is {twins['accuracy']:.1%} of the time.",
                "",
            ]
    return lines


def _more_data(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Set the model learnt from shares of the data side by side, and beside it what luck of the test rows does."""
    shown = {name: result for name, result in found.items() if "learning" in result}
    if not shown:
        return []
    lines = [
        "## What more data would give",
        "",
        "The hazard learnt from some of the persons, or of the nights, on the same test rows. The interval of all is",
        "over samples of the test persons: what differs by less, this test cannot tell apart. Other families of",
        "models on the same rows are below.",
        "",
    ]
    for name, result in shown.items():
        lines += [
            f"| {PROTOCOLS[name].title} | share | training rows | log loss | AUC |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for part in result["learning"]:
            values = [f"{part[k]:.4f}" for k in ("log_loss", "auc")]
            if part["of"] == "all":
                bounds = (result["interval"][k] for k in ("log_loss", "auc"))
                values = [f"{v} [{b['low']:.4f}, {b['high']:.4f}]" for v, b in zip(values, bounds, strict=True)]
            lines.append(f"| {part['of']} | {part['share']:g} | {part['n']:,} | {' | '.join(values)} |")
        lines.append("")
    return lines


def _cost(cost: Mapping[str, Any]) -> list[str]:
    points = f"{cost['n_points']:,} made-up points with {cost['n_features']} features, one thread"
    return [
        "## Time and memory",
        "",
        f"{points}; at most {cost['peak_mb']:,.0f} MB.",
        "",
        "| what | CPU seconds |",
        "| --- | ---: |",
        *(f"| {what} | {seconds:,.1f} |" for what, seconds in cost["cpu_seconds"].items()),
        "",
    ]


def machine() -> dict[str, str]:
    """Return when and where it was measured."""
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    return {"date": when, "machine": f"{platform.machine()}, Python {platform.python_version()}"}


def _line(protocol: Protocol, found: Mapping[str, Any]) -> str:
    ours, best = found["ours"], found["best_baseline"]
    difference = found["difference"].get("log_loss") or found["difference"]["mae"]
    reached = "; ".join(f"{'yes' if goal.is_reached(found) else 'no'}" for goal in protocol.goals)
    cells = [
        protocol.title,
        f"{found['n_test']:,}",
        f"{_values(found, ours)} ({ours})",
        f"{_values(found, best)} ({best})",
        f"{difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]",
        protocol.published,
        "; ".join(goal.words for goal in protocol.goals),
        reached,
    ]
    return f"| {' | '.join(cells)} |"


def _values(found: Mapping[str, Any], model: str) -> str:
    values = ", ".join(f"{NAMES[k]} {v:.4f}" for k, v in found["models"][model].items())
    noise = found.get("ece_noise", {}).get(model)
    return values if noise is None else f"{values} (luck {noise['mean']:.3f} to {noise['high']:.3f})"


def _all(protocol: Protocol, found: Mapping[str, Any]) -> list[str]:
    metrics, noise = list(next(iter(found["models"].values()))), found.get("ece_noise", {})
    heads = [NAMES[m] for m in metrics] + (["ECE by luck", "seldom above"] if noise else [])
    head = f"| {protocol.title} | {' | '.join(heads)} |"
    rule = f"| --- | {' | '.join('---:' for _ in heads)} |"
    cells = {name: [*(v[m] for m in metrics), *noise.get(name, {}).values()] for name, v in found["models"].items()}
    rows = [f"| {name} | {' | '.join(f'{v:.4f}' for v in values)} |" for name, values in cells.items()]
    points = f"{found['n_train']:,} training points, with a label or without"
    cost = f"{points}; {found['cpu_seconds']:.0f} s of CPU, {found['peak_mb']:,.0f} MB at most."
    return [head, rule, *rows, "", cost, ""]

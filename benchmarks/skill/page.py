"""The table of the benchmark, in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from skill.ceilings import MOST_ASKED, N_DRAWS, N_FOLDS
from skill.families import MOST_ROWS
from skill.holdings import HOLDINGS
from skill.protocols import PROTOCOLS, Protocol

HEAD = """\
| log | test rows | ours | best baseline | difference in {loss} | published | goal | reached |
| --- | ---: | --- | --- | --- | --- | --- | --- |"""
WHAT_HELD = f"""\
Where a goal was missed: is it the model, or the data? Each table asks some of these; no row that tests chose any of it.

- *ours, x % of the persons*: do more help? Ours learnt from ever more of them, judged on a fifth that it never saw (the
  newest cases, or a draw of customers) and on the test rows; from all persons it has the figures above.
- *families, n rows*: do others see more? With settings that no log was asked for, on the same features and rows, those
  of some persons where there are more than {MOST_ROWS:,}.
- *with hindsight*: could the features have told, had the future been known? Families learnt from the labels of other
  test persons ({N_FOLDS} folds), which nobody had; where no more than {MOST_ASKED:,} rows test. A goal that these
  miss as well is not missed by drift.
- *were it right*: what forecasts like the last of ours reach where they are the truth: mean and 95 % of {N_DRAWS}
  draws of outcomes from them. It bounds no model that knows more; but within it, these rows cannot tell ours from
  the truth.
- *Twins*, below tables of cases: how often anybody can be right who sees the sequence of activities alone.

Where no label of the horizon is known before the test (CDNOW), none is held out, and other families learn silence
within 180 days, carried on at one rate."""
NAMES = {"log_loss": "log loss", "ece": "ECE", "auc": "AUC", "accuracy": "acc.", "mae": "MAE"}


def show(kept: Mapping[str, Mapping[str, Any]], cost: Mapping[str, Any] | None, machine: Mapping[str, Any]) -> str:
    """Return the tables of what was found, by name of protocol or holding, and of what `cost.measure` did."""
    found = {name: result for name, result in kept.items() if name in PROTOCOLS}
    held = {HOLDINGS[name].title: result for name, result in kept.items() if name in HOLDINGS}
    lines = [
        f"Measured {machine['date']} on {machine['machine']}, at commit {_commits(kept)}.",
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
        "## Every model",
        "",
        *(part for name, result in found.items() for part in _all(PROTOCOLS[name], result)),
    ]
    return "\n".join(lines) + "\n"


def _held(held: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the data hold: learning curves, other families, and bounds."""
    return [
        "## What the data hold",
        "",
        WHAT_HELD,
        "",
        *(line for title, h in held.items() for line in _limits(title, h)),
    ]


def _limits(title: str, found: Mapping[str, Any]) -> list[str]:
    metrics = list(found["right"])
    heads = [f"{NAMES[m]}, {rows}" for rows in ("held out", "test") for m in metrics]
    named = f"{found['n_named']:,} rows"
    cells = [
        *(
            (f"ours, {c['share']:.0%} of the persons ({c['n_persons']:,})", c.get("held_out"), c["test"])
            for c in found["curve"]
        ),
        *((f"{name}, {named}", None, values) for name, values in found["families"].items()),
        *((f"{name}, with hindsight", None, values) for name, values in found["hindsight"].items()),
    ]
    lines = [f"| {title} | {' | '.join(heads)} |", f"| --- | {' | '.join('---:' for _ in heads)} |"]
    for words, *parts in cells:
        lines.append(f"| {words} | {' | '.join(f'{p[m]:.4f}' if p else '' for p in parts for m in metrics)} |")
    luck = [f"{v['mean']:.4f} [{v['low']:.4f}, {v['high']:.4f}]" for v in found["right"].values()]
    lines += [f"| ours, were it right | {' | '.join([*('' for _ in luck), *luck])} |", ""]
    if twins := found.get("twins"):
        lines += [
            f"{twins['share']:.1%} of the test rows have the sequence of another case. Two such cases go on alike"
            f" {twins['alike']:.1%} of the time, so nobody who sees the sequence alone can be right more often than"
            f" {twins['at_most']:.1%} there; ours, which sees more, is {twins['accuracy']:.1%} of the time.",
            "",
        ]
    return lines


def _cost(cost: Mapping[str, Any]) -> list[str]:
    n = f"{cost['n_points']:,}"
    return [
        "## Time and memory",
        "",
        f"{n} made-up points with {cost['n_features']} features train, and as many persons are scored, with reasons "
        f"for {min(cost['n_explained'], cost['n_points']):,} of them; one thread, each part a process of its own that "
        "reads from disk.",
        "",
        "| what | CPU seconds | peak MB |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {c['cpu_seconds']:,.1f} | {c['peak_mb']:,.0f} |" for what, c in cost["parts"].items()),
        "",
    ]


def _commits(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the commit of all that was found, or each with the rows that are of it."""
    by: dict[str, list[str]] = {}
    for name, found in kept.items():
        by.setdefault(found.get("commit", "unknown"), []).append(name)
    return next(iter(by)) if len(by) == 1 else "; ".join(f"{c} ({', '.join(names)})" for c, names in by.items())


def machine() -> dict[str, str]:
    """Return when and where it was measured."""
    kind = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": kind}


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

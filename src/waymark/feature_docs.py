"""Write docs/features.md from the table of features, for the settings shipped and a small vocabulary: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from waymark import tables
from waymark.config import CONF, FeaturesConfig
from waymark.feature_groups import feature_table
from waymark.feature_rows import Row, windows
from waymark.measures import in_days
from waymark.vocabulary import ARROW, Vocabulary

PAGE = Path("docs/features.md")
SHIPPED = ("snapshots", "every_event")
EXAMPLE = Vocabulary(
    counted_types=("view", "order"),
    type_categories=("view", "order"),
    counted_channels=("web", "store"),
    channel_categories=("web", "store"),
    stages=("new", "bought"),
    transitions=(f"new{ARROW}bought",),
    two_transitions=(f"new{ARROW}bought{ARROW}new",),
    attributes={"plan": ("gold", "basic")},
    numbers=("pages",),
    valued_types=("order", "repair"),
)
ACTIVE = {"active_event_types": ["order"]}  # conf/targets/ says
INTRODUCTION = """\
# Features

Written by `make docs` from `src/waymark/feature_groups.py`, which also says what the kernels compute, what
`data/features/catalogue.json` holds, and how reasons are worded. The columns of the features table are called `f_` and
the name. What a name has in braces is filled in: event types, channels, stages, attributes, numbers and their
categories as the vocabulary has learnt them; the windows, half-lives and the last k events of `conf/features/`.
Everything is as known at the cut-off; windows are half-open, times are UTC. A feature of unit `category` holds the
place of a category in the catalogue. Empty (NaN) is "not known": no such event yet, or nothing to divide by.
"""
HEAD = """\
| feature | group | formula | unit | for example | in words |
| --- | --- | --- | --- | --- | --- |"""


def render(conf: Path = CONF) -> str:
    """Return the page: what the settings shipped choose, and a line for each pattern of names."""
    chosen = {name: _settings(name, conf) for name in SHIPPED}
    tables_of = {name: {r.pattern: r for r in feature_table(c, EXAMPLE)} for name, c in chosen.items()}
    first = {r.pattern: r for c in chosen.values() for r in reversed(feature_table(c, EXAMPLE))}
    order = list(dict.fromkeys(pattern for rows in reversed(tables_of.values()) for pattern in rows))
    lines = [INTRODUCTION, *(_choice(name, settings) for name, settings in chosen.items()), "", HEAD]
    for pattern in order:
        only = [name for name, rows in tables_of.items() if pattern in rows]
        lines.append(_line(pattern, first[pattern], "" if len(only) == len(chosen) else f" ({', '.join(only)} only)"))
    return "\n".join(lines) + "\n"


def _settings(name: str, conf: Path) -> FeaturesConfig:
    return FeaturesConfig.model_validate(_composed(name, conf) | ACTIVE)


def _composed(name: str, conf: Path) -> dict[str, Any]:
    values = yaml.safe_load((conf / "features" / f"{name}.yaml").read_text(encoding="utf-8"))
    bases = [_composed(base, conf) for base in values.pop("defaults", [])]
    return {k: v for part in (*bases, values) for k, v in part.items()}


def _choice(name: str, settings: FeaturesConfig) -> str:
    spans = ", ".join(f"`{w.slug}` {w.words}" for w in windows(settings))
    halves = ", ".join(f"`{days}d` {in_days(days)}" for days in settings.half_lives_days)
    return f"- `conf/features/{name}.yaml`: windows {spans}; half-lives {halves}; k up to {settings.last_k}."


def _line(pattern: str, row: Row, only: str) -> str:
    f = row.feature
    formula = f"`{row.source}` of src/custom_features.py" if isinstance(row.source, str) else row.source.formula
    return f"| `{pattern}` | {f.group}{only} | {formula} | {f.unit} | `{f.name}` | {f.words} |"


if __name__ == "__main__":
    tables.write_text(render(), PAGE)

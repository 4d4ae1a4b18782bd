"""Who imports whom in src/, read from the syntax trees: nothing is imported to find out."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [*sorted(SRC.glob("waymark/**/*.py")), SRC / "custom_features.py"]
}


@functools.cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Return every module that a module imports anywhere in its text, ours and others, dots resolved."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in FILES else str(node.module) for name in inner}
    return frozenset(names)


def ours(module: str) -> set[str]:
    """Return the modules of src/ that a module imports directly."""
    return {name for name in imported(module) if name in FILES}


def closure(module: str) -> set[str]:
    """Return the modules of src/ that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = ours(waiting.pop()) - found
        found |= new
        waiting += new
    return found
